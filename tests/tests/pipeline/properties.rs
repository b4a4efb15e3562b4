//! Properties over random clusters, hosts and points of failure.

use kubitect_provision::fake::When;
use kubitect_provision::observe::{
    DomainState, HostState, NetworkState, PoolState, PowerState, VolumeState,
};
use proptest::prelude::*;

use crate::world::World;

/// A random cluster's configuration.
fn configuration() -> impl Strategy<Value = String> {
    let worker = (0_u32..3, proptest::bool::ANY, 1_u32..5);
    (
        prop_oneof![Just(1_usize), Just(3)],
        proptest::collection::vec(worker, 0..4),
        proptest::bool::ANY,
        prop_oneof![Just("nat"), Just("route"), Just("bridge")],
    )
        .prop_map(|(masters, workers, two_hosts, mode)| {
            let mut yaml = String::from("hosts:\n");
            for host in ["one", "two"] {
                yaml.push_str(&format!(
                    "  - name: {host}\n    connection:\n      uri: \"test:///{host}\"\n    mainResourcePoolPath: /pools\n    \
                     dataResourcePools:\n      - name: fast\n        path: /fast\n"
                ));
            }
            let bridge = if mode == "bridge" { "\n    bridge: br0" } else { "" };
            yaml.push_str(&format!(
                "cluster:\n  name: demo\n  network:\n    mode: {mode}\n    cidr: 10.9.0.0/24{bridge}\n  nodeTemplate:\n    \
                 user: k8s\n    os:\n      distro: debian\n  nodes:\n    loadBalancer:\n      instances:\n        \
                 - id: 1\n          host: one\n          ip: 10.9.0.100\n    master:\n      instances:\n"
            ));
            for id in 1..=masters {
                yaml.push_str(&format!("        - id: {id}\n          host: one\n          ip: 10.9.0.1{id}\n"));
            }
            if !workers.is_empty() {
                yaml.push_str("    worker:\n      instances:\n");
            }
            for (id, (disks, fixed, cpu)) in workers.iter().enumerate() {
                // A network of libvirt's ends at its host.
                let host = if two_hosts && mode == "bridge" && id % 2 == 1 { "two" } else { "one" };
                yaml.push_str(&format!("        - id: {id}\n          host: {host}\n          cpu: {cpu}\n"));
                if *fixed || mode == "bridge" {
                    yaml.push_str(&format!("          ip: 10.9.0.2{id}\n"));
                }
                if *disks > 0 {
                    yaml.push_str("          dataDisks:\n");
                }
                for disk in 0..*disks {
                    let pool = if disk % 2 == 0 { "fast" } else { "main" };
                    yaml.push_str(&format!("            - name: d{disk}\n              pool: {pool}\n              size: 3\n"));
                }
            }
            yaml.push_str("kubernetes:\n  version: v1.23.7\n  networkPlugin: calico\n  kubespray:\n    version: v2.19.0\n");
            yaml
        })
}

/// What other people have on a host.
fn others() -> impl Strategy<Value = HostState> {
    let flags = (
        proptest::bool::ANY,
        proptest::bool::ANY,
        proptest::bool::ANY,
        proptest::bool::ANY,
    );
    flags.prop_map(|(network, pool, domain, active)| {
        let mut there = HostState::default();
        if network {
            there.networks.push(NetworkState {
                name: "default".into(),
                active,
                mark: None,
                bridge: Some("virbr0".into()),
                cidr: Some("192.168.122.0/24".parse().unwrap()),
                reservations: Vec::new(),
            });
        }
        if pool {
            there.pools.push(PoolState {
                name: "default".into(),
                is_folder: true,
                path: Some("/var/lib/libvirt/images".into()),
                active,
                available: 1 << 30,
                volumes: vec![VolumeState {
                    name: "demo-master-1-main-disk".into(),
                    path: "/var/lib/libvirt/images/demo-master-1-main-disk".into(),
                    format: "qcow2".into(),
                    capacity: 1 << 30,
                    allocation: 1 << 29,
                    physical: None,
                    backing: None,
                }],
            });
        }
        if domain {
            there.domains.push(DomainState {
                name: "demo-of-somebody".into(),
                power: if active {
                    PowerState::Running
                } else {
                    PowerState::Off
                },
                mark: None,
                note: None,
                nic: None,
                vcpus: 1,
                max_vcpus: 1,
                memory_mib: 512,
                disks: vec!["/var/lib/libvirt/images/demo-master-1-main-disk".into()],
                live: None,
            });
        }
        there
    })
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![Just(When::Before), Just(When::Halfway), Just(When::After)]
}

/// Lines in an order that does not depend on when things were made.
fn inventory(world: &World) -> Vec<String> {
    let text = world.inventory();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn apply_reaches_what_is_desired_and_destroy_what_was_there(yaml in configuration(), there in others()) {
        let world = World::new(&yaml, &there);
        let before = world.inventory();
        world.apply().unwrap();
        let plan = world.plan().unwrap();
        prop_assert!(plan.is_empty(), "{}", plan);
        world.destroy().unwrap();
        prop_assert_eq!(world.inventory(), before);
    }

    #[test]
    fn failing_anywhere_and_running_again_gets_there_too(
        yaml in configuration(),
        there in others(),
        failures in proptest::collection::vec((0_usize..60, when()), 1..4),
    ) {
        let straight = World::new(&yaml, &there);
        let before = straight.inventory();
        straight.apply().unwrap();
        let world = World::new(&yaml, &there);
        for (n, when) in &failures {
            for fake in world.fakes.values() {
                fake.fail_at(*n, *when);
            }
            let _ = world.apply();
            world.revive();
        }
        world.apply().unwrap();
        prop_assert!(world.plan().unwrap().is_empty());
        prop_assert_eq!(inventory(&world), inventory(&straight));
        // And the same for the way back.
        for (n, when) in &failures {
            for fake in world.fakes.values() {
                fake.fail_at(*n, *when);
            }
            let _ = world.destroy();
            world.revive();
        }
        world.destroy().unwrap();
        prop_assert_eq!(world.inventory(), before);
    }
}

/// Every single point of one cluster's creation and removal, in all three ways.
#[test]
fn every_point_of_failure_once() {
    let straight = World::new(crate::world::DEMO, &HostState::default());
    let before = straight.inventory();
    straight.apply().unwrap();
    let creating = straight.fake().writes();
    let finished = inventory(&straight);
    straight.destroy().unwrap();
    let destroying = straight.fake().writes() - creating;
    assert!(
        creating > 30 && destroying > 20,
        "{creating} and {destroying} points"
    );
    for when in [When::Before, When::Halfway, When::After] {
        for n in 0..creating {
            let world = World::new(crate::world::DEMO, &HostState::default());
            world.fake().fail_at(n, when);
            assert!(world.apply().is_err(), "point {n} {when:?} is reached");
            world.revive();
            world
                .apply()
                .unwrap_or_else(|error| panic!("after {n} {when:?}: {error}"));
            assert!(world.plan().unwrap().is_empty(), "after {n} {when:?}");
            assert_eq!(inventory(&world), finished, "after {n} {when:?}");
        }
        for n in 0..destroying {
            let world = World::new(crate::world::DEMO, &HostState::default());
            world.apply().unwrap();
            world.fake().fail_at(n, when);
            assert!(world.destroy().is_err(), "point {n} {when:?} is reached");
            world.revive();
            world
                .destroy()
                .unwrap_or_else(|error| panic!("after {n} {when:?}: {error}"));
            assert_eq!(world.inventory(), before, "after {n} {when:?}");
        }
    }
    println!("{} points of failure", 3 * (creating + destroying));
}
