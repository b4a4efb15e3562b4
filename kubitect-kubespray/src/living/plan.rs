//! [`Stage`]s: what is to be done to Kubernetes, in order, from what is noted of each machine. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::{self, Cilium, Hop};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal, RefusalKind, chain};

use super::note::{self, Note};
use super::stage::{Seen, Stage, Task};
use crate::Error;
use crate::goal::network_in_etcd;
use crate::quorum::{self, Member, Step};

/// The tasks that lead from what is seen to what is wanted, or the reasons why there are none.
pub fn tasks(cluster: &Cluster, seen: &[Seen]) -> Result<Vec<Task>, Vec<Refusal>> {
    let masters = || seen.iter().filter(|seen| seen.node.role == Role::Master);
    let wanted = cluster.kubernetes.hop();
    if !masters().any(Seen::is_finished) {
        return create(cluster, seen, wanted);
    }
    check_settings(cluster, seen)?;
    let restoring = |seen: &Seen| seen.note.as_ref().is_some_and(|note| note.restoring);
    if masters().any(restoring) {
        let instead = format!(
            "`kubitect etcd restore {} FILE` with that snapshot ends it. Until then nothing else is done",
            cluster.name
        );
        let why = "its etcd was being brought back to a snapshot by a run that was not finished";
        return refused(cluster, RefusalKind::Restoring, why, instead);
    }

    // An upgrade that was interrupted has nodes of two releases: all reach the newer one before anything else is done.
    let (now, path) = releases(cluster, seen, &wanted)?;
    let mut stages = Tasks::default();
    // Members that are dead or half-way first: Kubespray does nothing to a master while etcd lists one that does not answer,
    // and takes a master that is not in its inventory for one that is missing there.
    let mut leave_first = membership(cluster, seen)?;
    let others = |stage: &Stage| !matches!(stage, Stage::Leave { .. });
    let membership = match leave_first.iter().position(others) {
        Some(at) => leave_first.split_off(at),
        None => Vec::new(),
    };
    stages.add(&now, leave_first);
    // The playbook with which a master joins goes over all that are there, also over one that leaves after that; and so does the one
    // that gives a network plugin etcd's members.
    let in_etcd = release::find_or_newest(&now.kubespray)
        .is_some_and(|release| network_in_etcd(cluster, release));
    let plays = |stage: &Stage| match stage {
        Stage::JoinMaster(_) => true,
        Stage::Members => in_etcd,
        _ => false,
    };
    let plays = membership.iter().any(plays);
    let goes_over = |seen: &Seen| plays && seen.answers && seen.node.role == Role::Master;
    let behind = |seen: &&Seen| {
        (seen.wanted || goes_over(seen)) && seen.finished().is_some_and(|note| note.release < now)
    };
    // Where one of three was lost meanwhile, the next can only join once these have its release.
    let members = masters().filter(|seen| seen.answers && seen.is_finished());
    stages.upgrades(seen.iter().filter(behind), &now, members.count() == 2);
    stages.add(&now, membership);
    stages.add(&now, workers(seen));
    // Those that join have the release that the others have.
    for hop in path {
        stages.upgrades(seen.iter().filter(|seen| seen.wanted), &hop, false);
    }
    let upgraded = |name: &Label| {
        stages
            .0
            .iter()
            .any(|task| matches!(&task.stage, Stage::Upgrade { node, .. } if node == name))
    };
    let released: Vec<_> = seen
        .iter()
        .filter(|seen| seen.wanted && seen.finished().is_some_and(Note::is_held))
        .map(|seen| &seen.node.name)
        .filter(|name| !upgraded(name))
        .map(|name| Stage::Release(name.clone()))
        .collect();
    stages.add(&wanted, released);
    let described = seen.iter().filter(|seen| {
        seen.wanted
            && seen.finished().is_some_and(|note| {
                note.labels != seen.node.labels || note.taints != taints(&seen.node)
            })
    });
    let describe = |seen: &Seen| Stage::Describe(seen.node.name.clone());
    stages.add(&wanted, described.map(describe).collect());
    let addons = note::addons(cluster).or_else(|e| undescribed(cluster, &e))?;
    let finished = masters()
        .filter(|seen| seen.wanted)
        .filter_map(Seen::finished);
    if finished.into_iter().any(|note| note.addons != addons) {
        stages.add(&wanted, vec![Stage::Addons]);
    }
    let impossible = impossible::reasons(cluster, seen, &stages.0);
    match impossible.is_empty() {
        true => Ok(stages.0),
        false => Err(impossible),
    }
}

/// The release that all nodes have, or get before anything else, and the hops from there to what is wanted. A node that a run
/// had begun to upgrade may have parts of the newer release, and nothing older than that is run on it.
fn releases(
    cluster: &Cluster,
    seen: &[Seen],
    wanted: &Hop,
) -> Result<(Hop, Vec<Hop>), Vec<Refusal>> {
    let finished = || {
        seen.iter()
            .filter_map(|seen| Some((&seen.node.name, seen.finished()?)))
    };
    let newest = finished().map(|(_, note)| &note.release).max();
    let newest = newest.unwrap_or(wanted);
    let plugin = &cluster.kubernetes.network_plugin;
    let cilium = Cilium::of(plugin, &cluster.addons.kubespray);
    let path = |from: &Hop| release::path_with(cilium, from, wanted);
    let begun = finished().filter_map(|(name, note)| Some((note.getting.as_ref()?, name)));
    // It is noted on all masters: the first is named.
    let begun = begun.max_by_key(|(begun, name)| (*begun, Reverse(*name)));
    let Some((begun, name)) = begun.filter(|(begun, _)| *begun > newest) else {
        let no_way = |e: release::PathError| Refusal::new(RefusalKind::Versions, e.to_string(), "");
        let path =
            path(newest).map_err(|e| vec![no_way(e).of(&cluster.name).from_to(newest, wanted)])?;
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
    // A patch that the file names now may take the place of the one that had begun.
    let covers = |hop: &Hop| hop.kubernetes >= begun.kubernetes && hop.kubespray >= begun.kubespray;
    match path(newest).ok().as_deref() {
        Some([first, others @ ..]) if covers(first) => Ok((first.clone(), others.to_vec())),
        _ => Ok((begun.clone(), rest)),
    }
}

/// The tasks of a cluster of which no master is finished.
fn create(cluster: &Cluster, seen: &[Seen], at: Hop) -> Result<Vec<Task>, Vec<Refusal>> {
    let nodes = || {
        seen.iter()
            .filter(|seen| seen.wanted && seen.node.role != Role::LoadBalancer)
    };
    let begun = nodes().any(|seen| seen.node.role == Role::Master && seen.note.is_some());
    if !begun && nodes().any(Seen::is_finished) {
        let why = "all its masters are gone, and what Kubernetes knew with them, while workers of it are still there";
        let instead = "bring back the masters' disks, or destroy the cluster and make it again";
        return refused(cluster, RefusalKind::MastersLost, why, instead);
    }
    let forsaken: Vec<_> = seen
        .iter()
        .filter(|seen| !seen.wanted && seen.node.role == Role::Master && seen.note.is_some())
        .map(|Seen { node, .. }| {
            let why = "a run that was not finished may have made it a member of etcd, which would lose it with its machine";
            let instead = "put it back until the cluster is finished, or destroy the cluster and make it again";
            Refusal::new(RefusalKind::Unfinished, why, instead).of(&node.name).on(&node.name)
        })
        .collect();
    if !forsaken.is_empty() {
        return Err(forsaken);
    }
    let begun = nodes().filter_map(|seen| Some((&seen.node.name, seen.note.as_ref()?)));
    check_begun(cluster, begun, &at)?;
    let mut stages = Tasks::default();
    if nodes().next().is_some() {
        stages.add(&at, vec![Stage::Create]);
        stages.add(&at, leaving_workers(seen, true));
    }
    Ok(stages.0)
}

/// An error if a creation that was not finished had begun with what Kubespray does not change later, or with newer programs.
fn check_begun<'a>(
    cluster: &Cluster,
    begun: impl Iterator<Item = (&'a Label, &'a Note)>,
    at: &Hop,
) -> Result<(), Vec<Refusal>> {
    let settings = note::settings(cluster).or_else(|e| undescribed(cluster, &e))?;
    let instead = "put back what was there until the cluster is finished, or destroy the cluster and make it again";
    for (name, note) in begun {
        let was = &note.release;
        if note.settings != settings {
            let why = "the network plugin, the DNS mode, the container manager, the renewal of certificates or the virtual address \
                       differ from those with which a run that was not finished has begun";
            return refused(cluster, RefusalKind::Unfinished, why, instead);
        }
        if was.kubernetes > at.kubernetes || was.kubespray > at.kubespray {
            let why = format!(
                "a run that was not finished has begun to set up {was} there, and {at} may put older programs in the place of newer ones"
            );
            let refusal = Refusal::new(RefusalKind::Unfinished, why, instead)
                .of(name)
                .on(name);
            return Err(vec![refusal.from_to(was, at)]);
        }
    }
    Ok(())
}

/// Tasks as they are put together.
#[derive(Default)]
struct Tasks(Vec<Task>);

impl Tasks {
    fn add(&mut self, at: &Hop, stages: Vec<Stage>) {
        let at = || at.clone();
        self.0
            .extend(stages.into_iter().map(|stage| Task { stage, at: at() }));
    }

    /// Nodes get a release one by one, masters first. What etcd holds is saved before the first. `two`: etcd has two members, and
    /// needs both.
    fn upgrades<'a>(&mut self, seen: impl Iterator<Item = &'a Seen>, to: &Hop, two: bool) {
        let (mut masters, workers): (Vec<_>, Vec<_>) = seen
            .filter(|seen| seen.node.role != Role::LoadBalancer)
            .partition(|seen| seen.node.role == Role::Master);
        masters.sort_by_key(|seen| &seen.node.name);
        let nodes = masters.iter().chain(&workers);
        let stages: Vec<_> = nodes
            .map(|seen| Stage::Upgrade {
                node: seen.node.name.clone(),
                to: to.clone(),
                pauses: two && seen.node.role == Role::Master,
            })
            .collect();
        let saved = self.0.iter().any(|task| task.stage == Stage::Snapshot);
        if !saved && !stages.is_empty() {
            self.add(to, vec![Stage::Snapshot]);
        }
        self.add(to, stages);
    }
}

/// A node's taints as they are noted.
pub fn taints(node: &Node) -> BTreeSet<String> {
    node.taints.iter().map(ToString::to_string).collect()
}

/// Why nothing is done to a cluster whose settings differ from what is set up.
fn check_settings(cluster: &Cluster, seen: &[Seen]) -> Result<(), Vec<Refusal>> {
    let settings = note::settings(cluster).or_else(|e| undescribed(cluster, &e))?;
    let mut finished = seen.iter().filter_map(Seen::finished);
    if finished.all(|note| note.settings == settings) {
        return Ok(());
    }
    let why = "the network plugin, the DNS mode, the container manager, the renewal of certificates or the virtual address differ from \
               what is set up; Kubespray can't change them on a living cluster";
    let instead = "put back what was there, or make a new cluster";
    refused(cluster, RefusalKind::Settings, why, instead)
}

/// One refusal, of all that is to be done to a cluster.
fn refused<T>(
    cluster: &Cluster,
    kind: RefusalKind,
    why: &str,
    instead: impl Into<String>,
) -> Result<T, Vec<Refusal>> {
    Err(vec![Refusal::new(kind, why, instead).of(&cluster.name)])
}

/// Where what is wanted can't be compared with what is noted.
fn undescribed<T>(cluster: &Cluster, error: &Error) -> Result<T, Vec<Refusal>> {
    refused(cluster, RefusalKind::Note, &chain(error), "")
}

/// Masters that leave and join.
fn membership(cluster: &Cluster, seen: &[Seen]) -> Result<Vec<Stage>, Vec<Refusal>> {
    let masters: Vec<_> = seen
        .iter()
        .filter(|seen| seen.node.role == Role::Master)
        .collect();
    // Who has begun to leave is told nothing any more.
    let mut members: BTreeSet<&Label> = masters
        .iter()
        .filter_map(|seen| {
            seen.note
                .as_ref()
                .filter(|note| seen.wanted || note.finished)
        })
        .flat_map(|note| &note.members)
        .collect();
    // Who has begun to join may be a member.
    members.extend(
        masters
            .iter()
            .filter(|seen| seen.note.is_some())
            .map(|seen| &seen.node.name),
    );
    let find = |name: &Label| masters.iter().find(|seen| seen.node.name == *name);
    // A member whose machine has no note was recreated, or is gone.
    let healthy = |name: &Label| find(name).is_some_and(|seen| seen.note.is_some() && seen.answers);
    let replaced: Vec<_> = members
        .iter()
        .filter(|name| !healthy(name) && find(name).is_some_and(|seen| seen.note.is_none()))
        .map(|name| (*name).clone())
        .collect();
    let members: Vec<_> = members
        .into_iter()
        .map(|name| Member {
            name: name.clone(),
            healthy: healthy(name),
            joined: find(name).is_some_and(|seen| seen.is_finished()),
        })
        .collect();
    let wanted: Vec<_> = masters
        .iter()
        .filter(|seen| seen.wanted)
        .map(|seen| seen.node.name.clone())
        .collect();
    let steps = quorum::plan(&members, &wanted, &replaced)
        .map_err(|refusal| vec![refusal.of(&cluster.name)])?;
    let mut stages: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::RemoveDead(node) => Stage::Leave {
                nodes: vec![node.clone()],
                reachable: false,
            },
            Step::Finish(node) | Step::Add(node) => Stage::JoinMaster(node.clone()),
            Step::ApiServers => Stage::Members,
            Step::RemoveHealthy(node) => Stage::Leave {
                nodes: vec![node.clone()],
                reachable: true,
            },
        })
        .collect();
    // A run may have ended before all API servers had the members that stay.
    let told = masters
        .iter()
        .filter(|seen| seen.wanted)
        .filter_map(|seen| seen.finished());
    let all: BTreeSet<_> = wanted.into_iter().collect();
    if stages.is_empty() && told.into_iter().any(|note| note.members != all) {
        stages.push(Stage::Members);
    }
    Ok(stages)
}

/// Workers that don't answer leave, others join, and those that answer leave: their pods have somewhere to go by then.
fn workers(seen: &[Seen]) -> Vec<Stage> {
    let new: Vec<_> = seen
        .iter()
        .filter(|seen| seen.node.role == Role::Worker && seen.wanted && !seen.is_finished())
        .map(|seen| seen.node.name.clone())
        .collect();
    let mut stages = leaving_workers(seen, false);
    if !new.is_empty() {
        stages.push(Stage::JoinWorkers(new));
    }
    stages.extend(leaving_workers(seen, true));
    stages
}

/// Workers that leave and on which something was set up: those that answer, or those that don't.
fn leaving_workers(seen: &[Seen], reachable: bool) -> Vec<Stage> {
    let nodes: Vec<_> = seen
        .iter()
        .filter(|seen| seen.node.role == Role::Worker && !seen.wanted && seen.note.is_some())
        .filter(|seen| seen.answers == reachable)
        .map(|seen| seen.node.name.clone())
        .collect();
    match nodes.is_empty() {
        true => Vec::new(),
        false => vec![Stage::Leave { nodes, reachable }],
    }
}

mod impossible;
#[cfg(test)]
mod tests;
