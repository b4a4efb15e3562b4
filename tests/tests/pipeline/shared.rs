//! Hosts that share a folder, and a host with two names: each has its own disks, and all of them share one image.

use std::collections::BTreeSet;
use std::path::Path;

use kubitect_config::cluster::Node;
use kubitect_provision::fake::FakeHost;
use kubitect_provision::hosts::LeftOut;
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::HostState;
use kubitect_provision::{Plan, plan_destroy, plan_destroy_without};
use tests::many;

use crate::living::settled;
use crate::ownership::removed;
use crate::world::{DEMO, TINY, World};

/// A cluster with machines on two hosts that share their folders.
fn shared() -> World {
    let names = many::hosts(2);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let world = World::new_on(&names, &many::cluster(2, 2), &HostState::default());
    world.apply().unwrap();
    let (one, two) = fakes(&world);
    one.share_with(two);
    settled(&world);
    world
}

/// The two hosts of a world.
fn fakes(world: &World) -> (&FakeHost, &FakeHost) {
    let fakes: Vec<_> = world.fakes.values().collect();
    (fakes[0], fakes[1])
}

/// Whether a base image exists.
fn has_image(world: &World) -> bool {
    world.inventory().contains(".qcow2\": File")
}

/// The existing main disks and seeds of these machines.
fn left_of(world: &World, nodes: &[Node]) -> usize {
    let pool = world.cluster.main_pool_name();
    let (one, _) = fakes(world);
    let folder = Path::new("/pools").join(pool);
    let names = nodes.iter().flat_map(|node| {
        let name = &node.name;
        [format!("{name}-main-disk"), format!("{name}-seed")]
    });
    names
        .filter(|name| one.capacity(&folder.join(name)).is_some())
        .count()
}

#[test]
fn hosts_may_share_a_folder_and_none_removes_the_others_disks() {
    for stopped in [false, true] {
        let mut world = shared();
        // The last machine leaves a host.
        let nodes = std::mem::take(&mut world.cluster.nodes);
        let first = nodes[0].host.clone();
        let (stay, leave): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|node| node.host == first);
        assert!(!stay.is_empty() && !leave.is_empty());
        world.cluster.nodes = stay.clone();
        let (_, second) = fakes(&world);
        if stopped {
            second.stop(&world.cluster.main_pool_name());
        }
        let plan = world.plan().unwrap();
        for name in removed(&plan) {
            let of_leaving = leave
                .iter()
                .any(|node| name.starts_with(node.name.as_str()));
            assert!(of_leaving, "{name}: {plan}");
        }
        world.apply().unwrap();
        assert_eq!(left_of(&world, &stay), 2 * stay.len());
        assert_eq!(left_of(&world, &leave), 0);
        // The image, too, although one host does not see its overlays any more.
        settled(&world);
        assert!(has_image(&world));
    }
}

/// A person renamed the machine of another host: its disks are not this host's to remove.
#[test]
fn hosts_that_share_a_folder_leave_the_disks_of_the_others_strangers() {
    let mut world = shared();
    let (first, nodes) = (
        world.cluster.nodes[0].host.clone(),
        &mut world.cluster.nodes,
    );
    let last = nodes.iter().position(|node| node.host != first).unwrap();
    let last = nodes.remove(last);
    world.fakes[&last.host].change_domain(last.name.as_str(), |it| {
        it.copy_of = it.name.parse().ok();
        it.name = "old".to_owned();
        it.mark = None;
    });
    let nodes = [last];
    world.apply().unwrap();
    assert_eq!(left_of(&world, &nodes), 2, "{}", world.plan().unwrap());
    world.destroy().unwrap();
    assert_eq!(left_of(&world, &nodes), 2);
    assert_eq!(left_of(&world, &world.cluster.nodes), 0);
    // The image under it stays, too.
    assert!(has_image(&world));
}

#[test]
fn a_cluster_on_hosts_that_share_a_folder_goes_as_a_whole() {
    let world = shared();
    world.destroy().unwrap();
    let left = world.inventory();
    for name in ["large", "kubitect-base-images"] {
        assert!(!left.contains(name), "{left}");
    }
}

#[test]
fn machines_of_a_host_that_is_left_out_keep_their_disks_in_a_shared_folder() {
    for stopped in [false, true] {
        let mut world = shared();
        let pool = world.cluster.main_pool_name();
        let nodes = world.cluster.nodes.clone();
        let lost = nodes.iter().find(|node| node.host != nodes[0].host);
        let lost = lost.unwrap().host.clone();
        let (stay, go): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.host == lost);
        let (one, two) = fakes(&world);
        one.put_file(
            format!("/pools/{pool}"),
            &format!("{}-x-data-disk", stay[0].name),
            b"data",
        );
        if stopped {
            one.stop(&pool);
            two.stop(&pool);
        }
        world.fakes.retain(|name, _| *name != lost);
        let machines = stay.iter().map(|node| node.name.clone());
        let left_out = [LeftOut {
            files: BTreeSet::new(),
            is_forgotten: false,
            host: lost,
            machines: machines.collect(),
        }];
        let plan = plan_destroy_without(&world.cluster.name, &world.hosts(), &left_out).unwrap();
        world.carry_out(&plan).unwrap();
        let left = world.inventory();
        for node in &stay {
            for disk in ["main-disk", "seed"] {
                assert!(left.contains(&format!("{}-{disk}", node.name)), "{left}");
            }
        }
        assert!(left.contains("-x-data-disk"), "{left}");
        for node in &go {
            assert!(!left.contains(node.name.as_str()), "{left}");
        }
        // The image is their backing file, also for a run that sees none of them any more.
        let repeated =
            plan_destroy_without(&world.cluster.name, &world.hosts(), &left_out).unwrap();
        assert!(repeated.is_empty(), "{repeated}");
        assert!(has_image(&world), "{left}");
    }
}

/// Two hosts of one run get the image in a folder that they share: one uploads it, the other one uses it.
#[test]
fn hosts_that_share_a_fresh_folder_upload_the_image_once() {
    let names = many::hosts(2);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for round in 0..6 {
        let world = World::new_on(&names, &many::cluster(2, 2), &HostState::default());
        let (one, two) = fakes(&world);
        one.share_with(two);
        // Neither completes it before the other one begins.
        for fake in [one, two] {
            fake.set_call_time(std::time::Duration::from_millis(1));
        }
        world.apply().unwrap();
        let pools = one.pools().unwrap();
        let pool = pools
            .iter()
            .find(|pool| pool.name == "kubitect-base-images");
        let images = pool.unwrap().volumes.iter();
        let images = images.filter(|volume| volume.name.ends_with(".qcow2"));
        let images: Vec<_> = images.collect();
        assert_eq!(images.len(), 1, "{pool:?}");
        let path = images[0].path.display().to_string();
        assert_eq!(one.times(&path) + two.times(&path), 1, "round {round}");
        let whole = std::fs::read(&world.image.path).unwrap();
        assert_eq!(
            one.bytes("kubitect-base-images", &images[0].name),
            Some(whole)
        );
        settled(&world);
        world.destroy().unwrap();
        assert!(!has_image(&world), "{}", world.inventory());
    }
}

/// Two clusters, each on its own host, share the folder of images: neither host sees the other cluster.
#[test]
fn clusters_on_hosts_that_share_a_folder_leave_each_other_the_image() {
    let one = World::new(DEMO, &HostState::default());
    let before = one.inventory();
    let two = World::new(TINY, &HostState::default());
    one.apply().unwrap();
    one.fake().share_with(two.fake());
    let mut two = two;
    two.image = one.image.clone();
    two.apply().unwrap();
    settled(&one);
    one.destroy().unwrap();
    assert!(has_image(&one), "{}", one.inventory());
    settled(&two);
    one.apply().unwrap();
    two.destroy().unwrap();
    settled(&one);
    assert!(has_image(&one));
    one.destroy().unwrap();
    two.destroy().unwrap();
    assert_eq!(one.inventory(), before);
}

/// Two names that lead to one libvirt, as where a host was renamed and its address written otherwise.
#[test]
fn a_host_of_two_names_is_emptied() {
    let mut world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    world.apply().unwrap();
    let fake = std::sync::Arc::clone(&world.fakes[&"box".parse().unwrap()]);
    world.fakes.insert("server".parse().unwrap(), fake);
    let whole = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
    for host in ["box", "server"] {
        let changes = whole.changes.iter().filter(|c| c.host.as_str() == host);
        let plan = Plan {
            cluster: whole.cluster.clone(),
            changes: changes.cloned().collect(),
        };
        world.carry_out(&plan).unwrap();
    }
    world.fakes.retain(|name, _| name.as_str() == "box");
    assert_eq!(world.inventory(), before);
}
