//! [`Plan`]: what is to be done, in order; its `Display` is what a person approves.

use std::fmt;

use kubitect_config::Refusal;
use kubitect_config::value::Label;
use serde::Serialize;

use crate::change::{Change, Disruption, Kind, Part, Step};

/// What is to be done: on each host in this order, hosts side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: Label,
    /// The steps: part after part, and in each of them what depends on another after it.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Nothing.
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
    /// Those of [`Part::Restart`] are one for each machine; a caller that wants to have machines down one at a time applies
    /// them as plans of one change each, since [`apply`](crate::apply::apply) works on all hosts side by side.
    pub fn part(&self, part: Part) -> Self {
        let changes = self.changes.iter().filter(|change| change.part == part);
        Self {
            cluster: self.cluster.clone(),
            changes: changes.cloned().collect(),
        }
    }

    /// The machines that are made, or recreated.
    pub fn makes(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::CreateDomain(domain) => Some(&domain.name),
            _ => None,
        })
    }

    /// The machines whose definitions are gone and whose disks are there; with the definition goes what was noted of one.
    pub fn brings_back(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::BringBack(domain) => Some(&domain.name),
            _ => None,
        })
    }

    /// Has this noted of a machine that is brought back, from its definition on.
    pub fn remember(&mut self, node: &Label, note: &str) {
        for change in &mut self.changes {
            if let Step::BringBack(domain) = &mut change.step
                && domain.name == *node
            {
                domain.note = Some(note.to_owned());
            }
        }
    }

    /// What of it machines that are there need before they can be started: their networks, and the pools with their disks.
    pub fn ground(&self) -> Self {
        let starts = |step: &Step| matches!(step, Step::StartNetwork(_) | Step::StartPool(_));
        let changes = self.changes.iter().filter(|change| starts(&change.step));
        Self {
            cluster: self.cluster.clone(),
            changes: changes.cloned().collect(),
        }
    }

    /// The machines that are removed for good.
    pub fn removes(&self) -> impl Iterator<Item = &Label> {
        self.changes.iter().filter_map(|change| match &change.step {
            Step::RemoveDomain(name) if change.part == Part::Remove => Some(name),
            _ => None,
        })
    }

    /// Why changes can't be done: with one of them, the plan is not applied at all.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.changes.iter().filter_map(Change::refusal)
    }

    /// Whether the base image must be brought along to [`apply`](crate::apply::apply).
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

    /// The nodes whose seeds must be brought along to [`apply`](crate::apply::apply).
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

/// What a person should know of a change.
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

/// How many changes, of machines, and destructive.
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
