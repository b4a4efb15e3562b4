//! Pod networks that releases of Kubespray treat differently.

use std::path::Path;

use crate::members::{apply_fully, shape};
use crate::shape::{Shape, Worker};
use crate::stage::Stage;

/// From v2.30 on Kubespray waits for a joining master to be Ready before it installs the network plugin.
pub fn networks_from_hosts(path: &Path) {
    for plugin in ["kube-router", "macvlan"] {
        for release in [["v1.33.7", "v2.29.1"], ["v1.34.4", "v2.31.0"]] {
            let with = |masters: &[u32]| Shape {
                plugin,
                // macvlan's tasks ask all workers in each run, also when only a master joins: so there are none.
                workers: match plugin {
                    "macvlan" => Vec::new(),
                    _ => Shape::base().workers,
                },
                ..shape(masters, release)
            };
            let stage = Stage::new(path);
            apply_fully(&stage, &with(&[1]));
            apply_fully(&stage, &with(&[1, 2, 3]));
            // A run that stops when its node is registered, and the next one.
            let wanted = with(&[1, 2, 3, 4, 5]);
            stage.break_in("cluster.yml", "demo-master-4", "registered");
            let run = stage.apply(&wanted, None);
            assert_eq!(run.code, Some(1), "{}", run.said);
            apply_fully(&stage, &wanted);
            stage.end();
        }
    }
}

/// macvlan's tasks fail in runs that leave a worker out: such runs are refused.
pub fn networks_of_all_at_once(path: &Path) {
    let with = |masters: &[u32], release| Shape {
        plugin: "macvlan",
        ..shape(masters, release)
    };
    let [old, new] = [["v1.33.7", "v2.29.1"], ["v1.33.7", "v2.30.0"]];
    let stage = Stage::new(path);
    apply_fully(&stage, &with(&[1], old));
    stage.playbooks();
    let mut wider = with(&[1], old);
    wider.workers.push(Worker::new(4));
    for wanted in [wider, with(&[1, 2, 3], old), with(&[1], new)] {
        let run = stage.apply(&wanted, None);
        assert_eq!(run.code, Some(2), "{}", run.said);
        assert!(
            run.said.contains("sets up only all nodes at once"),
            "{}",
            run.said
        );
        assert_eq!(stage.playbooks(), []);
    }
    stage.end();
}

/// calico's pools and cilium's way of giving addresses stay as the first release set them, with any later one.
pub fn networks_as_they_were_made(path: &Path) {
    let calico = [["v1.23.7", "v2.19.0"], ["v1.24.6", "v2.20.0"]];
    let cilium = [["v1.25.6", "v2.21.0"], ["v1.26.13", "v2.22.2"]];
    let beside = &["cilium_deploy_additionally: true"];
    for (plugin, variables, releases, made) in [
        (
            "calico",
            &["enable_dual_stack_networks: true"][..],
            calico,
            (116, ""),
        ),
        ("calico", &[], calico, (0, "")),
        ("cilium", &[], cilium, (0, "kubernetes")),
        ("calico", beside, cilium, (0, "kubernetes")),
    ] {
        let with = |masters: &[u32], release| Shape {
            plugin,
            variables,
            ..shape(masters, release)
        };
        let stage = Stage::new(path);
        apply_fully(&stage, &with(&[1], releases[0]));
        apply_fully(&stage, &with(&[1], releases[1]));
        apply_fully(&stage, &with(&[1, 2, 3], releases[1]));
        stage.place().with(|state, _| {
            let kube = &state.kube;
            assert_eq!((kube.blocks_ipv6, &*kube.ipam), made, "{plugin}");
        });
        stage.end();
    }
}
