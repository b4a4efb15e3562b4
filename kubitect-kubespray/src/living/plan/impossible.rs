//! Why tasks can't be carried out with the release, or the network plugin, that is there. Pure.

use std::collections::BTreeSet;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, Refusal, RefusalKind};

use crate::joining;
use crate::living::stage::{Seen, Stage, Task};

/// The reasons; none: they can be.
pub(super) fn reasons(cluster: &Cluster, seen: &[Seen], tasks: &[Task]) -> Vec<Refusal> {
    let mut reasons = joins(seen, tasks);
    reasons.extend(left_out(cluster, seen, tasks));
    reasons
}

/// The masters that can't join with the release that is there, each with the reason.
fn joins(seen: &[Seen], tasks: &[Task]) -> Vec<Refusal> {
    let masters = || seen.iter().filter(|seen| seen.node.role == Role::Master);
    let members: Vec<_> = masters().filter_map(|seen| seen.node.ip).collect();
    let reason = |task: &Task| {
        let Stage::JoinMaster(name) = &task.stage else {
            return None;
        };
        let release = &task.at.kubespray;
        let own = masters().find(|seen| seen.node.name == *name);
        let hidden = |ip| joining::hidden(release, ip, &members);
        let reason = joining::refused(release)
            .or_else(|| own.and_then(|seen| seen.node.ip).and_then(hidden))?;
        Some(reason.of(format!("{name} can't join")).on(name))
    };
    tasks.iter().filter_map(reason).collect()
}

/// macvlan's tasks ask every node that takes pods for its part of the pods' range, which only a run with that node knows: one that leaves
/// such nodes out stops there. Kubespray's other plugins don't.
fn left_out(cluster: &Cluster, seen: &[Seen], tasks: &[Task]) -> Option<Refusal> {
    let finished = |role| {
        let own = seen.iter().filter(move |own| own.node.role == role);
        own.filter(|own| own.finished().is_some() && own.answers)
            .map(|own| &own.node.name)
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
    let concerned = &*cluster.kubernetes.network_plugin == "macvlan";
    let task = tasks.iter().find(leaves_out).filter(|_| concerned)?;
    let why = "with macvlan Kubespray sets up only all nodes at once, and stops in a run that leaves one out";
    let instead = "make a new cluster for it, or one with another network plugin";
    Some(Refusal::new(RefusalKind::NetworkPlugin, why, instead).of(&task.stage))
}
