//! Finished clusters after faults: something is lost, was changed by others, or does not work.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kubitect_provision::change::Part;
use kubitect_provision::fake::When;
use kubitect_provision::observe::{HostState, PowerState};
use kubitect_provision::{Error, Inputs, apply, machine};

use crate::living::{DISKS, WORKER_1, capacity, demo, domain, made, refused, settled};
use crate::unmounted::MAIN;
use crate::world::{DEMO, World, seed};

#[test]
fn a_lost_disk_is_made_anew() {
    let world = made();
    machine::note(&world.hosts(), &world.cluster.nodes[1], "set up").unwrap();
    world
        .fake()
        .lose_file("/pools/demo-main-resource-pool", "demo-master-1-main-disk");
    world
        .fake()
        .lose_file("/pools/demo-main-resource-pool", "demo-worker-1-main-disk");
    world.fake().lose_file(
        "/fast/demo-fast-data-resource-pool",
        "demo-worker-1-rook-data-disk",
    );
    let plan = world.plan().unwrap();
    insta::assert_snapshot!("lost_main_disks", plan);
    world.apply().unwrap();
    settled(&world);
    assert_eq!(
        domain(&world, "demo-master-1").note,
        None,
        "nothing is set up on it"
    );
    assert_eq!(
        capacity(&world, "demo-worker-1-logs-data-disk"),
        Some(1 << 30)
    );

    world.fake().lose_file(
        "/fast/demo-fast-data-resource-pool",
        "demo-worker-1-rook-data-disk",
    );
    let plan = world.plan().unwrap();
    insta::assert_snapshot!("lost_data_disk", plan);
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().disks.len(), 4);
}

#[test]
fn a_pool_that_hides_its_disks_loses_none() {
    let world = made();
    let before = world.inventory();
    world.fake().stop("demo-main-resource-pool");
    let plan = world.plan().unwrap();
    assert_eq!(plan.changes.len(), 1, "{plan}");
    world.apply().unwrap();
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_machine_whose_definition_is_gone_is_brought_back_as_it_was() {
    for pool_stopped in [false, true] {
        let world = made();
        let before = world.inventory();
        let hosts = world.hosts();
        let (_, host) = hosts.iter().next().unwrap();
        let name = &world.cluster.nodes[1].name;
        host.remove_domain(name).unwrap();
        world
            .fake()
            .put_file(MAIN, "demo-master-1-seed", &seed("its only key"));
        if pool_stopped {
            world.fake().stop("demo-main-resource-pool");
        }
        let mut plan = world.plan().unwrap();
        if !pool_stopped {
            assert_eq!(plan.created().count(), 0, "{plan}");
            assert_eq!(plan.recovered().collect::<Vec<_>>(), [name], "{plan}");
            assert_eq!(plan.changes.len(), 1, "{plan}");
            plan.set_note(name, "set up");
        }
        if pool_stopped {
            // Before, the disk was hidden, and the plan was a new machine on which Kubernetes would be set up.
            let error = world.carry_out(&plan).unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains("Plan again"), "{why}");
            plan = world.plan().unwrap();
            assert_eq!(plan.recovered().collect::<Vec<_>>(), [name], "{plan}");
            plan.set_note(name, "set up");
        }
        world.carry_out(&plan).unwrap();
        settled(&world);
        let existing = domain(&world, name.as_str());
        let noted = Some("set up".to_owned());
        assert_eq!(
            (existing.power, existing.note),
            (PowerState::Running, noted)
        );
        let existing = world
            .fake()
            .bytes("demo-main-resource-pool", "demo-master-1-seed");
        assert_eq!(existing.unwrap(), seed("its only key"));
        let disk = |text: &str| text.matches("demo-master-1-main-disk\": File").count();
        assert_eq!(disk(&before), disk(&world.inventory()));
    }
}

#[test]
fn a_machine_that_runs_without_a_definition_is_defined_again() {
    let world = made();
    machine::note(&world.hosts(), &world.cluster.nodes[4], "set up").unwrap();
    let before = world.inventory();
    world
        .fake()
        .change_domain("demo-worker-1", |worker| worker.transient = true);
    let plan = world.plan().unwrap();
    assert_eq!(plan.changes.len(), 1, "{plan}");
    assert!(plan.to_string().contains("it is defined again"), "{plan}");
    world.apply().unwrap();
    assert_eq!(world.inventory(), before, "it was not restarted");
    // Its other wanted changes are made in the same run.
    world
        .fake()
        .change_domain("demo-worker-1", |worker| worker.transient = true);
    let larger = world.with(&demo(&[
        (WORKER_1, &format!("{WORKER_1}          cpu: 3\n")),
        ("size: 5", "size: 6"),
        ("name: logs", "name: new"),
    ]));
    larger.apply().unwrap();
    settled(&larger);
}

#[test]
fn a_machine_that_runs_without_its_network_interface_is_restarted() {
    let world = made();
    world
        .fake()
        .change_domain("demo-worker-1", |m| m.live.as_mut().unwrap().nic = None);
    let plan = world.plan().unwrap();
    assert_eq!(plan.part(Part::Restart), plan);
    assert!(plan.to_string().contains("runs without"), "{plan}");
    world.apply().unwrap();
    settled(&world);
}

#[test]
fn what_was_changed_behind_our_back_is_put_right() {
    let world = made();
    let before = world.inventory();
    let network = kubitect_provision::resource::Link::Network("other".into());
    world.fake().change_domain("demo-master-1", |m| m.vcpus = 4);
    world
        .fake()
        .change_domain("demo-master-2", |m| m.memory_mib = 512);
    world.fake().change_domain("demo-master-3", |m| {
        m.nic.as_mut().unwrap().link = Some(network)
    });
    world
        .fake()
        .change_domain("demo-worker-2", |m| m.power = PowerState::Paused);
    world
        .fake()
        .change_domain("demo-lb-1", |m| m.live.as_mut().unwrap().vcpus = 1);
    world.fake().change_domain("demo-worker-1", |m| {
        m.disks
            .retain(|d| !d.ends_with("demo-worker-1-rook-data-disk"))
    });
    let plan = world.plan().unwrap();
    insta::assert_snapshot!(plan);
    world.apply().unwrap();
    settled(&world);
    // The order of a machine's disks shows that one of them was attached again.
    assert_eq!(world.inventory().len(), before.len());
}

#[test]
fn a_stranger_in_the_place_of_a_disk_is_left_to_the_person() {
    let world = made();
    let (disk, snapshot) = (
        "demo-worker-1-main-disk",
        "demo-worker-1-main-disk.before-upgrade",
    );
    world.fake().change_domain("demo-worker-1", |m| {
        let folder = m.disks[0].parent().unwrap().to_owned();
        m.disks[0] = folder.join(snapshot);
    });
    let message = refused(&world, DEMO);
    assert!(
        message.contains(snapshot) && message.contains(disk) && message.contains("blockcommit"),
        "{message}"
    );
    // The same of a data disk.
    let world = made();
    world.fake().change_domain("demo-worker-1", |m| {
        m.disks[1] = "/snapshots/demo-worker-1-rook-data-disk.before".into();
    });
    assert!(refused(&world, DEMO).contains("blockcommit"));
    // Another device does not take a disk's place.
    let world = made();
    world.fake().change_domain("demo-worker-1", |m| {
        m.disks[1] = "/isos/tools.iso".into();
    });
    world.apply().unwrap();
    settled(&world);
    // A further disk was added by a person, and stays.
    let world = made();
    world
        .fake()
        .change_domain("demo-worker-1", |m| m.disks.push("/isos/tools.iso".into()));
    settled(&world);
}

#[test]
fn a_guest_that_does_not_shut_down_is_never_cut_off() {
    let world = made();
    world.fake().ignore_shutdown("demo-worker-1");
    world.fake().put_file(
        "/pools/demo-main-resource-pool",
        "demo-worker-1-console.log",
        b"waiting for ceph",
    );
    let changed = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          ram: 7\n"),
    )]));
    let plan = changed.plan().unwrap();
    let started = std::time::Instant::now();
    let within = Duration::from_secs(1);
    let never = AtomicBool::new(false);
    let inputs = Inputs::default();
    let error =
        apply::apply_within(&plan, &changed.hosts(), &inputs, within, &never, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    for part in [
        "demo-worker-1 off",
        "asked to shut down",
        "console: waiting for ceph",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(domain(&world, "demo-worker-1").power, PowerState::Running);
    // When cancelled, it stops waiting.
    let now = AtomicBool::new(true);
    let error = apply(&plan, &changed.hosts(), &inputs, &now, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[test]
fn a_machine_that_is_made_anew_leaves_the_disk_behind_that_it_is_made_without() {
    let world = made();
    world
        .fake()
        .lose_file("/pools/demo-main-resource-pool", "demo-worker-1-main-disk");
    let changed = world.with(&demo(&[(DISKS, "")]));
    changed.apply().unwrap();
    settled(&changed);
    assert_eq!(capacity(&world, "demo-worker-1-rook-data-disk"), None);
}

#[test]
fn a_machine_that_is_off_starts_without_a_lost_disk_that_is_no_longer_wanted() {
    let world = made();
    world.fake().stop("demo-worker-1");
    let folder = "/fast/demo-fast-data-resource-pool";
    world
        .fake()
        .lose_file(folder, "demo-worker-1-rook-data-disk");
    let changed = world.with(&demo(&[(DISKS, "")]));
    changed.apply().unwrap();
    settled(&changed);
    assert_eq!(domain(&world, "demo-worker-1").power, PowerState::Running);
}

#[test]
fn a_domain_that_was_accepted_to_start_before_a_kill_is_not_started_twice() {
    let world = made();
    world.fake().stop("demo-worker-1");
    world.fake().fail_at(0, When::Late);
    assert!(world.apply().is_err());
    world.revive();
    assert_eq!(domain(&world, "demo-worker-1").power, PowerState::Off);
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, "demo-worker-1").power, PowerState::Running);
}

#[test]
fn a_bridge_that_a_killed_libvirtd_left_is_named_with_what_to_do() {
    let world = World::new(DEMO, &HostState::default());
    world.fake().leave_bridge("demo-network");
    let error = world.apply().unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    for part in ["File exists", "ip link delete virbr", "apply again"] {
        assert!(why.contains(part), "{why}");
    }
}
