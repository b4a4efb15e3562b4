//! Whose things are: hosts that share a folder, copies of machines, clusters whose names make the same pool.

use std::collections::BTreeSet;
use std::path::Path;

use kubitect_config::cluster::Node;
use kubitect_provision::change::{Kind, Step};
use kubitect_provision::fake::FakeHost;
use kubitect_provision::hosts::LeftOut;
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::{DomainState, HostState, Live, PoolState, PowerState};
use kubitect_provision::{Plan, plan_destroy, plan_destroy_without};
use tests::many;

use crate::living::{demo, domain, made, settled};
use crate::world::{DEMO, TINY, World};

/// A cluster with machines on two hosts whose folders are one.
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

/// Whether a base image is there.
fn has_image(world: &World) -> bool {
    world.inventory().contains(".qcow2\": File")
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

/// The main disks and seeds that are there of these machines.
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
        // The image, too, though one host sees no disk over it any more.
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
    world.fakes[&last.host].meddle(last.name.as_str(), |it| {
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
    for gone in ["large", "kubitect-base-images"] {
        assert!(!left.contains(gone), "{left}");
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
        // The image lies under them, also for a run that sees none of them any more.
        let again = plan_destroy_without(&world.cluster.name, &world.hosts(), &left_out).unwrap();
        assert!(again.is_empty(), "{again}");
        assert!(has_image(&world), "{left}");
    }
}

/// Two hosts of one run get the image into a folder that both have: one uploads it, and the other uses that.
#[test]
fn hosts_that_share_a_fresh_folder_upload_the_image_once() {
    let names = many::hosts(2);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for round in 0..6 {
        let world = World::new_on(&names, &many::cluster(2, 2), &HostState::default());
        let (one, two) = fakes(&world);
        one.share_with(two);
        // Neither is through with it before the other begins.
        for fake in [one, two] {
            fake.take(std::time::Duration::from_millis(1));
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

/// Two clusters, each on a host of its own: neither host sees the other cluster, and both have the folder of images.
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

/// A disk of the demo's first worker, its folder, and its name.
const ROOK: (&str, &str) = (
    "/fast/demo-fast-data-resource-pool",
    "demo-worker-1-rook-data-disk",
);

/// Whether that disk is there.
fn has_rook(world: &World) -> bool {
    let path = Path::new(ROOK.0).join(ROOK.1);
    world.fake().capacity(&path).is_some()
}

/// A machine runs on a snapshot of its data disk (`virsh snapshot-create-as --disk-only`): what lies under it is no leftover.
#[test]
fn a_data_disk_under_a_snapshot_stays_when_it_leaves_the_file() {
    let world = made();
    let (folder, disk) = (Path::new(ROOK.0), Path::new(ROOK.0).join(ROOK.1));
    let (name, more) = (format!("{}.snap1", ROOK.1), format!("{}.snap2", ROOK.1));
    world.fake().put_overlay(folder, &name, &disk);
    world.fake().put_overlay(folder, &more, &folder.join(&name));
    world.fake().meddle("demo-worker-1", |it| {
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
            refused.len() == 1 && refused[0].details.contains("blockcommit"),
            "{plan}"
        );
        assert!(!removed(&plan).contains(&ROOK.1), "{plan}");
    }
    // With the machine goes the disk, and with that its snapshots.
    world.destroy().unwrap();
    assert!(!has_rook(&world));
    assert!(!world.inventory().contains(&name) && !world.inventory().contains(&more));
}

/// Somebody's machine whose disk is a linked clone of one of ours.
#[test]
fn a_disk_under_somebodys_clone_stays() {
    let without = demo(&[(crate::living::DISKS, "")]);
    for (stopped, seen) in [(false, true), (true, true), (false, false)] {
        let stranger = DomainState {
            name: "somebody".into(),
            disks: vec!["/clones/clone.qcow2".into()],
            // Where no pool shows the clone, its machine tells of what is under it.
            under: match seen {
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
        let there = HostState {
            pools: Vec::from_iter(seen.then_some(clones)),
            domains: vec![stranger],
            ..HostState::default()
        };
        let world = World::new(DEMO, &there);
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
            assert_eq!(removed(&destroyed).contains(&ROOK.1), seen);
            world.carry_out(&destroyed).unwrap();
        }
        assert!(has_rook(&world), "{stopped} {seen}");
    }
}
