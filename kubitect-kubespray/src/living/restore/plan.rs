//! [`Restore`]: the plan to restore a cluster's etcd from a snapshot, as a person approves it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use kubitect_config::cluster::Node;
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::Label;

use super::content::Content;
use crate::control::LocalMember;
use crate::living::Note;

/// A master whose etcd member is restored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Master {
    pub node: Node,
    pub note: Note,
    pub member: LocalMember,
}

impl Master {
    fn replaced_data(&self) -> String {
        let (name, folder) = (&self.node.name, &self.member.folder);
        format!("{name}: etcd's data are replaced; they stay in {folder}, as set-aside-TIME")
    }
}

/// The plan to restore a cluster's etcd from a snapshot. `Display` shows it to people.
#[derive(Debug, Clone, PartialEq)]
pub struct Restore {
    pub(super) cluster: Label,
    pub(super) content: Content,
    pub(super) masters: Vec<Master>,
    /// The workers, whose kubelets are restarted at the end.
    pub(super) workers: Vec<Label>,
    /// Whether etcd's program on all masters can raise the revision while it unpacks a snapshot (`--bump-revision`): clients that
    /// watch then notice that their revisions are gone.
    pub(super) bumps_revision: bool,
    pub(super) notes: Vec<String>,
}

/// What is done, in this order.
pub(super) const PHASES: [&str; 4] = [
    "bring the snapshot to the masters, and unpack it beside etcd's data",
    "stop the control plane, then etcd, on all masters",
    "set etcd's data aside, and start etcd with the snapshot's",
    "start the control plane, and restart the kubelets of all nodes",
];

impl Restore {
    /// What the snapshot holds.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// What is done, in this order.
    pub fn phases(&self) -> Vec<String> {
        PHASES.map(str::to_owned).to_vec()
    }

    /// A row for each master, whose data are replaced.
    pub fn rows(&self) -> Vec<Row> {
        self.masters.iter().map(row).collect()
    }

    /// What a person should know before they approve: which changes are lost, and which nodes differ.
    pub fn notes(&self) -> Vec<String> {
        let lost = "what was changed in Kubernetes since then is lost";
        let taken = match self.content.taken {
            Some(taken) => format!("the snapshot was taken at {}: {lost}", ago(taken)),
            None => format!("nothing in the snapshot says when it was taken: {lost}"),
        };
        let mut notes = vec![taken];
        notes.push(
            "while it is done there is no API; pods run on. What lies on volumes is not in a snapshot, and stays as it is".to_owned(),
        );
        notes.extend(self.node_differences());
        notes.extend(self.notes.iter().cloned());
        notes
    }

    /// Which snapshot etcd is restored from.
    fn title(&self) -> String {
        let Content { file, bytes, .. } = &self.content;
        let (file, kib) = (file.display(), bytes.div_ceil(1024));
        let kubernetes = self.content.kubernetes.as_ref();
        let kubernetes = kubernetes.map_or(String::new(), |is| format!(", Kubernetes {is}"));
        let revision = self.content.revision;
        format!("etcd is brought back to {file} ({kib} KiB, revision {revision}{kubernetes})")
    }

    /// The nodes that only the snapshot has, and those that only the cluster has.
    fn node_differences(&self) -> Vec<String> {
        let masters = self.masters.iter().map(|master| &master.node.name);
        let present = masters.chain(&self.workers).map(Label::to_string);
        let present: BTreeSet<_> = present.collect();
        let recorded = &self.content.nodes;
        let list = |names: Vec<&String>| {
            let names: Vec<_> = names.into_iter().map(String::as_str).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let gone = list(recorded.difference(&present).collect()).map(|names| {
            format!(
                "{names}: come back as nodes without a machine, NotReady; `kubectl delete node` removes them"
            )
        });
        let new = list(present.difference(recorded).collect()).map(|names| {
            format!(
                "{names}: not in the snapshot; their kubelets register them again, without labels and taints that were set by hand"
            )
        });
        gone.into_iter().chain(new).collect()
    }
}

fn row(master: &Master) -> Row {
    let Node { name, host, .. } = &master.node;
    let aside = format!("what it holds is set aside in {}", master.member.folder);
    let row = Row::new(Action::Restore, Kind::Etcd, name.as_str(), host.to_string());
    let mut row = row.disturbing(Disruption::DataLoss).with(&aside);
    (row.phase, row.destructive) = (3, true);
    row
}

/// A time, and how long ago it was.
fn ago(taken: SystemTime) -> String {
    let time = chrono::DateTime::<chrono::Utc>::from(taken);
    let time = time.format("%Y-%m-%dT%H:%M:%SZ");
    match SystemTime::now().duration_since(taken) {
        Ok(since) => format!("{time}, {} ago", in_two_units(since)),
        Err(_) => time.to_string(),
    }
}

/// A duration in its two largest units.
fn in_two_units(since: Duration) -> String {
    let minutes = since.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, hours, _) => format!("{days} days {hours} h"),
    }
}

impl fmt::Display for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}:", self.cluster, self.title())?;
        for (phase, number) in PHASES.iter().zip(1..) {
            writeln!(f, "  {number}. {phase}")?;
        }
        for master in &self.masters {
            writeln!(f, "! {}", master.replaced_data())?;
        }
        let notes = self.notes();
        notes
            .iter()
            .try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_is_said_in_two_units() {
        for (minutes, text) in [
            (0, "0 min"),
            (61, "1 h 1 min"),
            (1440, "1 day 0 h"),
            (3 * 1440 + 125, "3 days 2 h"),
        ] {
            assert_eq!(in_two_units(Duration::from_secs(minutes * 60)), text);
        }
    }
}
