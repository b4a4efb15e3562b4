//! [`tasks`]: the changes of Kubernetes that lead to what the file wants, in order, from the notes on the machines. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::{self, Cilium, Hop};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal, RefusalKind, chain};

use super::note::{self, Note};
use super::stage::{ObservedNode, Stage, Task};
use crate::Error;
use crate::goal::network_in_etcd;
use crate::quorum::{self, Member, Step};

/// The tasks that lead from what is observed to what is wanted, or all reasons why nothing is done.
///
/// The order: dead and half-way members of etcd leave; nodes that an interrupted upgrade left behind get the newest noted release;
/// masters join and leave; workers join and leave; the cluster is upgraded hop by hop; nodes return to service; labels, taints and
/// addons are changed.
pub fn tasks(cluster: &Cluster, nodes: &[ObservedNode]) -> Result<Vec<Task>, Vec<Refusal>> {
    let masters = || nodes.iter().filter(|node| node.node.role == Role::Master);
    let wanted = cluster.kubernetes.hop();
    if !masters().any(ObservedNode::is_finished) {
        return create(cluster, nodes, wanted);
    }
    check_settings(cluster, nodes)?;
    let restoring = |master: &ObservedNode| master.note.as_ref().is_some_and(|note| note.restoring);
    if masters().any(restoring) {
        let instead = format!(
            "`kubitect etcd restore {} FILE` with that snapshot ends it. Until then nothing else is done",
            cluster.name
        );
        let why = "its etcd was being brought back to a snapshot by a run that was not finished";
        return refused(cluster, RefusalKind::Restoring, why, instead);
    }

    // An interrupted upgrade leaves nodes of two releases. All get the newer one before other changes: a playbook runs on all nodes
    // with one release, and nothing older than they have is run on them.
    let (base, path) = releases(cluster, nodes, &wanted)?;
    let mut stages = Tasks::default();
    // Dead and half-way members leave before any upgrade or join: Kubespray's playbooks for masters fail while etcd lists a member
    // that does not answer, or one that is not in the inventory.
    let mut leave_first = membership(cluster, nodes)?;
    let is_other = |stage: &Stage| !matches!(stage, Stage::Leave { .. });
    let membership = match leave_first.iter().position(is_other) {
        Some(index) => leave_first.split_off(index),
        None => Vec::new(),
    };
    stages.add(&base, leave_first);
    // The playbook with which a master joins runs on all masters, also on those that leave after it; so does the one that gives a
    // network plugin etcd's members. So masters that leave are upgraded as well, if one of the two runs.
    let in_etcd = release::find_or_newest(&base.kubespray)
        .is_some_and(|release| network_in_etcd(cluster, release));
    let runs_on_all = |stage: &Stage| match stage {
        Stage::JoinMaster(_) => true,
        Stage::Members => in_etcd,
        _ => false,
    };
    let all_masters = membership.iter().any(runs_on_all);
    let goes_through = |node: &ObservedNode| {
        node.wanted || all_masters && node.answers && node.node.role == Role::Master
    };
    let is_behind = |node: &&ObservedNode| {
        goes_through(node) && node.finished().is_some_and(|note| note.release < base)
    };
    // If one of three masters was lost, the two others are upgraded although etcd pauses at each: a third master joins with this
    // release, and can do so only once both have it.
    let members = masters().filter(|master| master.answers && master.is_finished());
    stages.upgrades(nodes.iter().filter(is_behind), &base, members.count() == 2);
    stages.add(&base, membership);
    stages.add(&base, workers(nodes));
    // Nodes that have just joined have the release of the others, so they take part in every hop.
    for hop in path {
        stages.upgrades(nodes.iter().filter(|node| node.wanted), &hop, false);
    }
    let upgrades = |task: &Task, name: &Label| matches!(&task.stage, Stage::Upgrade { node, .. } if node == name);
    let upgraded = |name: &Label| stages.0.iter().any(|task| upgrades(task, name));
    // An upgrade returns its node to service itself.
    let held: Vec<_> = nodes
        .iter()
        .filter(|node| node.wanted && node.finished().is_some_and(Note::is_held))
        .map(|node| &node.node.name)
        .filter(|name| !upgraded(name))
        .map(|name| Stage::ReturnToService(name.clone()))
        .collect();
    stages.add(&wanted, held);
    let relabelled = nodes.iter().filter(|node| {
        node.wanted
            && node.finished().is_some_and(|note| {
                note.labels != node.node.labels || note.taints != taints(&node.node)
            })
    });
    let relabel = |node: &ObservedNode| Stage::LabelsAndTaints(node.node.name.clone());
    stages.add(&wanted, relabelled.map(relabel).collect());
    let addons = note::addons(cluster).or_else(|e| no_digest(cluster, &e))?;
    let finished = masters()
        .filter(|node| node.wanted)
        .filter_map(ObservedNode::finished);
    if finished.into_iter().any(|note| note.addons != addons) {
        stages.add(&wanted, vec![Stage::Addons]);
    }
    let impossible = impossible::reasons(cluster, nodes, &stages.0);
    match impossible.is_empty() {
        true => Ok(stages.0),
        false => Err(impossible),
    }
}

/// The release that all nodes have, or get before other changes, and the hops from there to the wanted one.
///
/// It is the newest release in any note. If a note says that an upgrade to a newer one was begun (`getting`), it is that one: the
/// node may have parts of it, and nothing older may run there.
fn releases(
    cluster: &Cluster,
    nodes: &[ObservedNode],
    wanted: &Hop,
) -> Result<(Hop, Vec<Hop>), Vec<Refusal>> {
    let finished = || {
        nodes
            .iter()
            .filter_map(|node| Some((&node.node.name, node.finished()?)))
    };
    let newest = finished().map(|(_, note)| &note.release).max();
    let newest = newest.unwrap_or(wanted);
    let plugin = &cluster.kubernetes.network_plugin;
    let cilium = Cilium::of(plugin, &cluster.addons.kubespray);
    let path = |from: &Hop| release::path_with(cilium, from, wanted);
    let begun = finished().filter_map(|(name, note)| Some((note.getting.as_ref()?, name)));
    // The notes of all masters name the begun release; the refusal names the first of these masters.
    let begun = begun.max_by_key(|(begun, name)| (*begun, Reverse(*name)));
    let Some((begun, name)) = begun.filter(|(begun, _)| *begun > newest) else {
        let no_path =
            |e: release::PathError| Refusal::new(RefusalKind::Versions, e.to_string(), "");
        let path =
            path(newest).map_err(|e| vec![no_path(e).of(&cluster.name).from_to(newest, wanted)])?;
        return Ok((newest.clone(), path));
    };
    let rest = path(begun).map_err(|e| {
        let why = format!(
            "a run that was not finished has begun to upgrade it, or a master before it, to {begun}, and may have put parts of that \
             in place; {e}"
        );
        let instead = "put these versions back into the file, or newer ones, and apply";
        let refusal = Refusal::new(RefusalKind::Versions, why, instead).of(name).on(name);
        vec![refusal.from_to(begun, wanted)]
    })?;
    // The first hop of a direct path may replace the begun release, if it is as new: the file may name a later patch by now.
    let covers = |hop: &Hop| hop.kubernetes >= begun.kubernetes && hop.kubespray >= begun.kubespray;
    match path(newest).ok().as_deref() {
        Some([first, others @ ..]) if covers(first) => Ok((first.clone(), others.to_vec())),
        _ => Ok((begun.clone(), rest)),
    }
}

/// The tasks of a cluster of which no master is finished: it is created, or its creation goes on.
fn create(cluster: &Cluster, nodes: &[ObservedNode], to: Hop) -> Result<Vec<Task>, Vec<Refusal>> {
    let wanted = || {
        nodes
            .iter()
            .filter(|node| node.wanted && node.node.role != Role::LoadBalancer)
    };
    let begun = wanted().any(|node| node.node.role == Role::Master && node.note.is_some());
    if !begun && wanted().any(ObservedNode::is_finished) {
        let why = "all its masters are gone, and what Kubernetes knew with them, while workers of it are still there";
        let instead = "bring back the masters' disks, or destroy the cluster and make it again";
        return refused(cluster, RefusalKind::MastersLost, why, instead);
    }
    let dropped: Vec<_> = nodes
        .iter()
        .filter(|node| !node.wanted && node.node.role == Role::Master && node.note.is_some())
        .map(|ObservedNode { node, .. }| {
            let why = "a run that was not finished may have made it a member of etcd, which would lose it with its machine";
            let instead = "put it back until the cluster is finished, or destroy the cluster and make it again";
            Refusal::new(RefusalKind::Unfinished, why, instead).of(&node.name).on(&node.name)
        })
        .collect();
    if !dropped.is_empty() {
        return Err(dropped);
    }
    let begun = wanted().filter_map(|node| Some((&node.node.name, node.note.as_ref()?)));
    check_begun(cluster, begun, &to)?;
    let mut stages = Tasks::default();
    if wanted().next().is_some() {
        stages.add(&to, vec![Stage::Create]);
        stages.add(&to, leaving_workers(nodes, true));
    }
    Ok(stages.0)
}

/// An error if an unfinished creation was begun with other settings that Kubespray can't change later, or with a newer release.
fn check_begun<'a>(
    cluster: &Cluster,
    begun: impl Iterator<Item = (&'a Label, &'a Note)>,
    to: &Hop,
) -> Result<(), Vec<Refusal>> {
    let settings = note::settings(cluster).or_else(|e| no_digest(cluster, &e))?;
    let instead = "put back what was there until the cluster is finished, or destroy the cluster and make it again";
    for (name, note) in begun {
        let was = &note.release;
        if note.settings != settings {
            let why = "the network plugin, the DNS mode, the container manager, the renewal of certificates or the virtual address \
                       differ from those with which a run that was not finished has begun";
            return refused(cluster, RefusalKind::Unfinished, why, instead);
        }
        if was.kubernetes > to.kubernetes || was.kubespray > to.kubespray {
            let why = format!(
                "a run that was not finished has begun to set up {was} there, and {to} may put older programs in the place of \
                 newer ones"
            );
            let refusal = Refusal::new(RefusalKind::Unfinished, why, instead)
                .of(name)
                .on(name);
            return Err(vec![refusal.from_to(was, to)]);
        }
    }
    Ok(())
}

/// The list of tasks while it is built.
#[derive(Default)]
struct Tasks(Vec<Task>);

impl Tasks {
    fn add(&mut self, release: &Hop, stages: Vec<Stage>) {
        let task = |stage| Task {
            stage,
            release: release.clone(),
        };
        self.0.extend(stages.into_iter().map(task));
    }

    /// Adds the upgrades of nodes to a release: one by one, masters first, because a kubelet must not be newer than the API server.
    /// A snapshot of etcd comes before the first. `two_members`: etcd has two members, and needs both.
    fn upgrades<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a ObservedNode>,
        to: &Hop,
        two_members: bool,
    ) {
        let (mut masters, workers): (Vec<_>, Vec<_>) = nodes
            .filter(|node| node.node.role != Role::LoadBalancer)
            .partition(|node| node.node.role == Role::Master);
        masters.sort_by_key(|node| &node.node.name);
        let nodes = masters.iter().chain(&workers);
        let stages: Vec<_> = nodes
            .map(|node| Stage::Upgrade {
                node: node.node.name.clone(),
                to: to.clone(),
                pauses: two_members && node.node.role == Role::Master,
            })
            .collect();
        let saved = self.0.iter().any(|task| task.stage == Stage::Snapshot);
        if !saved && !stages.is_empty() {
            self.add(to, vec![Stage::Snapshot]);
        }
        self.add(to, stages);
    }
}

/// A node's taints in the form of its note.
pub fn taints(node: &Node) -> BTreeSet<String> {
    node.taints.iter().map(ToString::to_string).collect()
}

/// An error if settings that Kubespray can't change on an existing cluster differ from those that are set up.
fn check_settings(cluster: &Cluster, nodes: &[ObservedNode]) -> Result<(), Vec<Refusal>> {
    let settings = note::settings(cluster).or_else(|e| no_digest(cluster, &e))?;
    let mut finished = nodes.iter().filter_map(ObservedNode::finished);
    if finished.all(|note| note.settings == settings) {
        return Ok(());
    }
    let why = "the network plugin, the DNS mode, the container manager, the renewal of certificates or the virtual address differ from \
               what is set up; Kubespray can't change them on a living cluster";
    let instead = "put back what was there, or make a new cluster";
    refused(cluster, RefusalKind::Settings, why, instead)
}

/// One refusal, of the whole plan.
fn refused<T>(
    cluster: &Cluster,
    kind: RefusalKind,
    why: &str,
    instead: impl Into<String>,
) -> Result<T, Vec<Refusal>> {
    Err(vec![Refusal::new(kind, why, instead).of(&cluster.name)])
}

/// The refusal because no digest can be made of the file's settings or addons, to compare with the notes.
fn no_digest<T>(cluster: &Cluster, error: &Error) -> Result<T, Vec<Refusal>> {
    refused(cluster, RefusalKind::Note, &chain(error), "")
}

/// The stages in which masters leave and join, by [`quorum::plan`]. The members of etcd follow from the masters' notes alone: etcd
/// itself is not asked.
fn membership(cluster: &Cluster, nodes: &[ObservedNode]) -> Result<Vec<Stage>, Vec<Refusal>> {
    let masters: Vec<_> = nodes
        .iter()
        .filter(|node| node.node.role == Role::Master)
        .collect();
    // The members that the notes list. The list of a master that has begun to leave may be outdated, and does not count.
    let mut members: BTreeSet<&Label> = masters
        .iter()
        .filter_map(|node| {
            node.note
                .as_ref()
                .filter(|note| node.wanted || note.finished)
        })
        .flat_map(|note| &note.members)
        .collect();
    // A master with any note may be a member: its join was begun, and etcd may list it.
    members.extend(
        masters
            .iter()
            .filter(|node| node.note.is_some())
            .map(|node| &node.node.name),
    );
    let find = |name: &Label| masters.iter().find(|node| node.node.name == *name);
    // A member without a note: its machine was recreated, or is gone.
    let healthy = |name: &Label| find(name).is_some_and(|node| node.note.is_some() && node.answers);
    let replaced: Vec<_> = members
        .iter()
        .filter(|name| !healthy(name) && find(name).is_some_and(|node| node.note.is_none()))
        .map(|name| (*name).clone())
        .collect();
    let members: Vec<_> = members
        .into_iter()
        .map(|name| Member {
            name: name.clone(),
            healthy: healthy(name),
            joined: find(name).is_some_and(|node| node.is_finished()),
        })
        .collect();
    let wanted: Vec<_> = masters
        .iter()
        .filter(|node| node.wanted)
        .map(|node| node.node.name.clone())
        .collect();
    let steps = quorum::plan(&members, &wanted, &replaced)
        .map_err(|refusal| vec![refusal.of(&cluster.name)])?;
    let leave = |node: &Label, reachable| Stage::Leave {
        nodes: vec![node.clone()],
        reachable,
    };
    let mut stages: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::RemoveDead(node) => leave(node, false),
            Step::Finish(node) | Step::Add(node) => Stage::JoinMaster(node.clone()),
            Step::ApiServers => Stage::Members,
            Step::RemoveHealthy(node) => leave(node, true),
        })
        .collect();
    // A run may have ended before all API servers got the list of members.
    let notes = masters
        .iter()
        .filter(|node| node.wanted)
        .filter_map(|node| node.finished());
    let all: BTreeSet<_> = wanted.into_iter().collect();
    if stages.is_empty() && notes.into_iter().any(|note| note.members != all) {
        stages.push(Stage::Members);
    }
    Ok(stages)
}

/// The stages in which workers leave and join. Workers that don't answer leave first. Those that answer leave last, after others
/// have joined, which can take their pods.
fn workers(nodes: &[ObservedNode]) -> Vec<Stage> {
    let new: Vec<_> = nodes
        .iter()
        .filter(|node| node.node.role == Role::Worker && node.wanted && !node.is_finished())
        .map(|node| node.node.name.clone())
        .collect();
    let mut stages = leaving_workers(nodes, false);
    if !new.is_empty() {
        stages.push(Stage::JoinWorkers(new));
    }
    stages.extend(leaving_workers(nodes, true));
    stages
}

/// The stage in which workers leave: those that answer (`reachable`), or those that don't. A worker without a note never was in
/// Kubernetes, and only its machine is removed.
fn leaving_workers(nodes: &[ObservedNode], reachable: bool) -> Vec<Stage> {
    let nodes: Vec<_> = nodes
        .iter()
        .filter(|node| node.node.role == Role::Worker && !node.wanted && node.note.is_some())
        .filter(|node| node.answers == reachable)
        .map(|node| node.node.name.clone())
        .collect();
    match nodes.is_empty() {
        true => Vec::new(),
        false => vec![Stage::Leave { nodes, reachable }],
    }
}

mod impossible;
#[cfg(test)]
mod tests;
