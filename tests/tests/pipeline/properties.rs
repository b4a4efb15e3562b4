//! Properties over random clusters, hosts and points of failure.

use kubitect_provision::fake::When;
use kubitect_provision::observe::{HostState, PowerState};
use proptest::prelude::*;

use crate::random::{Blow, blows, configuration, fixed, others, strike, wanted, yaml};
use crate::world::World;

/// All that belongs to others, on all hosts.
fn of_others(world: &World) -> Vec<String> {
    let mut texts = Vec::new();
    for (host, hypervisor) in world.hosts().iter() {
        let networks = hypervisor.networks().unwrap();
        let pools = hypervisor.pools().unwrap();
        let domains = hypervisor.domains().unwrap();
        let networks = networks.iter().filter(|n| n.mark.is_none());
        let pools = pools.iter().filter(|p| p.name == "default");
        let domains = domains.iter().filter(|d| d.mark.is_none());
        texts.extend(networks.map(|n| format!("{host} {n:?}")));
        texts.extend(pools.map(|p| format!("{host} {p:?}")));
        texts.extend(domains.map(|d| format!("{host} {d:?}")));
    }
    texts
}

/// Whether exactly the wanted machines exist, run, and have what the file says.
fn check_wanted(world: &World) -> Result<(), TestCaseError> {
    let mut names = Vec::new();
    for (host, hypervisor) in world.hosts().iter() {
        for domain in hypervisor.domains().unwrap() {
            if domain.mark.is_none() {
                continue;
            }
            let mut nodes = world.cluster.nodes.iter();
            let node = nodes.find(|node| node.name.as_str() == domain.name);
            let Some(node) = node.filter(|node| node.host == *host) else {
                return Err(TestCaseError::fail(format!("{} on {host}", domain.name)));
            };
            let live = domain.live.as_ref().unwrap();
            prop_assert_eq!(domain.power, PowerState::Running);
            prop_assert_eq!((domain.vcpus, live.vcpus), (node.cpu, node.cpu));
            prop_assert_eq!(
                (domain.memory_mib, live.memory_mib),
                (node.ram.mib(), node.ram.mib())
            );
            let mut disks = [domain.disks, live.disks.clone()];
            disks.iter_mut().for_each(|disks| disks.sort());
            prop_assert_eq!(&disks[0], &disks[1]);
            prop_assert_eq!(disks[0].len(), 2 + node.data_disks.len());
            names.push(domain.name);
        }
        // Each disk has its size, and there is none without a machine.
        let pools = hypervisor.pools().unwrap();
        let ours = pools.iter().filter(|pool| pool.name.starts_with("demo-"));
        for volume in ours.flat_map(|pool| &pool.volumes) {
            let node = world
                .cluster
                .nodes
                .iter()
                .find(|n| n.host == *host && volume.name.starts_with(&format!("{}-", n.name)));
            let Some(node) = node else {
                return Err(TestCaseError::fail(format!("{} is left", volume.name)));
            };
            if volume.name == node.main_volume() {
                prop_assert_eq!(volume.capacity, node.main_disk.bytes());
            } else if let Some(disk) = node
                .data_disks
                .iter()
                .find(|disk| volume.name == node.data_volume(disk))
            {
                prop_assert_eq!(volume.capacity, disk.size.bytes());
            } else {
                prop_assert_eq!(&volume.name, &format!("{}-seed", node.name));
            }
        }
    }
    prop_assert_eq!(names.len(), world.cluster.nodes.len());
    Ok(())
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        Just(When::Before),
        Just(When::Halfway),
        Just(When::After),
        Just(When::Late)
    ]
}

/// Only the last run is killed while libvirt still works on its request. A seed is left half written where the next run is killed
/// as well, at the moment in which a machine's definition appears late and that run writes the machine's seed again.
fn late_last(mut failures: Vec<(usize, When)>) -> Vec<(usize, When)> {
    let last = failures.len().saturating_sub(1);
    for (_, when) in &mut failures[..last] {
        if *when == When::Late {
            *when = When::After;
        }
    }
    failures
}

/// Lines in an order that does not depend on the order of creation.
fn inventory(world: &World) -> Vec<String> {
    let text = world.inventory();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn apply_reaches_what_is_desired_and_destroy_what_was_there(yaml in configuration(), existing in others()) {
        let world = World::new(&yaml, &existing);
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
        existing in others(),
        failures in proptest::collection::vec((0_usize..60, when()), 1..4),
    ) {
        let failures = late_last(failures);
        let straight = World::new(&yaml, &existing);
        let before = straight.inventory();
        straight.apply().unwrap();
        let world = World::new(&yaml, &existing);
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
        // The same for the removal.
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

    #[test]
    fn a_living_cluster_becomes_another_whatever_happens_to_it(
        fixed in fixed(),
        first in wanted(2..4),
        second in wanted(3..6),
        existing in others(),
        blows in blows(),
        failures in proptest::collection::vec((0_usize..25, when()), 0..4),
    ) {
        let world = World::new_on(&["one", "two"], &yaml(fixed, &first), &existing);
        let (before, others) = (world.inventory(), of_others(&world));
        world.apply().unwrap();
        for (node, blow) in &blows {
            strike(&world, *node, *blow);
        }
        let world = world.with(&yaml(fixed, &second));
        for (n, when) in &failures {
            for fake in world.fakes.values() {
                fake.fail_at(*n, *when);
            }
            let _ = world.apply();
            world.revive();
        }
        // A stopped pool hides which changes its disks need, or that a machine can't start because a disk is lost: that is
        // observed only once the pool is started.
        let hidden = blows.iter().any(|(_, blow)| matches!(blow, Blow::StopPools));
        if hidden {
            let _ = world.apply();
        }
        if let Err(error) = world.apply() {
            return Err(TestCaseError::fail(format!("{error:?}")));
        }
        let plan = world.plan().unwrap();
        prop_assert!(plan.is_empty(), "{}", plan);
        check_wanted(&world)?;
        prop_assert_eq!(of_others(&world), others);
        world.destroy().unwrap();
        prop_assert_eq!(world.inventory(), before);
    }
}

/// Every single call of one cluster's creation and removal, with all four ways to fail.
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
    for when in [When::Before, When::Halfway, When::After, When::Late] {
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
    println!("{} points of failure", 4 * (creating + destroying));
}

/// Every single call of one cluster's change, with all four ways to fail.
#[test]
fn every_point_of_a_change_once() {
    let changed = crate::world::DEMO
        .replace(
            "          ip: 192.168.113.20\n",
            "          ip: 192.168.113.20\n          cpu: 3\n          mainDiskSize: 40\n",
        )
        .replace("name: logs", "name: new")
        .replace(
            "        - id: 2\nkubernetes",
            "        - id: 3\n          ram: 2\nkubernetes",
        )
        .replace(
            "          ip: 192.168.113.11\n",
            "          ip: 192.168.113.11\n          ram: 3\n",
        );
    let made = || {
        let world = World::new(crate::world::DEMO, &HostState::default());
        world.apply().unwrap();
        world
            .fake()
            .lose_file("/pools/demo-main-resource-pool", "demo-master-3-main-disk");
        world.fake().lose_file(
            "/fast/demo-fast-data-resource-pool",
            "demo-worker-1-rook-data-disk",
        );
        world.with(&changed)
    };
    let straight = made();
    let begin = straight.fake().writes();
    straight.apply().unwrap();
    let points = straight.fake().writes() - begin;
    assert!(points > 20, "{points} points");
    let finished = inventory(&straight);
    for when in [When::Before, When::Halfway, When::After, When::Late] {
        for n in 0..points {
            let world = made();
            world.fake().fail_at(n, when);
            assert!(world.apply().is_err(), "point {n} {when:?} is reached");
            world.revive();
            world
                .apply()
                .unwrap_or_else(|error| panic!("after {n} {when:?}: {error:?}"));
            let plan = world.plan().unwrap();
            assert!(plan.is_empty(), "after {n} {when:?}: {plan}");
            assert_eq!(inventory(&world), finished, "after {n} {when:?}");
        }
    }
    println!("{} points of failure in a change", 4 * points);
}
