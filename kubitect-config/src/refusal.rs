//! [`Refusal`]: why a plan is not carried out, as a line for people and as fields for programs.

use std::fmt;

use serde::Serialize;

use crate::edit::{Change, Edit};

/// One reason why a plan is not carried out. A single one is enough: a plan is carried out whole or not at all. `Display` is a
/// line for people; programs use `kind` and the other fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Refusal {
    /// The rule that refuses; stable across releases.
    pub kind: RefusalKind,
    /// What is refused, as text: an edit, a step, a machine or the cluster.
    pub what: String,
    /// Its path in the file, as `kubernetes.networkPlugin`; none if it is not in the file.
    pub path: Option<String>,
    /// Further paths in the file that are refused for the same reason.
    pub others: Vec<String>,
    /// The applied or observed value; none: there is none, or it is not a single value.
    pub from: Option<String>,
    /// The wanted value; none as for `from`.
    pub to: Option<String>,
    /// The machines that it is about; empty: all, or something else.
    pub machines: Vec<String>,
    /// The host of what is refused; none: no single one.
    pub host: Option<String>,
    /// The reason; a sentence without its full stop.
    pub why: String,
    /// What to do instead; empty if the reason says it.
    pub instead: String,
}

/// The rules that can refuse a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefusalKind {
    /// An edit that is not possible on a living cluster.
    Edit,
    /// The file differs from the configuration of a run that did not end, and that run has made machines with it.
    Unfinished,
    /// There is no upgrade path from the cluster's versions to the wanted ones.
    Versions,
    /// An intermediate release of an upgrade does not take the file's variables.
    OnTheWay,
    /// The chosen action does not cover the edit or step.
    Action,
    /// With `--local`, the folder's site file has settings that run programs, which only the person's own site file may have.
    Site,
    /// The network of existing machines can't be changed.
    Network,
    /// An address belongs to another machine.
    Address,
    /// A pool's folder can't be changed: disks are not moved.
    Pool,
    /// All disks of a pool are missing.
    PoolEmpty,
    /// A disk can't shrink.
    DiskSize,
    /// The file of a disk is not the disk that was made.
    DiskReplaced,
    /// A machine's disks are used by another machine.
    DisksTaken,
    /// A machine can't be moved to another host.
    Host,
    /// A machine was changed by hand, or can't be changed to the wanted one.
    Machine,
    /// A host no longer offers KVM.
    Kvm,
    /// The note of a machine can't be read.
    Note,
    /// No note says what is set up on a machine's disk.
    Unknown,
    /// A disk is lost without which the cluster can't work.
    DiskLost,
    /// All masters are gone.
    MastersLost,
    /// A setting that is fixed at the first set-up differs from the cluster's.
    Settings,
    /// etcd is being restored from a snapshot.
    Restoring,
    /// etcd would have no majority.
    Quorum,
    /// A member of etcd does not answer while others would join or leave.
    MemberDown,
    /// An even number of masters is wanted.
    EvenMasters,
    /// With this release no master can join.
    Joining,
    /// The network plugin can only be set up on all nodes at once.
    NetworkPlugin,
    /// A master is not a member of etcd, and the step needs all of them to be.
    Members,
    /// A machine does not answer, or gives an unexpected answer.
    Away,
    /// There is not enough space on a machine's disk.
    Room,
    /// A snapshot is of another cluster.
    Snapshot,
}

impl Refusal {
    /// A refusal. The methods below add what it is about.
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

    /// The same refusal, with what is refused.
    pub fn of(mut self, what: impl ToString) -> Self {
        self.what = what.to_string();
        self
    }

    /// The same refusal, with the path in the file.
    pub fn at(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// The same refusal, about one more machine.
    pub fn on(mut self, machine: impl ToString) -> Self {
        self.machines.push(machine.to_string());
        self
    }

    /// The same refusal, with the applied or observed value and the wanted one.
    pub fn from_to(mut self, from: impl ToString, to: impl ToString) -> Self {
        self.from = Some(from.to_string());
        self.to = Some(to.to_string());
        self
    }

    /// The refusals as lines for people.
    pub fn sentences(refused: &[Self]) -> Vec<String> {
        refused.iter().map(Self::to_string).collect()
    }

    /// The same refusals, with all that have the same kind and reason merged into one: a single key of a file can cause several
    /// edits, as a Kubernetes version that needs another Kubespray, or a default of many machines.
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
