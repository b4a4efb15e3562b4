//! Disks, interfaces and devices that a person or another program added to a machine: they stay, and the plan names those that
//! can't.

use kubitect_provision::change::{Part, Step};
use kubitect_provision::observe::{Added, DomainState, Nic};

use crate::living::{DISKS, WORKER_1, demo, domain, made, refused, settled};
use crate::world::World;

const WORKER: &str = "demo-worker-1";

fn nic(last: u8) -> Nic {
    Nic {
        mac: format!("52:54:00:aa:bb:{last:02x}").parse().unwrap(),
        link: None,
    }
}

/// Adds one of each kind to the worker, now and from its next start on.
fn add(world: &World) {
    world.fake().put_file("/dev/vg0", "ceph-osd-1", b"osd");
    world.fake().put_file("rbd:pool", "image", b"image");
    let added = Added {
        nics: vec![nic(1)],
        devices: vec!["hostdev 0000:03:00.0".into()],
        settings: vec!["cputune".into(), "nvram".into()],
        ..Added::default()
    };
    world.fake().change_domain(WORKER, |worker| {
        let live = worker.live.as_mut().unwrap();
        for (disks, own) in [
            (&mut worker.disks, &mut worker.added),
            (&mut live.disks, &mut live.added),
        ] {
            disks.extend(["/dev/vg0/ceph-osd-1".into(), "rbd:pool/image".into()]);
            *own = added.clone();
        }
    });
}

/// The disks and other parts of the worker that Kubitect has not added.
fn of_others(worker: &DomainState) -> (Vec<&std::path::Path>, &Added) {
    let disks = worker.disks.iter().map(|disk| disk.as_path());
    let ours = |disk: &&std::path::Path| disk.starts_with("/pools") || disk.starts_with("/fast");
    (disks.filter(|disk| !ours(disk)).collect(), &worker.added)
}

#[test]
fn it_stays_over_a_restart() {
    let world = made();
    add(&world);
    settled(&world);
    let before = domain(&world, WORKER);
    let changed = world.with(&demo(&[
        (
            WORKER_1,
            &format!("{WORKER_1}          cpu: 9\n          ram: 7\n"),
        ),
        ("            - name: logs\n              size: 1\n", ""),
    ]));
    let plan = changed.plan().unwrap();
    let restart = &plan.part(Part::Restart).changes;
    assert_eq!(restart.len(), 1, "{plan}");
    assert_eq!(
        restart[0].details,
        "CPUs 2 -> 9, memory 4096 MiB -> 7168 MiB"
    );
    assert!(!restart[0].is_destructive(), "{plan}");
    changed.apply().unwrap();
    settled(&changed);
    let after = domain(&world, WORKER);
    assert_eq!(of_others(&after), of_others(&before));
    let live = after.live.as_ref().unwrap();
    assert_eq!((live.vcpus, live.memory_mib), (9, 7 << 10));
    assert_eq!((&live.disks, &live.added), (&after.disks, &after.added));
    assert_eq!(after.disks.len(), 5, "main, rook, seed and two");
}

#[test]
fn what_is_there_only_while_the_machine_runs_is_named_by_its_restart() {
    let world = made();
    world.fake().change_domain(WORKER, |worker| {
        let live = worker.live.as_mut().unwrap();
        live.disks.push("/dev/vg0/scratch".into());
        live.added.nics.push(nic(2));
        live.added.devices.push("hostdev 0000:03:00.0".into());
    });
    settled(&world);
    let lost = "with the restart goes what it has only while it runs: disk /dev/vg0/scratch, interface 52:54:00:aa:bb:02, \
                hostdev 0000:03:00.0";
    let larger = demo(&[(WORKER_1, &format!("{WORKER_1}          ram: 7\n"))]);
    let plan = world.with(&larger).plan().unwrap();
    let change = &plan.changes[0];
    assert!(matches!(change.step, Step::Redefine(_)), "{plan}");
    assert_eq!(
        change.details,
        format!("memory 4096 MiB -> 7168 MiB; {lost}")
    );
    assert!(change.is_destructive() && plan.to_string().starts_with("! update"));
    // The restart where libvirt refuses to hot-plug processors, and the one after the network was inactive.
    let more = demo(&[(WORKER_1, &format!("{WORKER_1}          cpu: 3\n"))]);
    let plan = world.with(&more).plan().unwrap();
    assert!(plan.changes[0].details.ends_with(lost), "{plan}");
    world.fake().stop("demo-network");
    let plan = world.plan().unwrap();
    let mut down = plan.changes.iter();
    let down =
        down.find(|c| matches!(&c.step, Step::ShutDownDomain(name) if name.as_str() == WORKER));
    assert!(down.unwrap().details.ends_with(lost), "{plan}");
    assert!(down.unwrap().is_destructive(), "{plan}");
}

#[test]
fn a_machine_that_is_made_anew_is_made_without_it_as_the_plan_says() {
    let world = made();
    add(&world);
    world
        .fake()
        .lose_file("/pools/demo-main-resource-pool", "demo-worker-1-main-disk");
    let plan = world.plan().unwrap();
    let replace = plan.changes.iter().find(|change| change.name == WORKER);
    let replace = replace.unwrap();
    assert!(replace.is_destructive(), "{plan}");
    assert!(
        replace.details.ends_with(
            "joins again; without what was added to it: disk /dev/vg0/ceph-osd-1, disk rbd:pool/image, interface \
             52:54:00:aa:bb:01, hostdev 0000:03:00.0, cputune, nvram"
        ),
        "{plan}"
    );
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, WORKER).added, Added::default());
}

#[test]
fn a_layout_that_was_made_by_hand_is_left_to_the_person() {
    let world = made();
    world.fake().change_domain(WORKER, |worker| {
        worker.added.cells = true;
        worker.added.topology = Some(8);
    });
    settled(&world);
    for (key, value, reason) in [
        (
            "ram",
            7,
            "memory 4096 MiB -> 7168 MiB: it is laid out in NUMA cells",
        ),
        ("cpu", 9, "CPUs 2 -> 9: their topology is laid out for 8"),
    ] {
        let other = demo(&[(WORKER_1, &format!("{WORKER_1}          {key}: {value}\n"))]);
        let why = refused(&world, &other);
        assert!(why.contains(reason) && why.contains("virsh edit"), "{why}");
    }
    // What fits the layout is applied, and after the advice of the message the rest.
    let fits = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          cpu: 8\n          ram: 7\n"),
    )]));
    world
        .fake()
        .change_domain(WORKER, |w| w.memory_mib = 7 << 10);
    fits.apply().unwrap();
    settled(&fits);
}

#[test]
fn an_interface_before_the_machines_own_is_not_taken_for_it() {
    let world = made();
    let own = domain(&world, WORKER).nic.unwrap();
    world.fake().change_domain(WORKER, |worker| {
        let live = worker.live.as_mut().unwrap();
        for (first, added) in [
            (&mut worker.nic, &mut worker.added),
            (&mut live.nic, &mut live.added),
        ] {
            added.nics.extend(first.replace(nic(3)));
        }
    });
    settled(&world);
    // Also where the file changes the machine, and where its own interface is gone.
    let text = demo(&[(
        "    user: k8s\n",
        "    user: k8s\n    cpuMode: host-model\n",
    )]);
    let plan = world.with(&text).plan().unwrap();
    assert_eq!(plan.refused().count(), 0, "{plan}");
    world
        .fake()
        .change_domain(WORKER, |worker| worker.added.nics.clear());
    world.apply().unwrap();
    settled(&world);
    let worker = domain(&world, WORKER);
    assert_eq!((worker.nic, worker.added.nics), (Some(own), vec![nic(3)]));
}

#[test]
fn a_disk_that_goes_is_not_started_with_though_others_stay() {
    let world = made();
    add(&world);
    let folder = "/fast/demo-fast-data-resource-pool";
    world
        .fake()
        .lose_file(folder, "demo-worker-1-rook-data-disk");
    let changed = world.with(&demo(&[
        (DISKS, ""),
        (WORKER_1, &format!("{WORKER_1}          ram: 7\n")),
    ]));
    changed.apply().unwrap();
    settled(&changed);
    let worker = domain(&world, WORKER);
    assert_eq!(of_others(&worker).0.len(), 2);
}
