//! Whose things are: hosts that share a folder, copies of machines, clusters whose names make the same pool.

use kubitect_provision::change::{Kind, Step};
use kubitect_provision::observe::{DomainState, HostState, Live, PowerState};
use kubitect_provision::{Plan, plan_destroy};
use tests::many;

use crate::living::{demo, domain, made, settled};
use crate::world::{DEMO, TINY, World};

/// Lets each host see the volumes of all others in its own folder.
fn share(world: &World, pool: &str) {
    let hosts = world.hosts();
    for (name, host) in hosts.iter() {
        let there = host.pools().unwrap();
        let there = there.iter().find(|there| there.name == pool).unwrap();
        let others = world.fakes.iter().filter(|(other, _)| *other != name);
        for (_, other) in others {
            for volume in &there.volumes {
                let folder = there.path.clone().unwrap();
                if other.bytes(pool, &volume.name).is_none() {
                    other.put_file(folder, &volume.name, b"a disk");
                }
            }
        }
    }
}

/// The names of the volumes that a plan removes.
fn removed(plan: &Plan) -> Vec<&str> {
    let steps = plan.changes.iter().map(|change| &change.step);
    let volumes = steps.filter_map(|step| match step {
        Step::RemoveVolume { volume, .. } => Some(volume.as_str()),
        _ => None,
    });
    volumes.collect()
}

#[test]
fn hosts_may_share_a_folder_and_none_removes_the_others_disks() {
    let names = many::hosts(2);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = World::new_on(&names, &many::cluster(2, 2), &HostState::default());
    world.apply().unwrap();
    let pool = world.cluster.main_pool_name();
    share(&world, &pool);
    settled(&world);

    // The last machine leaves a host.
    let nodes = std::mem::take(&mut world.cluster.nodes);
    let first = nodes[0].host.clone();
    let (stay, leave): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.host == first);
    assert!(!stay.is_empty() && !leave.is_empty());
    world.cluster.nodes = stay;
    for stopped in [false, true] {
        if stopped {
            let second = world.fakes.iter().find(|(name, _)| **name != first);
            second.unwrap().1.stop(&pool);
        }
        let plan = world.plan().unwrap();
        for name in removed(&plan) {
            let of_leaving = leave
                .iter()
                .any(|node| name.starts_with(node.name.as_str()));
            assert!(of_leaving, "{name}: {plan}");
        }
    }
    world.apply().unwrap();
    // What the host without machines had seen of the other's is still there: it is the same folder.
    let second = world.fakes.iter().find(|(name, _)| **name != first);
    let left = second.unwrap().1.inventory();
    for node in &world.cluster.nodes {
        assert!(left.contains(&format!("{}-main-disk", node.name)), "{left}");
        assert!(left.contains(&format!("{}-seed", node.name)), "{left}");
    }
}

/// A copy of a machine, with disks of its own, as another program makes it: it has the mark and the notes of the original.
fn copy(of: &DomainState, name: &str) -> DomainState {
    let disk = format!("/elsewhere/{name}.qcow2");
    DomainState {
        name: name.to_owned(),
        mark: None,
        copy_of: Some(of.name.parse().unwrap()),
        note: Some("set up long ago".to_owned()),
        nic: None,
        disks: vec![disk.into()],
        power: PowerState::Off,
        live: None::<Live>,
        ..of.clone()
    }
}

#[test]
fn a_copy_of_a_machine_is_none_of_ours() {
    let original = domain(&made(), "demo-worker-1");
    for name in ["experiment", "demo-worker-1-clone", "demo-worker-3"] {
        let there = HostState {
            domains: vec![copy(&original, name)],
            ..HostState::default()
        };
        let world = World::new(DEMO, &there);
        world.apply().unwrap();
        settled(&world);
        let observed = kubitect_provision::observe::look(&world.cluster, &world.hosts()).unwrap();
        assert_eq!(
            observed.notes(&world.cluster.name)[&world.cluster.nodes[4].name],
            None
        );
        let leaving = kubitect_provision::gather::leaving(&world.cluster, &observed);
        assert!(leaving.is_empty(), "{leaving:?}");
        let plan = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
        assert!(
            !plan.changes.iter().any(|change| change.name == name),
            "{plan}"
        );
        world.destroy().unwrap();
        assert_eq!(
            domain(&world, name).note.as_deref(),
            Some("set up long ago")
        );
    }
}

#[test]
fn a_machine_that_was_renamed_keeps_its_disks() {
    let world = made();
    world.fake().meddle("demo-worker-1", |worker| {
        worker.copy_of = worker.name.parse().ok();
        worker.name = "somebody".to_owned();
        worker.mark = None;
        worker.live = None;
        worker.power = PowerState::Off;
    });
    let plan = world.plan().unwrap();
    let refused: Vec<_> = plan.refused().collect();
    assert_eq!(refused.len(), 1, "{plan}");
    assert_eq!(
        (refused[0].kind, refused[0].name.as_str()),
        (Kind::Domain, "demo-worker-1")
    );
    assert!(
        refused[0]
            .details
            .contains("virsh domrename somebody demo-worker-1"),
        "{plan}"
    );
    assert!(removed(&plan).is_empty(), "{plan}");
}

/// Pool `fast-x` of cluster `demo` has the name that pool `x` of cluster `demo-fast` would have.
#[test]
fn a_data_pool_is_theirs_whose_disks_lie_in_it() {
    let longer = |text: &str| {
        text.replace("name: fast", "name: fast-x")
            .replace("pool: fast", "pool: fast-x")
    };
    let world = World::new(&longer(DEMO), &HostState::default());
    world.apply().unwrap();
    let pool = "demo-fast-x-data-resource-pool";
    assert!(world.inventory().contains(pool));
    let tiny = world.with(TINY);
    for _ in 0..2 {
        let plan = tiny.plan().unwrap();
        assert!(
            !plan.changes.iter().any(|change| change.name == pool),
            "{plan}"
        );
        tiny.apply().unwrap();
    }
    settled(&world);
    // The disk is still the first cluster's: taken out of its file, it goes, and its pool with it.
    let without = longer(&demo(&[(crate::living::DISKS, "")]));
    let without = world.with(&without);
    let plan = without.plan().unwrap();
    assert!(
        removed(&plan).contains(&"demo-worker-1-rook-data-disk"),
        "{plan}"
    );
    without.apply().unwrap();
    settled(&without);
    let left = world.inventory();
    assert!(!left.contains("rook-data-disk"), "{left}");
    world.apply().unwrap();
    // Neither cluster takes the other's disks with it.
    tiny.destroy().unwrap();
    settled(&world);
    world.destroy().unwrap();
    assert!(
        !world.inventory().contains("demo-"),
        "{}",
        world.inventory()
    );
}
