//! What stays after a destroy: all that was on the hosts before, and all that belongs to others.

use std::sync::Mutex;

use kubitect_provision::change::Step;
use kubitect_provision::observe::{DomainState, HostState, PoolState, PowerState, VolumeState};
use kubitect_provision::{Error, plan_destroy};

use crate::world::{DEMO, TINY, World};

#[test]
fn destroy_leaves_what_was_there_before() {
    let world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    world.apply().unwrap();
    assert_ne!(world.inventory(), before);
    world.destroy().unwrap();
    assert_eq!(world.inventory(), before);
}

/// A guest that never shuts down does not delay its removal: a machine that is deleted is switched off, not shut down.
#[test]
fn machines_that_are_deleted_are_not_shut_down_first() {
    let world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    world.apply().unwrap();
    for node in &world.cluster.nodes {
        world.fake().ignore_shutdown(node.name.as_str());
    }
    // A machine that leaves, and then all.
    let fewer = DEMO.replace("        - id: 2\nkubernetes", "kubernetes");
    let fewer = world.with(&fewer);
    let scaled = fewer.plan().unwrap();
    let destroyed = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
    for plan in [&scaled, &destroyed] {
        let steps = plan.changes.iter().map(|change| &change.step);
        let asked = steps.filter(|step| matches!(step, Step::ShutDownDomain(_)));
        assert_eq!(asked.count(), 0, "{plan}");
    }
    fewer.carry_out(&scaled).unwrap();
    assert!(!world.inventory().contains("demo-worker-2"));
    world.destroy().unwrap();
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_stopped_pool_is_emptied_too() {
    let world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    world.apply().unwrap();
    world.fake().stop("demo-main-resource-pool");
    world.fake().stop("kubitect-base-images");
    world.destroy().unwrap();
    assert_eq!(world.inventory(), before);
}

/// A file that is an overlay of another, in a folder of the cluster.
fn overlay(world: &World, name: &str, under: &str) {
    let folder = "/pools/demo-main-resource-pool";
    let under = std::path::Path::new(folder).join(under);
    world.fake().put_overlay(folder, name, &under);
}

/// `virsh snapshot-create-as --disk-only` and `virsh snapshot-delete --metadata`, or a machine that was put back on its disk, leave
/// files that no machine uses.
#[test]
fn files_of_snapshots_go_with_their_disks_and_those_of_others_are_named() {
    for stopped in [false, true] {
        let world = World::new(DEMO, &HostState::default());
        let before = world.inventory();
        world.apply().unwrap();
        overlay(
            &world,
            "demo-worker-1-main-disk.before",
            "demo-worker-1-main-disk",
        );
        overlay(
            &world,
            "demo-worker-1-main-disk.later",
            "demo-worker-1-main-disk.before",
        );
        if stopped {
            world.fake().stop("demo-main-resource-pool");
        } else {
            let plan = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
            let rows: Vec<_> = plan
                .changes
                .iter()
                .filter(|c| c.name.contains("main-disk."))
                .collect();
            assert_eq!(rows.len(), 2, "{plan}");
            assert!(
                rows.iter()
                    .all(|row| row.details == "a snapshot's file over demo-worker-1-main-disk")
            );
        }
        world.destroy().unwrap();
        assert_eq!(world.inventory(), before, "stopped: {stopped}");
    }
}

/// An overlay that another program made of the cluster's disks, or one with a snapshot's name, belongs to others, and so does the
/// disk under it.
#[test]
fn files_that_only_look_like_snapshots_stay_and_are_named() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let folder = "/pools/demo-main-resource-pool";
    overlay(&world, "clone.qcow2", "demo-worker-1-main-disk.theirs");
    overlay(
        &world,
        "demo-worker-1-main-disk.theirs",
        "demo-worker-1-main-disk",
    );
    overlay(
        &world,
        "demo-worker-2-main-disk.odd",
        "demo-worker-1-main-disk",
    );
    world
        .fake()
        .put_file(folder, "demo-worker-2-main-disk.bak", b"a copy");
    let stay = [
        "clone.qcow2",
        "demo-worker-1-main-disk.theirs",
        "demo-worker-2-main-disk.odd",
        "demo-worker-2-main-disk.bak",
    ];
    let plan = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
    let pool = plan
        .changes
        .iter()
        .find(|c| c.name == "demo-main-resource-pool")
        .unwrap();
    for name in stay {
        assert!(pool.details.contains(name), "{}", pool.details);
        assert!(
            !plan.changes.iter().any(|change| change.name == name),
            "{plan}"
        );
    }
    world.destroy().unwrap();
    let left = world.inventory();
    for name in stay {
        assert!(left.contains(name), "{left}");
    }
}

#[test]
fn consoles_logs_go_with_the_pool() {
    let world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    world.apply().unwrap();
    for name in ["demo-master-1-console.log", "demo-master-1-console.log.0"] {
        world
            .fake()
            .put_file("/pools/demo-main-resource-pool", name, b"boot");
    }
    let node = &world.cluster.nodes[1];
    let tail = kubitect_provision::machine::console_tail(&world.hosts(), &world.cluster, node, 5);
    assert_eq!(tail.unwrap(), ["boot"]);
    world.destroy().unwrap();
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_folder_with_something_else_in_it_stays() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    world.fake().put_file(
        "/pools/demo-main-resource-pool",
        "thesis.tex",
        b"years of work",
    );
    let plan = kubitect_provision::plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
    let shown = Mutex::new(String::new());
    let never = std::sync::atomic::AtomicBool::new(false);
    kubitect_provision::apply(
        &plan,
        &world.hosts(),
        &kubitect_provision::Inputs::default(),
        &never,
        &|event| *shown.lock().unwrap() += &format!("{event}\n"),
    )
    .unwrap();
    let shown = shown.into_inner().unwrap();
    assert!(
        shown.contains(
            "demo-main-resource-pool on box: done, but its folder stays (something else lies in it)"
        ),
        "{shown}"
    );
    assert_eq!(shown.matches("folder stays").count(), 1, "{shown}");
    let left = world.inventory();
    assert!(left.contains("thesis.tex"), "{left}");
    assert!(!left.contains("demo-master-1"), "{left}");
}

/// A machine without a mark whose disk is given by pool and volume, as other programs do.
fn unmarked(name: &str, disk: &str) -> DomainState {
    DomainState {
        name: name.into(),
        power: PowerState::Running,
        note: None,
        vcpus: 2,
        max_vcpus: 2,
        memory_mib: 4096,
        disks: vec![disk.into()],
        ..DomainState::default()
    }
}

#[test]
fn a_cluster_of_this_name_that_another_program_made_is_left_alone() {
    let pool = "demo-main-resource-pool";
    let disk = "demo-master-1-main-disk";
    let path = format!("/pools/{pool}");
    let existing = HostState {
        pools: vec![PoolState {
            name: pool.into(),
            is_folder: true,
            path: Some(path.clone().into()),
            active: true,
            available: 1 << 40,
            volumes: vec![VolumeState {
                name: disk.into(),
                path: format!("{path}/{disk}").into(),
                format: "qcow2".into(),
                capacity: 1 << 30,
                allocation: 1 << 29,
                physical: None,
                backing: None,
            }],
        }],
        domains: vec![unmarked("demo-master-1", &format!("{pool}/{disk}"))],
        ..HostState::default()
    };
    let world = World::new(DEMO, &existing);
    let before = world.inventory();
    let error = world.destroy().unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert!(
        error.to_string().contains("domain demo-master-1"),
        "{error}"
    );
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_disk_that_somebody_else_uses_stays() {
    let pool = "demo-fast-data-resource-pool";
    let disk = "demo-worker-1-rook-data-disk";
    for stop_pool in [false, true] {
        let existing = HostState {
            domains: vec![unmarked("somebody", &format!("{pool}/{disk}"))],
            ..HostState::default()
        };
        let world = World::new(DEMO, &existing);
        world.apply().unwrap();
        if stop_pool {
            world.fake().stop(pool);
        }
        world.destroy().unwrap();
        let left = world.inventory();
        assert!(left.contains(&format!("\"{disk}\": File")), "{left}");
        assert!(!left.contains("demo-master-1"), "{left}");
    }
}

#[test]
fn images_stay_as_long_as_another_cluster_lies_over_them() {
    for stop_pool in [false, true] {
        let demo = World::new(DEMO, &HostState::default());
        let before = demo.inventory();
        let tiny = demo.with(TINY);
        demo.apply().unwrap();
        tiny.apply().unwrap();
        let pair = demo.inventory();
        if stop_pool {
            demo.fake().stop("demo-fast-main-resource-pool");
        }
        demo.destroy().unwrap();
        assert!(
            demo.inventory().contains("ubuntu22-"),
            "the image is still needed"
        );
        if stop_pool {
            tiny.apply().unwrap();
        }
        assert!(tiny.plan().unwrap().is_empty());
        demo.apply().unwrap();
        assert_eq!(sorted(&demo.inventory()), sorted(&pair));
        tiny.destroy().unwrap();
        assert!(demo.plan().unwrap().is_empty());
        demo.destroy().unwrap();
        assert_eq!(demo.inventory(), before);
    }
}

/// The lines of a text in an order that does not depend on the order of creation.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}
