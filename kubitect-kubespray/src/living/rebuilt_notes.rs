//! The notes of machines whose definitions are gone, rebuilt from the other machines' notes. Pure.
//!
//! A note is stored in a machine's definition. If the definition is lost and the disk is not, the machine still is what it was:
//! a member of etcd, if the masters' notes list it, or a worker, with the release and the settings of the other nodes.

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;

use super::note::Note;
use crate::Error;

/// The notes of those of the machines `brought_back` that were set up, from the `notes` of the others. None, if no other machine is
/// set up.
pub fn from_other_notes(
    cluster: &Cluster,
    brought_back: &[Label],
    notes: &BTreeMap<Label, Note>,
) -> BTreeMap<Label, Note> {
    let finished = || notes.values().filter(|note| note.finished);
    // The oldest release: if the machine had a newer one, it is upgraded once more, which changes nothing there.
    let Some(release) = finished().map(|note| &note.release).min() else {
        return BTreeMap::new();
    };
    // The machine may have been part of an upgrade that others are in.
    let getting = finished().filter_map(|note| note.getting.as_ref()).max();
    // Settings and addons are copied from a master's note where there is one: it lists members, a worker's note does not.
    let Some(template) = finished().max_by_key(|note| note.members.len()) else {
        return BTreeMap::new();
    };
    let listed: BTreeSet<_> = notes.values().flat_map(|note| &note.members).collect();
    let members: BTreeSet<_> = match listed.is_empty() {
        // All masters lost their definitions: the file's masters are taken for the members.
        true => cluster.role(Role::Master).map(|node| &node.name).collect(),
        false => listed,
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
                settings: template.settings.clone(),
                addons: template.addons.clone(),
                // Not known. Empty, so that those of the file are set again.
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

/// The notes of the machines `brought_back`, from the configuration that was `applied` last. For a cluster none of whose machines
/// has a finished note any more: a configuration counts as applied only once all nodes in it are set up.
pub fn from_applied(
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
    fn notes_are_rebuilt_from_those_of_the_others() {
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
            let rebuilt = from_other_notes(&cluster, &lost, &without(&cluster, &lost));
            let was = all.iter().filter(|(name, _)| lost.contains(name));
            assert!(rebuilt.iter().eq(was), "{rebuilt:?}");
        }
        // It may have been part of an upgrade that others are in.
        let lost = names(&["master-1"]);
        let mut others = without(&cluster, &lost);
        let newer = Hop {
            kubernetes: "v1.24.6".parse().unwrap(),
            kubespray: "v2.20.0".parse().unwrap(),
        };
        let second = others.get_mut(&names(&["master-2"])[0]).unwrap();
        second.getting = Some(newer.clone());
        let rebuilt = from_other_notes(&cluster, &lost, &others);
        assert_eq!(rebuilt[&lost[0]].getting, Some(newer));
        // Where no machine has a note, the configuration that was applied last takes their place.
        let lost: Vec<_> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        assert_eq!(
            from_other_notes(&cluster, &lost, &BTreeMap::new()),
            BTreeMap::new()
        );
        assert_eq!(from_applied(&cluster, &lost).unwrap(), all);
        // A master that had not joined yet is listed in no note.
        let lost = names(&["master-3"]);
        let mut others = without(&cluster, &lost);
        for note in others.values_mut() {
            note.members.remove(&lost[0]);
        }
        assert_eq!(from_other_notes(&cluster, &lost, &others), BTreeMap::new());
        // Nothing is rebuilt of a cluster that was never finished.
        others.values_mut().for_each(|note| note.finished = false);
        assert_eq!(from_other_notes(&cluster, &lost, &others), BTreeMap::new());
    }
}
