//! Networks of pods that releases of Kubespray treat each in their own way.

use std::path::Path;

use crate::members::{becomes, shape};
use crate::shape::{Shape, Worker};
use crate::stage::Stage;

/// From v2.30 on Kubespray waits for a master that joins to be Ready before its network plugin has its turn.
pub fn networks_from_hosts(path: &Path) {
    for plugin in ["kube-router", "macvlan"] {
        for release in [["v1.33.7", "v2.29.1"], ["v1.34.4", "v2.31.0"]] {
            let with = |masters: &[u32]| Shape {
                plugin,
                // macvlan asks all of them in each run, also for a master.
                workers: match plugin {
                    "macvlan" => Vec::new(),
                    _ => Shape::base().workers,
                },
                ..shape(masters, release)
            };
            let stage = Stage::new(path);
            becomes(&stage, &with(&[1]));
            becomes(&stage, &with(&[1, 2, 3]));
            // A run that ends when its node is registered, and the next.
            let wanted = with(&[1, 2, 3, 4, 5]);
            stage.break_in("cluster.yml", "demo-master-4", "registered");
            let run = stage.apply(&wanted, None);
            assert_eq!(run.code, Some(1), "{}", run.said);
            becomes(&stage, &wanted);
            stage.end();
        }
    }
}

/// macvlan's tasks stop in runs that leave a worker out: such runs are refused.
pub fn networks_of_all_at_once(path: &Path) {
    let with = |masters: &[u32], release| Shape {
        plugin: "macvlan",
        ..shape(masters, release)
    };
    let [old, new] = [["v1.33.7", "v2.29.1"], ["v1.33.7", "v2.30.0"]];
    let stage = Stage::new(path);
    becomes(&stage, &with(&[1], old));
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

/// Pools of calico and cilium's way of giving addresses are what the first release made them, in whichever comes later.
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
        becomes(&stage, &with(&[1], releases[0]));
        becomes(&stage, &with(&[1], releases[1]));
        becomes(&stage, &with(&[1, 2, 3], releases[1]));
        stage.place().with(|state, _| {
            let kube = &state.kube;
            assert_eq!((kube.blocks_ipv6, &*kube.ipam), made, "{plugin}");
        });
        stage.end();
    }
}
