//! Why tasks can't be carried out with the cluster's Kubespray release, or with its network plugin. Pure.

use std::collections::BTreeSet;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, Refusal, RefusalKind};

use crate::joining;
use crate::living::stage::{ObservedNode, Stage, Task};

/// The refusals; none, if all tasks can be carried out.
pub(super) fn reasons(cluster: &Cluster, nodes: &[ObservedNode], tasks: &[Task]) -> Vec<Refusal> {
    let mut reasons = joins(nodes, tasks);
    reasons.extend(macvlan(cluster, nodes, tasks));
    reasons
}

/// The refusals for masters that can't join with this release: see [`joining`].
fn joins(nodes: &[ObservedNode], tasks: &[Task]) -> Vec<Refusal> {
    let masters = || nodes.iter().filter(|node| node.node.role == Role::Master);
    let members: Vec<_> = masters().filter_map(|master| master.node.ip).collect();
    let reason = |task: &Task| {
        let Stage::JoinMaster(name) = &task.stage else {
            return None;
        };
        let release = &task.release.kubespray;
        let master = masters().find(|master| master.node.name == *name);
        let hidden = |ip| joining::address_refusal(release, ip, &members);
        let reason = joining::release_refusal(release)
            .or_else(|| master.and_then(|master| master.node.ip).and_then(hidden))?;
        Some(reason.of(format!("{name} can't join")).on(name))
    };
    tasks.iter().filter_map(reason).collect()
}

/// The refusal of the first task that fails with macvlan. macvlan's tasks in Kubespray use a fact of every node that takes pods
/// (its part of the pods' range), and Ansible has that fact only of nodes that the run includes: a run that leaves such a node
/// out fails. No other plugin's tasks do so.
fn macvlan(cluster: &Cluster, nodes: &[ObservedNode], tasks: &[Task]) -> Option<Refusal> {
    let finished = |role| {
        let nodes = nodes.iter().filter(move |node| node.node.role == role);
        nodes
            .filter(|node| node.finished().is_some() && node.answers)
            .map(|node| &node.node.name)
            .collect::<BTreeSet<_>>()
    };
    let workers = finished(Role::Worker);
    let take_pods = match workers.is_empty() {
        true => finished(Role::Master),
        false => workers.clone(),
    };
    let leaves_out = |task: &&Task| match &task.stage {
        Stage::Upgrade { node, .. } => take_pods.iter().any(|other| *other != node),
        Stage::JoinWorkers(names) => workers.iter().any(|other| !names.contains(other)),
        Stage::JoinMaster(_) => !workers.is_empty(),
        _ => false,
    };
    let is_macvlan = &*cluster.kubernetes.network_plugin == "macvlan";
    let task = tasks.iter().find(leaves_out).filter(|_| is_macvlan)?;
    let why = "with macvlan Kubespray sets up only all nodes at once, and stops in a run that leaves one out";
    let instead = "make a new cluster for it, or one with another network plugin";
    Some(Refusal::new(RefusalKind::NetworkPlugin, why, instead).of(&task.stage))
}
