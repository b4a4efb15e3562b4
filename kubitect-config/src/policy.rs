//! [`policy()`]: what each edit disturbs, or why it is refused and what to do instead.
//!
//! A file says what is wanted; this module decides, for each kind of edit, whether a living cluster can be changed to it. No edit
//! is carried out by recreating a machine, as that would lose its disks and its membership in the cluster: a machine that cannot
//! be changed in place stays as it is, and the refusal says how a new machine takes its place. (A machine that is *lost* is
//! recreated, whatever the file says.)

use std::fmt;

use serde::Serialize;

use crate::edit::{Change, Edit};
use crate::row::Row;
use crate::{Cluster, Refusal, RefusalKind};

mod refused;
mod remark;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod unfinished_run;

pub use refused::refused;
pub use remark::remark;
pub use step::TAKES_PODS;
use step::uncovered_steps;
pub use table::policy;
pub use unfinished_run::UnfinishedRun;

/// Whether an edit is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// It is carried out on the living cluster; machines keep their disks, unless the edit removes them.
    InPlace(Disturbs),
    /// It is not carried out, and no other edit of the same file is: a plan is carried out whole or not at all.
    Refused {
        /// The reason; a sentence without its full stop.
        why: String,
        /// What to do instead; fits after a semicolon.
        instead: String,
    },
}

impl Policy {
    /// The refusal of the edit, if this policy refuses it.
    pub fn refusal(self, edit: &Edit) -> Option<Refusal> {
        match self {
            Self::InPlace(_) => None,
            Self::Refused { why, instead } => {
                Some(Refusal::of_edit(RefusalKind::Edit, edit, why, instead))
            }
        }
    }
}

/// The most that an edit can disturb. The plan says what it really disturbs: a processor, for example, can often be added to a
/// running machine (hot-plug).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Disturbs {
    /// Nothing that runs.
    Nothing,
    /// Nothing that exists: the edit counts for machines that are made from now on.
    NewMachinesOnly,
    /// Nothing now: a node gets the new value when it is upgraded or made.
    NextUpgrade,
    /// Nothing; an addon that was set up stays until a person removes it.
    Leftovers,
    /// The balancers reload their configuration; open connections stay.
    Reload,
    /// Pods that do not tolerate the taint are evicted.
    Eviction,
    /// The API servers restart, one after another.
    ApiServers,
    /// The VIP moves to another balancer once or twice, which ends open connections.
    Failover,
    /// The machines concerned are drained and restarted, one at a time.
    Reboot,
    /// All nodes are drained and upgraded, one at a time.
    Upgrade,
    /// The data on a disk is lost.
    DiskLoss,
    /// The machine is drained, taken out of the cluster and removed, with all of its disks.
    MachineLoss,
}

impl Disturbs {
    /// Whether data is lost for good.
    pub fn is_data_loss(self) -> bool {
        matches!(self, Self::DiskLoss | Self::MachineLoss)
    }
}

impl fmt::Display for Disturbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing is disturbed",
            Self::NewMachinesOnly => "counts for machines that are made from now on",
            Self::NextUpgrade => {
                "counts for a node from its next upgrade on, and for nodes that are made from now on"
            }
            Self::Leftovers => "what was set up before stays until it is removed by hand",
            Self::Reload => "balancers reload",
            Self::Eviction => "pods that do not tolerate it are evicted",
            Self::ApiServers => "API servers restart one after another",
            Self::Failover => "the VIP moves to another balancer, which ends open connections",
            Self::Reboot => "a restart of each machine concerned, one at a time, unless it can be done while it runs",
            Self::Upgrade => "each node is drained and upgraded, one at a time",
            Self::DiskLoss => "the disk's data is lost",
            Self::MachineLoss => "the machine is taken out of the cluster and removed, and the data on its disks is lost",
        })
    }
}

/// What `apply` is allowed to do, where a person narrows it (`--action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Make the cluster, or carry out edits that the other two do not cover.
    Create,
    /// Add and remove machines.
    Scale,
    /// Change the version of Kubernetes or Kubespray.
    Upgrade,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Scale => "scale",
            Self::Upgrade => "upgrade",
        })
    }
}

/// The one action that covers an edit.
pub fn action(edit: &Edit) -> Action {
    match edit.change {
        Change::NodeAdded { .. } | Change::NodeRemoved { .. } => Action::Scale,
        Change::Versions { .. } => Action::Upgrade,
        _ => Action::Create,
    }
}

/// Whether an action covers an edit; if not, [`action()`] names the one that does.
pub fn covers(chosen: Action, edit: &Edit) -> bool {
    action(edit) == chosen
}

/// The refusals of all edits that the chosen action does not cover; if it covers all edits, those of the steps of their plan.
/// `edits` is none for a cluster that was never applied to its end.
pub fn uncovered(
    chosen: Action,
    cluster: &Cluster,
    edits: Option<&[Edit]>,
    steps: &[Row],
) -> Vec<Refusal> {
    match uncovered_edits(chosen, edits) {
        refused if refused.is_empty() => uncovered_steps(chosen, cluster, edits, steps),
        refused => refused,
    }
}

/// The refusals of all edits that the chosen action does not cover. Where `edits` is none, the cluster is yet to be made, and only
/// [`Action::Create`] does that.
fn uncovered_edits(chosen: Action, edits: Option<&[Edit]>) -> Vec<Refusal> {
    let Some(edits) = edits else {
        return match chosen {
            Action::Create => Vec::new(),
            _ => vec![
                Refusal::new(
                    RefusalKind::Action,
                    "it changes a finished cluster, and this one has yet to be made",
                    "use the action `create`, or none",
                )
                .of(format!("the action `{chosen}`")),
            ],
        };
    };
    let others = edits.iter().filter(|edit| !covers(chosen, edit));
    let refused = others.map(|edit| {
        let (why, instead) = uncovered_by(chosen, action(edit));
        Refusal::of_edit(RefusalKind::Action, edit, why, instead)
    });
    refused.collect()
}

/// Why the chosen action does not cover what the other action covers, and what to do instead.
fn uncovered_by(chosen: Action, other: Action) -> (String, String) {
    (
        format!("the action `{chosen}` does not cover this"),
        format!("use the action `{other}`, or none"),
    )
}
