//! What belongs to a cluster and what does not: copies of machines, disks under snapshots and clones, clusters whose names give
//! the same pool.

use std::path::Path;

use kubitect_config::RefusalKind;
use kubitect_provision::change::Step;
use kubitect_provision::observe::{DomainState, HostState, Live, PoolState, PowerState};
use kubitect_provision::{Plan, plan_destroy};

use crate::living::{demo, domain, made, settled};
use crate::world::{DEMO, TINY, World};

/// The names of the volumes that a plan removes.
pub fn removed(plan: &Plan) -> Vec<&str> {
    let steps = plan.changes.iter().map(|change| &change.step);
    let volumes = steps.filter_map(|step| match step {
        Step::RemoveVolume { volume, .. } => Some(volume.as_str()),
        _ => None,
    });
    volumes.collect()
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
        let existing = HostState {
            domains: vec![copy(&original, name)],
            ..HostState::default()
        };
        let world = World::new(DEMO, &existing);
        world.apply().unwrap();
        settled(&world);
        let observed =
            kubitect_provision::observe::observe_with_addresses(&world.cluster, &world.hosts())
                .unwrap();
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
    world.fake().change_domain("demo-worker-1", |worker| {
        worker.copy_of = worker.name.parse().ok();
        worker.name = "somebody".to_owned();
        worker.mark = None;
        worker.live = None;
        worker.power = PowerState::Off;
    });
    let plan = world.plan().unwrap();
    let refused: Vec<_> = plan.refused().collect();
    assert_eq!(refused.len(), 1, "{plan}");
    assert_eq!(refused[0].kind, RefusalKind::DisksTaken);
    assert_eq!(refused[0].machines, ["demo-worker-1"]);
    let rename = "virsh domrename somebody demo-worker-1";
    assert!(refused[0].instead.contains(rename), "{plan}");
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
    // The disk still belongs to the first cluster: when the file no longer has it, it is removed, and its pool with it.
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
    // Neither cluster removes the other's disks.
    tiny.destroy().unwrap();
    settled(&world);
    world.destroy().unwrap();
    assert!(
        !world.inventory().contains("demo-"),
        "{}",
        world.inventory()
    );
}

/// A disk of the demo's first worker, its folder, and its name.
const ROOK: (&str, &str) = (
    "/fast/demo-fast-data-resource-pool",
    "demo-worker-1-rook-data-disk",
);

/// Whether that disk exists.
fn has_rook(world: &World) -> bool {
    let path = Path::new(ROOK.0).join(ROOK.1);
    world.fake().capacity(&path).is_some()
}

/// A machine runs on a snapshot of its data disk (`virsh snapshot-create-as --disk-only`): the disk under it is still in use.
#[test]
fn a_data_disk_under_a_snapshot_stays_when_it_leaves_the_file() {
    let world = made();
    let (folder, disk) = (Path::new(ROOK.0), Path::new(ROOK.0).join(ROOK.1));
    let (name, more) = (format!("{}.snap1", ROOK.1), format!("{}.snap2", ROOK.1));
    world.fake().put_overlay(folder, &name, &disk);
    world.fake().put_overlay(folder, &more, &folder.join(&name));
    world.fake().change_domain("demo-worker-1", |it| {
        let live = it.live.as_mut().map(|live| &mut live.disks);
        for disks in live.into_iter().chain([&mut it.disks]) {
            for path in disks.iter_mut().filter(|path| **path == disk) {
                *path = folder.join(&more);
            }
        }
    });
    for text in [DEMO.to_owned(), demo(&[(crate::living::DISKS, "")])] {
        let plan = world.with(&text).plan().unwrap();
        let refused: Vec<_> = plan.refused().collect();
        assert!(
            refused.len() == 1 && refused[0].kind == RefusalKind::DiskReplaced,
            "{plan}"
        );
        assert!(!removed(&plan).contains(&ROOK.1), "{plan}");
    }
    // The disk is removed with the machine, and its snapshots with the disk.
    world.destroy().unwrap();
    assert!(!has_rook(&world));
    assert!(!world.inventory().contains(&name) && !world.inventory().contains(&more));
}

/// Somebody's machine whose disk is a linked clone of one of ours.
#[test]
fn a_disk_under_somebodys_clone_stays() {
    let without = demo(&[(crate::living::DISKS, "")]);
    for (stopped, pool_shown) in [(false, true), (true, true), (false, false)] {
        let stranger = DomainState {
            name: "somebody".into(),
            disks: vec!["/clones/clone.qcow2".into()],
            // Where no pool lists the clone, its machine's definition names the disk under it.
            under: match pool_shown {
                true => Vec::new(),
                false => vec![Path::new(ROOK.0).join(ROOK.1)],
            },
            ..DomainState::default()
        };
        let clones = PoolState {
            name: "clones".into(),
            is_folder: true,
            path: Some("/clones".into()),
            active: true,
            available: 1 << 40,
            volumes: Vec::new(),
        };
        let existing = HostState {
            pools: Vec::from_iter(pool_shown.then_some(clones)),
            domains: vec![stranger],
            ..HostState::default()
        };
        let world = World::new(DEMO, &existing);
        world.apply().unwrap();
        let destroyed = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
        let disk = Path::new(ROOK.0).join(ROOK.1);
        world.fake().put_overlay("/clones", "clone.qcow2", &disk);
        let scaled = world.with(&without);
        assert!(!removed(&scaled.plan().unwrap()).contains(&ROOK.1));
        if stopped {
            world.fake().stop("demo-fast-data-resource-pool");
            world.destroy().unwrap();
        } else {
            // The plan may be older than the clone.
            assert_eq!(removed(&destroyed).contains(&ROOK.1), pool_shown);
            world.carry_out(&destroyed).unwrap();
        }
        assert!(has_rook(&world), "{stopped} {pool_shown}");
    }
}
