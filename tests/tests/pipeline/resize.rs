//! Memory, processors and disks are changed on machines that run.

use kubitect_provision::change::Part;
use kubitect_provision::fake::When;
use kubitect_provision::observe::PowerState;
use kubitect_provision::{Plan, machine};

use crate::living::{DISKS, WORKER_1, capacity, demo, domain, made, settled};

#[test]
fn a_machine_is_resized() {
    let world = made();
    machine::note(&world.hosts(), &world.cluster.nodes[4], "set up").unwrap();
    let changed = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          cpu: 3\n          ram: 7\n          mainDiskSize: 99\n"),
    )]));
    let plan = changed.plan().unwrap();
    insta::assert_snapshot!(plan);
    assert_eq!(plan.part(Part::Restart).changes.len(), 1);
    changed.apply().unwrap();
    settled(&changed);
    let after = domain(&world, "demo-worker-1");
    assert_eq!((after.vcpus, after.memory_mib), (3, 7 << 10));
    assert_eq!(after.power, PowerState::Running);
    assert_eq!(after.live.unwrap().memory_mib, 7 << 10);
    assert_eq!(
        after.note.as_deref(),
        Some("set up"),
        "it is the same machine"
    );
    assert_eq!(capacity(&world, "demo-worker-1-main-disk"), Some(99 << 30));
    // The changes are reverted, except for the disk.
    let reverted = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          mainDiskSize: 99\n"),
    )]));
    assert_eq!(
        reverted.plan().unwrap().part(Part::Restart).changes.len(),
        1
    );
    reverted.apply().unwrap();
    settled(&reverted);
}

#[test]
fn processors_come_while_it_runs_as_far_as_there_is_room() {
    let world = made();
    for (cpu, part) in [
        (8, Part::Make),
        (9, Part::Restart),
        (18, Part::Make),
        (17, Part::Restart),
    ] {
        let changed = world.with(&demo(&[(
            WORKER_1,
            &format!("{WORKER_1}          cpu: {cpu}\n"),
        )]));
        let plan = changed.plan().unwrap();
        assert_eq!(plan.changes[0].part, part, "{plan}");
        assert_eq!(plan.part(Part::Use).is_empty(), part == Part::Restart);
        changed.apply().unwrap();
        settled(&changed);
        assert_eq!(domain(&world, "demo-worker-1").live.unwrap().vcpus, cpu);
    }
}

#[test]
fn a_machine_that_was_given_something_takes_it_into_use_though_the_run_was_killed() {
    let larger = demo(&[
        (
            WORKER_1,
            &format!("{WORKER_1}          cpu: 3\n          mainDiskSize: 99\n"),
        ),
        ("size: 5", "size: 6"),
        (
            "          ip: 192.168.113.100\n",
            "          ip: 192.168.113.100\n          mainDiskSize: 50\n",
        ),
    ]);
    let changes_of = |plan: &Plan| -> Vec<String> {
        let changes = plan.part(Part::Use).changes;
        changes
            .iter()
            .map(|change| format!("{}: {}", change.name, change.details))
            .collect()
    };
    for when in [When::Before, When::Halfway, When::After, When::Late] {
        for killed_at in 0.. {
            let changed = made().with(&larger);
            let plan = changed.plan().unwrap();
            let all = [
                "demo-lb-1: its system takes into use its main disk",
                "demo-worker-1: its system takes into use its processors, its main disk, disk rook",
            ];
            assert_eq!(changes_of(&plan), all);
            changed.fake().fail_at(killed_at, when);
            let killed = changed.carry_out(&plan.part(Part::Make)).is_err();
            changed.revive();
            // Whatever the killed run has done: each grown part is still to be taken into use, and none twice.
            assert_eq!(
                changes_of(&changed.plan().unwrap()),
                all,
                "{killed_at} {when:?}"
            );
            // As if it had been taken into use by the caller that applies the plan; that is noted last.
            changed.apply().unwrap();
            settled(&changed);
            assert_eq!(domain(&changed, "demo-worker-1").given, [""; 0]);
            if !killed {
                assert_eq!(killed_at, 8, "four gifts, each noted first");
                break;
            }
        }
    }
}

#[test]
fn what_was_given_and_is_gone_is_not_taken_into_use() {
    let world = made();
    let rook = || vec!["rook".to_owned()];
    world
        .fake()
        .change_domain("demo-worker-1", |worker| worker.given = rook());
    let none = world.with(&demo(&[(DISKS, "")]));
    let plan = none.plan().unwrap();
    let own = plan.part(Part::Use).changes;
    assert_eq!(own[0].details, "what it was given is gone", "{plan}");
    none.apply().unwrap();
    settled(&none);
    // A machine that is recreated has nothing to take into use.
    world
        .fake()
        .change_domain("demo-worker-1", |worker| worker.given = rook());
    let pool = "/pools/demo-main-resource-pool";
    world.fake().lose_file(pool, "demo-worker-1-main-disk");
    assert!(none.plan().unwrap().part(Part::Use).is_empty());
    none.apply().unwrap();
    settled(&none);
}

#[test]
fn processors_that_are_refused_while_a_machine_runs_come_with_a_restart() {
    let world = made();
    world.fake().refuse_hot_plug("demo-worker-1");
    let changed = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          cpu: 3\n"),
    )]));
    changed.apply().unwrap();
    let after = domain(&world, "demo-worker-1");
    assert_eq!((after.vcpus, after.live.unwrap().vcpus), (3, 2));
    let plan = changed.plan().unwrap();
    assert_eq!(plan.changes.len(), 1, "{plan}");
    assert_eq!(plan.changes[0].part, Part::Restart);
    assert_eq!(plan.changes[0].details, "it runs with 2 CPUs, not 3");
    changed.apply().unwrap();
    settled(&changed);
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().vcpus, 3);
}

#[test]
fn data_disks_come_grow_and_go() {
    let world = made();
    let changed = world.with(&demo(&[(
        DISKS,
        "          dataDisks:
            - name: rook
              pool: fast
              size: 6
            - name: new
              pool: fast
              size: 2
",
    )]));
    let plan = changed.plan().unwrap();
    insta::assert_snapshot!(plan);
    changed.carry_out(&plan.part(Part::Make)).unwrap();
    assert_eq!(
        capacity(&world, "demo-worker-1-rook-data-disk"),
        Some(6 << 30)
    );
    assert_eq!(
        capacity(&world, "demo-worker-1-logs-data-disk"),
        Some(1 << 30)
    );
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().disks.len(), 5);
    assert!(plan.part(Part::Restart).is_empty());
    changed.carry_out(&plan.part(Part::Use)).unwrap();
    changed.carry_out(&plan.part(Part::Remove)).unwrap();
    assert_eq!(capacity(&world, "demo-worker-1-logs-data-disk"), None);
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().disks.len(), 4);
    settled(&changed);
    // A pool is removed with its last disk.
    let none = world.with(&demo(&[(DISKS, "")]));
    none.apply().unwrap();
    settled(&none);
    assert!(!world.inventory().contains("demo-fast-data-resource-pool"));
    // A machine that is off gets it by its definition.
    world.fake().stop("demo-worker-1");
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().disks.len(), 4);
}
