//! The tasks of a plan as rows, and what work on a node disturbs: its pods, and what it alone serves.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Effect, Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::row::{Disruption, Row};
use kubitect_config::value::Label;

use super::stage::{Stage, Task};
use crate::joining;

/// What is true of every drain.
const DRAINING: &str = "draining a node deletes pods that no controller makes again, and what is in the emptyDir volumes of all its \
     pods; a pod that a disruption budget keeps is waited for, and stops the run after 5 minutes";

/// Whether another node takes pods of this one, as far as roles and taints say: pods stay on the only one. Masters take pods
/// only where there are no workers.
fn pods_move(cluster: &Cluster, name: &str) -> bool {
    let role = match cluster.role(Role::Worker).next() {
        Some(_) => Role::Worker,
        None => Role::Master,
    };
    let keeps_out = |node: &Node| {
        let mut taints = node.taints.iter();
        taints.any(|taint| taint.effect != Effect::PreferNoSchedule)
    };
    let mut others = cluster
        .role(role)
        .filter(|node| node.name.as_str() != name && !keeps_out(node));
    others.next().is_some()
}

/// What becomes of the API while the only member of etcd restarts, or one of two.
const PAUSES: &str = "etcd and the API restart, and don't answer meanwhile";

/// What stops serving while this node is away, because there is no second one; none: nothing.
fn outage(cluster: &Cluster, name: &str) -> Option<&'static str> {
    let is_only = |role| {
        let names: Vec<_> = cluster.role(role).map(|node| node.name.as_str()).collect();
        names == [name]
    };
    if is_only(Role::Master) {
        Some(PAUSES)
    } else if is_only(Role::LoadBalancer) {
        Some("nothing leads to the API meanwhile")
    } else {
        None
    }
}

/// A row with what work on a node disturbs.
fn disturbing(mut row: Row, is_drained: bool, cluster: &Cluster, drain: Disruption) -> Row {
    if is_drained {
        row = match pods_move(cluster, &row.name) {
            true => row.disturbing(drain),
            false => row.with("its pods stay on it, no other node takes them"),
        };
    }
    match outage(cluster, &row.name) {
        Some(outage) => row.disturbing(Disruption::Outage).with(outage),
        None => row,
    }
}

/// The row of a restart, with what it disturbs. A node of Kubernetes is drained for it.
pub fn restart(row: Row, is_drained: bool, cluster: &Cluster) -> Row {
    let row = match is_drained && pods_move(cluster, &row.name) {
        true => row.with("drained before"),
        false => row,
    };
    disturbing(row, is_drained, cluster, Disruption::Reboot)
}

fn upgrade(row: Row, to: &Hop, pauses: bool, cluster: &Cluster) -> Row {
    let drained = match pods_move(cluster, &row.name) {
        true => "drained, then ",
        false => "",
    };
    let row = row.with(&format!("{drained}{to}"));
    let row = disturbing(row, true, cluster, Disruption::Drain);
    match pauses && outage(cluster, &row.name).is_none() {
        true => row.disturbing(Disruption::Outage).with(PAUSES),
        false => row,
    }
}

/// What a person should know of a plan with these tasks and these restarts of nodes, which no row shows; none: nothing.
pub fn remark<'a>(
    cluster: &Cluster,
    tasks: impl IntoIterator<Item = &'a Task>,
    restarts: impl IntoIterator<Item = &'a str>,
) -> Option<&'static str> {
    let drains = tasks.into_iter().any(|task| task.drains(cluster))
        || restarts.into_iter().any(|name| pods_move(cluster, name));
    drains.then_some(DRAINING)
}

impl Task {
    /// Whether pods are moved away from a node.
    fn drains(&self, cluster: &Cluster) -> bool {
        match &self.stage {
            Stage::Upgrade { node, .. } => pods_move(cluster, node.as_str()),
            Stage::Leave { .. } => true,
            _ => false,
        }
    }

    /// What the task does, a row for each node; `host` tells which host carries one.
    pub fn rows(&self, cluster: &Cluster, host: &dyn Fn(&Label) -> String) -> Vec<Row> {
        let at = self.at.to_string();
        let row = |action: &str, name: &Label, details: &str| {
            Row::new(action, "node", name.as_str(), host(name)).with(details)
        };
        let on_masters = |kind: &str, details: &str| -> Vec<_> {
            let first = cluster.role(Role::Master).next().into_iter();
            let rows = first.map(|node| {
                Row::new("update", kind, cluster.name.as_str(), host(&node.name)).with(details)
            });
            rows.collect()
        };
        match &self.stage {
            Stage::Create => {
                let nodes = cluster.nodes.iter();
                let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
                nodes.map(|node| row("create", &node.name, &at)).collect()
            }
            Stage::Leave { nodes, reachable } => {
                let how = match reachable {
                    true => "drained, then it leaves Kubernetes",
                    false => "it does not answer, and leaves Kubernetes without being asked",
                };
                let worker = format!("{}-worker-", cluster.name);
                let is_last = |name: &Label| {
                    name.as_str().starts_with(&worker)
                        && cluster.role(Role::Worker).next().is_none()
                };
                let leave = |name| {
                    let row = row("delete", name, how).disturbing(Disruption::Drain);
                    let row = match is_last(name) {
                        true => row.with("no worker stays, and the masters take pods from now on"),
                        false => row,
                    };
                    Row {
                        destructive: true,
                        ..row
                    }
                };
                nodes.iter().map(leave).collect()
            }
            Stage::JoinMaster(name) => {
                let pauses = joining::pauses(&self.at.kubespray);
                vec![row("create", name, &format!("joins: {at}; {pauses}"))]
            }
            Stage::JoinWorkers(names) => {
                let joins = format!("joins: {at}");
                names
                    .iter()
                    .map(|name| row("create", name, &joins))
                    .collect()
            }
            Stage::Members => {
                let disruption = match cluster.role(Role::Master).count() {
                    1 => Disruption::Outage,
                    _ => Disruption::Reload,
                };
                let how = "the API servers use the members that stay, one after another";
                let rows = on_masters("etcd", how).into_iter();
                rows.map(|row| row.disturbing(disruption)).collect()
            }
            Stage::Snapshot => on_masters("etcd", "a snapshot is saved on this machine"),
            Stage::Addons => on_masters("addons", "installed or changed"),
            Stage::Describe(name) => vec![row("update", name, "labels and taints")],
            Stage::Release(name) => vec![row("update", name, "takes pods again")],
            Stage::Upgrade { node, to, pauses } => {
                vec![upgrade(row("update", node, ""), to, *pauses, cluster)]
            }
        }
    }
}
