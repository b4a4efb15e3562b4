//! What was noted of machines whose definitions are gone, as the other machines' notes tell it. Pure.
//!
//! A note lies in a machine's definition. Where that is lost and the machine's disk is not, the machine still is what it
//! was: a member of etcd, if the masters' notes say so, or a worker, with what is set up on the others.

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;

use super::note::Note;
use crate::Error;

/// The notes of those of the machines `brought_back` that were set up, from the `notes` of the others; nothing, where none of
/// these is set up either.
pub fn recall(
    cluster: &Cluster,
    brought_back: &[Label],
    notes: &BTreeMap<Label, Note>,
) -> BTreeMap<Label, Note> {
    let finished = || notes.values().filter(|note| note.finished);
    // One that is behind is upgraded once more at most.
    let Some(release) = finished().map(|note| &note.release).min() else {
        return BTreeMap::new();
    };
    // It may have begun to get what others are being upgraded to.
    let getting = finished().filter_map(|note| note.getting.as_ref()).max();
    // A master tells of addons, and of members.
    let Some(like) = finished().max_by_key(|note| note.members.len()) else {
        return BTreeMap::new();
    };
    let told: BTreeSet<_> = notes.values().flat_map(|note| &note.members).collect();
    let members: BTreeSet<_> = match told.is_empty() {
        // No master is left to tell.
        true => cluster.role(Role::Master).map(|node| &node.name).collect(),
        false => told,
    };
    let nodes = cluster.nodes.iter();
    nodes
        .filter(|node| brought_back.contains(&node.name))
        .filter(|node| match node.role {
            Role::Master => members.contains(&node.name),
            Role::Worker => true,
            Role::LoadBalancer => false,
        })
        .map(|node| {
            let note = Note {
                finished: true,
                busy: false,
                drained: false,
                release: release.clone(),
                getting: getting.cloned(),
                settings: like.settings.clone(),
                addons: like.addons.clone(),
                // Not known: then they are set.
                labels: BTreeMap::new(),
                taints: BTreeSet::new(),
                members: match node.role {
                    Role::Master => members.iter().copied().cloned().collect(),
                    _ => BTreeSet::new(),
                },
                joined: 0,
                restoring: false,
            };
            (node.name.clone(), note)
        })
        .collect()
}

/// The notes of those of the machines `brought_back` that the configuration which was `applied` last had, where no machine is
/// left that tells: a configuration counts as applied when all in it is set up.
pub fn recall_applied(
    applied: &Cluster,
    brought_back: &[Label],
) -> Result<BTreeMap<Label, Note>, Error> {
    let release = applied.kubernetes.hop();
    let masters = applied.role(Role::Master).map(|node| node.name.clone());
    let members = masters.collect();
    let nodes = applied
        .nodes
        .iter()
        .filter(|node| node.role != Role::LoadBalancer && brought_back.contains(&node.name));
    nodes
        .map(|node| {
            let note = Note::of(applied, node, &release, &members, true)?;
            Ok((node.name.clone(), note))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release::Hop;

    fn cluster() -> Cluster {
        let text = "hosts: [{name: h, connection: {type: local}}]\ncluster: {name: c, network: {mode: nat, cidr: \
                    192.168.113.0/24}, nodeTemplate: {user: k8s, os: {distro: ubuntu}}, nodes: {loadBalancer: {instances: \
                    [{id: 1}]}, master: {instances: [{id: 1}, {id: 2}, {id: 3}]}, worker: {instances: [{id: 1}, {id: \
                    2}]}}}\nkubernetes: {version: v1.23.7, networkPlugin: calico, kubespray: {version: v2.19.0}}\n";
        let parsed = kubitect_config::parse(text, "c.yaml", &kubitect_config::Site::default());
        parsed.unwrap().cluster
    }

    /// The notes of all nodes of a finished cluster, but for these.
    fn without(cluster: &Cluster, lost: &[Label]) -> BTreeMap<Label, Note> {
        let release = cluster.kubernetes.hop();
        let masters = cluster.role(Role::Master).map(|node| node.name.clone());
        let members = masters.collect();
        let nodes = cluster.nodes.iter();
        nodes
            .filter(|node| node.role != Role::LoadBalancer && !lost.contains(&node.name))
            .map(|node| {
                let note = Note::of(cluster, node, &release, &members, true).unwrap();
                (node.name.clone(), note)
            })
            .collect()
    }

    #[test]
    fn the_others_tell_what_a_machine_was() {
        let cluster = cluster();
        let all = without(&cluster, &[]);
        let names = |names: &[&str]| -> Vec<Label> {
            names
                .iter()
                .map(|name| format!("c-{name}").parse().unwrap())
                .collect()
        };
        for lost in [
            names(&["master-1", "worker-2"]),
            names(&["lb-1", "master-1", "master-2", "master-3"]),
        ] {
            let recalled = recall(&cluster, &lost, &without(&cluster, &lost));
            let was = all.iter().filter(|(name, _)| lost.contains(name));
            assert!(recalled.iter().eq(was), "{recalled:?}");
        }
        // What others are being upgraded to it may have begun to get.
        let lost = names(&["master-1"]);
        let mut others = without(&cluster, &lost);
        let newer = Hop {
            kubernetes: "v1.24.6".parse().unwrap(),
            kubespray: "v2.20.0".parse().unwrap(),
        };
        let second = others.get_mut(&names(&["master-2"])[0]).unwrap();
        second.getting = Some(newer.clone());
        let recalled = recall(&cluster, &lost, &others);
        assert_eq!(recalled[&lost[0]].getting, Some(newer));
        // Where no machine is left that tells, the configuration does that was applied last.
        let lost: Vec<_> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        assert_eq!(recall(&cluster, &lost, &BTreeMap::new()), BTreeMap::new());
        assert_eq!(recall_applied(&cluster, &lost).unwrap(), all);
        // Who had not joined yet is told of by nobody.
        let lost = names(&["master-3"]);
        let mut others = without(&cluster, &lost);
        for note in others.values_mut() {
            note.members.remove(&lost[0]);
        }
        assert_eq!(recall(&cluster, &lost, &others), BTreeMap::new());
        // Nor is anybody of a cluster that was never finished.
        others.values_mut().for_each(|note| note.finished = false);
        assert_eq!(recall(&cluster, &lost, &others), BTreeMap::new());
    }
}
