//! [`Plan`]: the changes that are to be made, in order. Its `Display` is the text that a person approves.

use std::fmt;

use kubitect_config::Refusal;
use kubitect_config::value::Label;
use serde::Serialize;

use crate::change::{Change, Disruption, Kind, Part, Step};

/// The changes that are to be made: on each host in this order, on all hosts in parallel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: Label,
    /// The changes, part after part. Within a part, a change comes after those that it depends on.
    pub changes: Vec<Change>,
}

impl Plan {
    /// A plan without changes.
    pub fn empty(cluster: &Label) -> Self {
        Self {
            cluster: cluster.clone(),
            changes: Vec::new(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes of one part, in their order.
    ///
    /// [`Part::Restart`] has one change for each machine. A caller that restarts machines one at a time applies each as a plan of its
    /// own, since [`apply`](crate::apply::apply) works on all hosts in parallel.
    pub fn part(&self, part: Part) -> Self {
        let changes = self.changes.iter().filter(|change| change.part == part);
        Self {
            cluster: self.cluster.clone(),
            changes: changes.cloned().collect(),
        }
    }

    /// The machines that are created or recreated.
    pub fn created(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::CreateDomain(domain) => Some(&domain.name),
            _ => None,
        })
    }

    /// The machines whose definition is lost and whose main disk exists: they are defined again. Their notes were lost with the
    /// definitions.
    pub fn recovered(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::RecoverDomain(domain) => Some(&domain.name),
            _ => None,
        })
    }

    /// Sets the note that a recovered machine is defined with.
    pub fn set_note(&mut self, node: &Label, note: &str) {
        for change in &mut self.changes {
            if let Step::RecoverDomain(domain) = &mut change.step
                && domain.name == *node
            {
                domain.note = Some(note.to_owned());
            }
        }
    }

    /// The changes that existing machines need before they can be started: starts of their networks, and of the pools with their disks.
    pub fn prerequisites(&self) -> Self {
        let starts = |step: &Step| matches!(step, Step::StartNetwork(_) | Step::StartPool(_));
        let changes = self.changes.iter().filter(|change| starts(&change.step));
        Self {
            cluster: self.cluster.clone(),
            changes: changes.cloned().collect(),
        }
    }

    /// The machines that are removed for good.
    pub fn removed(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::RemoveDomain(name) if change.part == Part::Remove => Some(name),
            _ => None,
        })
    }

    /// Why changes can't be made. With one such change, the plan is not applied at all.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.changes.iter().filter_map(Change::refusal)
    }

    /// Whether [`apply`](crate::apply::apply) needs the base image in its inputs.
    pub fn needs_image(&self) -> bool {
        self.changes.iter().any(|change| {
            matches!(
                change.step,
                Step::CreateImage(_)
                    | Step::CreateVolume {
                        overlay: Some(_),
                        ..
                    }
            )
        })
    }

    /// The nodes whose seeds [`apply`](crate::apply::apply) needs in its inputs.
    pub fn needs_seeds(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::WriteSeed { node, .. } => Some(node),
            _ => None,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "{}: nothing to do", self.cluster);
        }
        let widest = |text: fn(&Change) -> usize| self.changes.iter().map(text).max().unwrap_or(0);
        let name = widest(|change| change.name.len());
        let host = widest(|change| change.host.as_str().len());
        for change in &self.changes {
            let line = format!(
                "{} {:7} {:7} {:name$}  on {:host$}  {}",
                if change.is_destructive() { '!' } else { ' ' },
                change.action,
                change.kind,
                change.name,
                change.host,
                remarks(change),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "{}: {}", self.cluster, summary(&self.changes))
    }
}

/// What the line of a change says besides action, kind, name and host.
fn remarks(change: &Change) -> String {
    let mut remarks = Vec::new();
    if change.refusal().is_some() {
        remarks.push("NOT POSSIBLE".to_owned());
    }
    if change.disruption != Disruption::None {
        remarks.push(format!("[{}]", change.disruption));
    }
    if !change.details.is_empty() {
        remarks.push(change.details.clone());
    }
    remarks.join(" ")
}

/// The plan's last line: how many changes, how many of them to machines, and how many remove something.
fn summary(changes: &[Change]) -> String {
    let machines = changes.iter().filter(|c| c.kind == Kind::Domain).count();
    let destructive = changes.iter().filter(|c| c.is_destructive()).count();
    let mut text = format!(
        "{} change{}, {machines} of them to machines",
        changes.len(),
        if changes.len() == 1 { "" } else { "s" },
    );
    if destructive > 0 {
        text.push_str(&format!("; {destructive} marked ! remove something"));
    }
    text
}
