//! Pools whose file system is not mounted, that are stopped, or whose disks are all missing: no disk is lost.

use crate::living::{DISKS, demo, made, refused, settled};
use crate::world::{DEMO, World};

pub const MAIN: &str = "/pools/demo-main-resource-pool";
const FAST: &str = "/fast/demo-fast-data-resource-pool";

/// Unmounts the file system of this folder, as on a host that was started without it.
fn reboot_without(world: &World, folder: &str) {
    for node in &world.cluster.nodes {
        world.fake().stop(node.name.as_str());
    }
    world.fake().unmount(folder);
}

#[test]
fn a_file_system_that_is_not_mounted_loses_no_disk() {
    for folder in [MAIN, FAST] {
        let world = made();
        let before = world.inventory();
        reboot_without(&world, folder);
        let plan = world.plan().unwrap();
        assert!(
            !plan.changes.iter().any(|change| change.is_destructive()),
            "{plan}"
        );
        for _ in 0..2 {
            let error = world.apply().unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("mount its file system"), "{cause}");
        }
        assert!(world.destroy().is_err(), "nothing is left behind");
        // Where an empty folder is in its place, the pool is not left active.
        world.fake().make_folder(folder);
        for _ in 0..2 {
            let error = world.apply().unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("holds no disk"), "{cause}");
        }
        world.fake().mount(folder);
        world.apply().unwrap();
        settled(&world);
        assert_eq!(world.inventory(), before);
    }
}

#[test]
fn a_pool_in_which_all_disks_are_missing_is_left_to_the_person() {
    let world = made();
    reboot_without(&world, MAIN);
    world.fake().make_folder(MAIN);
    let hosts = world.hosts();
    let (_, host) = hosts.iter().next().unwrap();
    host.start_pool("demo-main-resource-pool").unwrap();
    let message = refused(&world, DEMO);
    assert!(
        message.contains("all 13 disks")
            && message.contains("mount it")
            && message.contains("undefine"),
        "{message}"
    );
    // As it says.
    for node in &world.cluster.nodes {
        host.remove_domain(&node.name).unwrap();
    }
    world.apply().unwrap();
    settled(&world);
}

#[test]
fn the_only_disk_of_a_pool_is_not_made_anew_for_a_machine_that_is_off() {
    let world = made();
    reboot_without(&world, FAST);
    world.fake().make_folder(FAST);
    let hosts = world.hosts();
    let (_, host) = hosts.iter().next().unwrap();
    host.start_pool("demo-fast-data-resource-pool").unwrap();
    let message = refused(&world, DEMO);
    assert!(
        message.contains("the only disk") && message.contains("detach-disk"),
        "{message}"
    );
    // As it says.
    let disk = format!("{FAST}/demo-worker-1-rook-data-disk");
    let worker = "demo-worker-1".parse().unwrap();
    host.detach_disk(&worker, disk.as_ref()).unwrap();
    world.apply().unwrap();
    settled(&world);
}

#[test]
fn a_stopped_pool_that_is_no_longer_wanted_goes_with_its_disks() {
    for file_system in [true, false] {
        let world = made();
        match file_system {
            true => world.fake().stop("demo-fast-data-resource-pool"),
            false => world.fake().unmount(FAST),
        }
        let changed = world.with(&demo(&[(DISKS, "")]));
        let plan = changed.plan().unwrap();
        let last = plan.changes.last().unwrap();
        assert!(last.details.contains("go all disks"), "{plan}");
        assert!(last.is_destructive(), "{plan}");
        if !file_system {
            assert!(changed.apply().is_err());
            world.fake().mount(FAST);
        }
        changed.apply().unwrap();
        settled(&changed);
        let left = world.inventory();
        assert!(!left.contains("rook") && !left.contains("fast"), "{left}");
    }
}
