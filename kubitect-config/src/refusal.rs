//! [`Refusal`]: why nothing of a plan is done, as a line for people and in parts for programs.

use std::fmt;

use serde::Serialize;

use crate::edit::{Change, Edit};

/// One reason why nothing of a plan is done. `Display` is a line for people; a program goes by `kind` and by the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Refusal {
    /// Which rule refuses; stable.
    pub kind: RefusalKind,
    /// What is refused, in words: an edit, a step, or the machine or cluster to which nothing is done.
    pub what: String,
    /// Where that stands in the file, as `kubernetes.networkPlugin`; none where it stands nowhere.
    pub path: Option<String>,
    /// Further places in the file that are refused for the same reason.
    pub others: Vec<String>,
    /// What was applied, or is there; none: nothing, or nothing that can be said in a word.
    pub from: Option<String>,
    /// What is wanted; none: as for `from`.
    pub to: Option<String>,
    /// The machines that it is about; none: all, or something else.
    pub machines: Vec<String>,
    /// The host on which that is; none: on no certain one.
    pub host: Option<String>,
    /// The reason; a sentence without its full stop.
    pub why: String,
    /// What to do instead; empty where the reason says it.
    pub instead: String,
}

/// The rules that refuse something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefusalKind {
    /// An edit that a living cluster can't follow.
    Edit,
    /// The file differs from what a run has begun with that did not end.
    Unfinished,
    /// There is no way from the release that is set up to the wanted one.
    Versions,
    /// An upgrade goes over a release that does not take the file.
    OnTheWay,
    /// The chosen action does not cover it.
    Action,
    /// A site file says what it may not say there.
    Site,
    /// Machines keep the network that they were made with.
    Network,
    /// An address is another machine's.
    Address,
    /// Disks stay in the folder in which they are.
    Pool,
    /// All disks of a pool are missing.
    PoolEmpty,
    /// A disk does not shrink.
    DiskSize,
    /// Something else is in the place of a disk.
    DiskReplaced,
    /// A machine's disks are another machine's.
    DisksTaken,
    /// A machine stays on its host.
    Host,
    /// A machine was changed by hand, or can't become what is wanted.
    Machine,
    /// A host offers no KVM any more.
    Kvm,
    /// What is noted of a machine can't be read.
    Note,
    /// Nothing tells what is on a machine's disk.
    Unknown,
    /// A disk is lost that the cluster can't do without.
    DiskLost,
    /// All masters are gone.
    MastersLost,
    /// What is fixed from the start differs from what is set up.
    Settings,
    /// etcd is being brought back to a snapshot.
    Restoring,
    /// etcd would have no majority.
    Quorum,
    /// A member of etcd does not answer, and others would come or go.
    MemberDown,
    /// An even number of masters is wanted.
    EvenMasters,
    /// The release can't let a master join.
    Joining,
    /// The network plugin can't be set up on some nodes only.
    NetworkPlugin,
    /// All masters have to be members of etcd for it, and one is not.
    Members,
    /// A machine does not answer, or not as it should.
    Away,
    /// There is no room on a machine's disk.
    Room,
    /// A snapshot is of another cluster.
    Snapshot,
}

impl Refusal {
    /// A refusal; what it is about is said by the functions below.
    pub fn new(kind: RefusalKind, why: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            kind,
            what: String::new(),
            path: None,
            others: Vec::new(),
            from: None,
            to: None,
            machines: Vec::new(),
            host: None,
            why: why.into(),
            instead: instead.into(),
        }
    }

    /// A refusal of an edit.
    pub fn of_edit(
        kind: RefusalKind,
        edit: &Edit,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let kind = match edit.change {
            Change::Versions { .. } if kind == RefusalKind::Edit => RefusalKind::Versions,
            _ => kind,
        };
        Self {
            from: edit.was.clone(),
            to: edit.wanted.clone(),
            machines: edit.change.node().iter().map(ToString::to_string).collect(),
            ..Self::new(kind, why, instead).of(edit).at(edit.path.clone())
        }
    }

    /// The same, of this.
    pub fn of(mut self, what: impl ToString) -> Self {
        self.what = what.to_string();
        self
    }

    /// The same, of what stands there in the file.
    pub fn at(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// The same, about this machine, too.
    pub fn on(mut self, machine: impl ToString) -> Self {
        self.machines.push(machine.to_string());
        self
    }

    /// The same, about what is one thing and is wanted as another.
    pub fn from_to(mut self, from: impl ToString, to: impl ToString) -> Self {
        self.from = Some(from.to_string());
        self.to = Some(to.to_string());
        self
    }

    /// Refusals as people read them.
    pub fn sentences(refused: &[Self]) -> Vec<String> {
        refused.iter().map(Self::to_string).collect()
    }

    /// The same refusals, with one for all edits that are refused for the same reason: what follows from one key of a file, as the
    /// kubespray that goes with a Kubernetes, or a default for many machines, is one cause.
    pub fn merged(refusals: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::new();
        for refusal in refusals {
            let same = |own: &&mut Self| {
                (own.kind, &own.why, &own.instead) == (refusal.kind, &refusal.why, &refusal.instead)
            };
            match merged.iter_mut().find(same) {
                Some(own) => {
                    own.others.extend(refusal.path);
                    own.machines.extend(refusal.machines);
                }
                None => merged.push(refusal),
            }
        }
        merged
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        f.write_str(&self.what)?;
        let shown = self.others.iter().take(SHOWN).map(String::as_str);
        let shown = shown.collect::<Vec<_>>().join(", ");
        match self.others.len().saturating_sub(SHOWN) {
            _ if shown.is_empty() => {}
            0 => write!(f, " (and {shown})")?,
            more => write!(f, " (and {shown} and {more} more)")?,
        }
        if !self.what.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.why)?;
        match self.instead.is_empty() {
            true => Ok(()),
            false => write!(f, "; {}", self.instead),
        }
    }
}
