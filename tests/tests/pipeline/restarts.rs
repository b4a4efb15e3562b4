//! What a machine has from its start on: KVM where its host has it, the hardware with which it was saved, and ports for disks.

use kubitect_provision::Inputs;
use kubitect_provision::change::{Part, Step};
use kubitect_provision::fake::When;
use kubitect_provision::observe::PowerState;
use kubitect_provision::resource::Domain;

use crate::living::{DISKS, WORKER_1, demo, domain, made, refused, settled};
use crate::world::DEMO;

const WORKER: &str = "demo-worker-1";

fn larger() -> String {
    demo(&[(WORKER_1, &format!("{WORKER_1}          ram: 7\n"))])
}

#[test]
fn a_machine_of_kvm_is_not_emulated_for_good_because_kvm_is_away() {
    let world = made();
    world.fake().offer(&["qemu"]);
    let message = refused(&world, &larger());
    assert!(
        message.contains("offers no KVM now") && message.contains("virtType: qemu"),
        "{message}"
    );
    // One that is off could not start.
    world.fake().stop(WORKER);
    assert!(refused(&world, DEMO).contains("offers no KVM now"));
    assert_eq!(domain(&world, WORKER).virt, "kvm");
    // What is asked for is done.
    let asked = larger().replace("  - name: box\n", "  - name: box\n    virtType: qemu\n");
    let asked = world.with(&asked);
    asked.apply().unwrap();
    settled(&asked);
    assert_eq!(domain(&world, WORKER).virt, "qemu");
    // When KVM is available again, the machine is changed and stays with KVM.
    let world = made();
    world.fake().offer(&["qemu"]);
    world.fake().offer(&["kvm", "qemu"]);
    world.with(&larger()).apply().unwrap();
    assert_eq!(domain(&world, WORKER).virt, "kvm");
}

#[test]
fn an_edit_by_which_a_machine_is_defined_as_it_was_restarts_nothing() {
    let asked = |virt: &str, mode: &str| {
        let host = format!("  - name: box\n    virtType: {virt}\n");
        let user = format!("    user: k8s\n    cpuMode: {mode}\n");
        DEMO.replace("  - name: box\n", &host)
            .replace("    user: k8s\n", &user)
    };
    // The file names the virtType that `auto` has led to, and the default cpuMode: the definition is the same.
    let world = made();
    let named = world.with(&asked("kvm", "custom"));
    settled(&named);
    let restarted = |virt: &str, mode: &str| {
        let plan = world.with(&asked(virt, mode)).plan().unwrap();
        !plan.part(Part::Restart).is_empty()
    };
    assert!(restarted("qemu", "custom"));
    assert!(restarted("auto", "host-model"));
    // A machine that is defined with `kvm` is the same as one that is defined with `auto`.
    let other =
        world.with(&larger().replace("  - name: box\n", "  - name: box\n    virtType: kvm\n"));
    other.apply().unwrap();
    settled(&other);
    settled(&world.with(&larger()));
    // Emulated, a host's own processor is all that can be offered, however it is asked for.
    let emulated = world.with(&asked("qemu", "host-model"));
    emulated.apply().unwrap();
    settled(&world.with(&asked("qemu", "maximum")));
    settled(&world.with(&asked("qemu", "host-passthrough")));
    // `auto` is the same as `qemu` where the host offers no KVM, and not where it does.
    world.fake().offer(&["qemu"]);
    settled(&world.with(&asked("auto", "maximum")));
    world.fake().offer(&["kvm", "qemu"]);
    let plan = world.with(&asked("auto", "maximum")).plan().unwrap();
    assert_eq!(plan.part(Part::Restart), plan, "{plan}");
}

#[test]
fn a_machine_that_was_emulated_where_kvm_was_away_is_shown_and_gets_it() {
    let world = made();
    world
        .fake()
        .change_domain(WORKER, |worker| worker.virt = "qemu".into());
    let plan = world.plan().unwrap();
    assert_eq!(plan.changes.len(), 1, "{plan}");
    assert_eq!(
        plan.changes[0].details,
        "it is emulated, and its host offers KVM"
    );
    assert_eq!(plan.part(Part::Restart), plan);
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, WORKER).virt, "kvm");
}

#[test]
fn a_machine_that_was_saved_starts_with_what_was_changed() {
    let more = demo(&[
        (WORKER_1, &format!("{WORKER_1}          ram: 7\n")),
        ("name: logs", "name: new"),
    ]);
    for text in [larger(), more, demo(&[("name: logs", "name: new")])] {
        let world = made();
        for node in &world.cluster.nodes {
            world.fake().save(node.name.as_str());
        }
        let changed = world.with(&text);
        let plan = changed.plan().unwrap();
        let own = plan.changes.iter().filter(|change| change.name == WORKER);
        let first: Vec<_> = own.map(|change| &change.step).take(2).collect();
        assert!(
            matches!(first[..], [Step::StartDomain(_), Step::ShutDownDomain(_)]),
            "{plan}"
        );
        // A machine without a change runs on.
        let others = plan.changes.iter().filter(|c| c.name == "demo-master-1");
        let others: Vec<_> = others.map(|change| change.details.as_str()).collect();
        assert_eq!(
            others,
            ["it was saved while it ran, and goes on from there"]
        );
        changed.apply().unwrap();
        settled(&changed);
        let worker = domain(&changed, WORKER);
        let live = worker.live.unwrap();
        assert_eq!(worker.power, PowerState::Running);
        assert_eq!(
            (live.memory_mib, live.disks),
            (worker.memory_mib, worker.disks)
        );
    }
}

#[test]
fn a_machine_that_is_saved_after_the_plan_was_made_starts_with_what_was_changed() {
    let world = made();
    let changed = world.with(&larger());
    let plan = changed.plan().unwrap();
    world.fake().save(WORKER);
    changed.carry_out(&plan).unwrap();
    settled(&changed);
    assert_eq!(domain(&world, WORKER).live.unwrap().memory_mib, 7 << 10);
}

#[test]
fn a_disk_for_which_no_port_is_free_comes_with_a_restart() {
    let world = made();
    world.fake().change_domain(WORKER, |worker| {
        worker.live.as_mut().unwrap().free_ports = Some(1);
    });
    settled(&world);
    let disks = format!(
        "{DISKS}            - name: one\n              size: 1\n            - name: two\n              size: 1\n"
    );
    let changed = world.with(&demo(&[(DISKS, &disks)]));
    let plan = changed.plan().unwrap();
    let attached = plan.changes.iter();
    let attached = attached.filter(|change| matches!(change.step, Step::AttachDisk { .. }));
    assert_eq!(attached.count(), 1, "{plan}");
    let restart = plan.part(Part::Restart).changes;
    assert_eq!(restart.len(), 1, "{plan}");
    assert_eq!(
        restart[0].details,
        "disk demo-worker-1-two-data-disk is attached, for which it has no port free while it runs"
    );
    changed.apply().unwrap();
    settled(&changed);
    let worker = domain(&world, WORKER);
    assert_eq!(worker.disks.len(), 6);
    // A disk that replaces a lost one gets its port.
    world.fake().change_domain(WORKER, |worker| {
        worker.live.as_mut().unwrap().free_ports = Some(0);
    });
    let folder = "/pools/demo-main-resource-pool";
    world
        .fake()
        .lose_file(folder, "demo-worker-1-one-data-disk");
    let plan = changed.plan().unwrap();
    assert!(plan.part(Part::Restart).is_empty(), "{plan}");
}

#[test]
fn a_seed_that_a_killed_run_left_is_written_again_whole() {
    let (pool, seed) = ("demo-main-resource-pool", "demo-worker-1-seed");
    let whole = made().fake().bytes(pool, seed).unwrap();
    for when in [When::Before, When::Halfway, When::After, When::Late] {
        for point in 0.. {
            let world = made();
            world.fake().lose_file(format!("/pools/{pool}"), seed);
            world.fake().fail_at(point, when);
            let killed = world.apply().is_err();
            world.revive();
            world.apply().unwrap();
            settled(&world);
            let current = world.fake().bytes(pool, seed);
            assert_eq!(current.as_ref(), Some(&whole), "{point} {when:?}");
            let size = world
                .fake()
                .capacity(format!("/pools/{pool}/{seed}").as_ref());
            assert_eq!(size, Some(1 << 20), "{point} {when:?}");
            if !killed {
                assert_eq!(point, 3, "removed, made and filled");
                break;
            }
        }
    }
}

#[test]
fn the_definition_is_what_says_that_a_machine_is_emulated() {
    // A step that only defines a machine, as after processors were refused, does not take KVM from it either.
    let world = made();
    world.fake().refuse_hot_plug(WORKER);
    let more = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          cpu: 3\n"),
    )]));
    let mut plan = more.plan().unwrap();
    let change = &mut plan.changes[0];
    let Step::SetVcpus(domain_) = &change.step else {
        panic!("{plan}");
    };
    change.step = Step::SetVcpus(Domain {
        virt: "qemu".into(),
        ..domain_.clone()
    });
    let (hosts, never) = (more.hosts(), std::sync::atomic::AtomicBool::new(false));
    let only = kubitect_provision::Plan {
        changes: vec![plan.changes[0].clone()],
        ..plan
    };
    kubitect_provision::apply(&only, &hosts, &Inputs::default(), &never, &|_| {}).unwrap();
    let worker = domain(&world, WORKER);
    assert_eq!((worker.virt.as_str(), worker.vcpus), ("kvm", 3));
}
