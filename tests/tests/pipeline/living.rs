//! Living clusters: what a change of the file, or of what is there, leads to.

use kubitect_provision::change::Part;
use kubitect_provision::fake::When;
use kubitect_provision::gather::Leaving;
use kubitect_provision::observe::{self, DomainState, HostState, PowerState};
use kubitect_provision::{Error, Plan, gather, machine};

use crate::world::{DEMO, World};

pub const WORKER_1: &str = "        - id: 1
          ip: 192.168.113.20
";
pub const DISKS: &str = "          dataDisks:
            - name: rook
              pool: fast
              size: 5
            - name: logs
              size: 1
";

/// DEMO with this instead of that.
pub fn demo(pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(DEMO.to_owned(), |text, (this, that)| {
        assert!(text.contains(this), "{this}");
        text.replace(this, that)
    })
}

/// The demo as it was made.
pub fn made() -> World {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    world
}

pub fn domain(world: &World, name: &str) -> DomainState {
    let domains = world.hosts().iter().next().unwrap().1.domains().unwrap();
    domains
        .into_iter()
        .find(|domain| domain.name == name)
        .unwrap_or_else(|| panic!("no domain {name}"))
}

pub fn capacity(world: &World, name: &str) -> Option<u64> {
    let pools = world.hosts().iter().next().unwrap().1.pools().unwrap();
    let mut volumes = pools.into_iter().flat_map(|pool| pool.volumes);
    volumes.find(|v| v.name == name).map(|v| v.capacity)
}

fn leaving(world: &World) -> Vec<Leaving> {
    let observed = observe::look(&world.cluster, &world.hosts()).unwrap();
    gather::leaving(&world.cluster, &observed)
}

pub fn settled(world: &World) {
    let plan = world.plan().unwrap();
    assert!(plan.is_empty(), "{plan}");
}

/// The plan's refusals; nothing of it is done.
pub fn refused(world: &World, yaml: &str) -> String {
    let before = world.inventory();
    let changed = world.with(yaml);
    let plan = changed.plan().unwrap();
    let error = changed.carry_out(&plan).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(world.inventory(), before);
    let told = error.to_string();
    assert!(plan.to_string().contains("NOT POSSIBLE"), "{plan}");
    for change in plan.refused() {
        assert!(told.contains(&change.details), "{told}");
    }
    told
}

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
    let there = domain(&world, "demo-worker-1");
    assert_eq!((there.vcpus, there.memory_mib), (3, 7 << 10));
    assert_eq!(there.power, PowerState::Running);
    assert_eq!(there.live.unwrap().memory_mib, 7 << 10);
    assert_eq!(
        there.note.as_deref(),
        Some("set up"),
        "it is the same machine"
    );
    assert_eq!(capacity(&world, "demo-worker-1-main-disk"), Some(99 << 30));
    // And back, but for the disk.
    let back = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          mainDiskSize: 99\n"),
    )]));
    assert_eq!(back.plan().unwrap().part(Part::Restart).changes.len(), 1);
    back.apply().unwrap();
    settled(&back);
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
    let told = |plan: &Plan| -> Vec<String> {
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
            assert_eq!(told(&plan), all);
            changed.fake().fail_at(killed_at, when);
            let killed = changed.carry_out(&plan.part(Part::Make)).is_err();
            changed.revive();
            // Whatever was done: all that is larger than it was is still to be taken into use, and nothing twice.
            assert_eq!(told(&changed.plan().unwrap()), all, "{killed_at} {when:?}");
            // As if it had been done by whoever applies the plan, which is noted last.
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
        .meddle("demo-worker-1", |worker| worker.given = rook());
    let none = world.with(&demo(&[(DISKS, "")]));
    let plan = none.plan().unwrap();
    let own = plan.part(Part::Use).changes;
    assert_eq!(own[0].details, "what it was given is gone", "{plan}");
    none.apply().unwrap();
    settled(&none);
    // A machine that is recreated was given nothing.
    world
        .fake()
        .meddle("demo-worker-1", |worker| worker.given = rook());
    let pool = "/pools/demo-main-resource-pool";
    world.fake().lose_file(pool, "demo-worker-1-main-disk");
    assert!(none.plan().unwrap().part(Part::Use).is_empty());
    none.apply().unwrap();
    settled(&none);
}

#[test]
fn processors_that_are_refused_while_a_machine_runs_come_with_a_restart() {
    let world = made();
    world.fake().be_rigid("demo-worker-1");
    let changed = world.with(&demo(&[(
        WORKER_1,
        &format!("{WORKER_1}          cpu: 3\n"),
    )]));
    changed.apply().unwrap();
    let there = domain(&world, "demo-worker-1");
    assert_eq!((there.vcpus, there.live.unwrap().vcpus), (3, 2));
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
    // With the last disk in it, a pool goes.
    let none = world.with(&demo(&[(DISKS, "")]));
    none.apply().unwrap();
    settled(&none);
    assert!(!world.inventory().contains("demo-fast-data-resource-pool"));
    // A machine that is off has it otherwise.
    world.fake().stop("demo-worker-1");
    world.apply().unwrap();
    settled(&world);
    assert_eq!(domain(&world, "demo-worker-1").live.unwrap().disks.len(), 4);
}

#[test]
fn nodes_come_and_go() {
    let world = made();
    let node = world.cluster.nodes.last().unwrap();
    let ip = "192.168.113.77".parse().unwrap();
    world.fake().lease(node.name.as_str(), node.mac, ip);
    world.fake().put_file(
        "/pools/demo-main-resource-pool",
        "demo-worker-2-console.log",
        b"boot",
    );
    let mut changed = world.with(&demo(&[(
        "        - id: 2\nkubernetes",
        "        - id: 3\nkubernetes",
    )]));
    let plan = changed.plan().unwrap();
    insta::assert_snapshot!(plan);
    assert_eq!(
        plan.makes().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["demo-worker-3"]
    );
    assert_eq!(
        plan.removes().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["demo-worker-2"]
    );

    let leave = leaving(&changed);
    assert_eq!(leave.len(), 1);
    let facts = leave[0].facts("ssh-ed25519 AAAA".into()).unwrap();
    assert_eq!((facts.ip, facts.mac, facts.role), (ip, node.mac, node.role));
    assert_eq!(leave[0].node().id, node.id);

    changed.carry_out(&plan.part(Part::Make)).unwrap();
    assert_eq!(domain(&world, "demo-worker-2").power, PowerState::Running);
    changed.apply().unwrap();
    settled(&changed);
    assert!(
        !world.inventory().contains("demo-worker-2"),
        "nothing of it is left"
    );
    assert!(leaving(&changed).is_empty());

    // The reservation of a fixed address goes as well, and then somebody else may have it.
    let text = demo(&[(WORKER_1, "        - id: 4\n          ip: 192.168.113.20\n")]);
    let told = refused(&changed, &text);
    assert!(
        told.contains("192.168.113.20 is kept for demo-worker-1"),
        "{told}"
    );
    changed = changed.with(&demo(&[(&format!("{WORKER_1}{DISKS}"), "")]));
    changed.apply().unwrap();
    changed.with(&text).apply().unwrap();
    settled(&changed.with(&text));
}

#[test]
fn a_disk_of_a_leaving_node_that_somebody_else_uses_stays() {
    let world = made();
    let path = "/pools/demo-main-resource-pool/demo-worker-2-main-disk";
    world
        .fake()
        .meddle("demo-master-1", |master| master.disks.push(path.into()));
    let changed = world.with(&demo(&[("        - id: 2\nkubernetes", "kubernetes")]));
    let plan = changed.plan().unwrap();
    let gone: Vec<_> = plan
        .part(Part::Remove)
        .changes
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(gone, ["demo-worker-2", "demo-worker-2-seed"], "{plan}");
}

/// What is written instead of what, and what the refusal tells.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn what_a_living_cluster_can_not_become_is_refused_with_what_can_be_done() {
    let world = made();
    let fast = ("              pool: fast\n", "");
    let cases: [Case; 8] = [
        (
            &[("size: 5", "size: 4")],
            &[
                "demo-worker-1-rook-data-disk",
                "5 GiB -> 4 GiB",
                "copy what is on it",
            ],
        ),
        (
            &[(
                "        - id: 2\nkubernetes",
                "        - id: 2\n          mainDiskSize: 20\nkubernetes",
            )],
            &[
                "demo-worker-2-main-disk",
                "32 GiB -> 20 GiB",
                "add a node of another id",
            ],
        ),
        (
            &[fast],
            &[
                "demo-worker-1-rook-data-disk",
                "/fast/demo-fast-data-resource-pool",
                "not moved between pools",
            ],
        ),
        (
            &[("ip: 192.168.113.11", "ip: 192.168.113.13")],
            &[
                "demo-master-2",
                "192.168.113.11 can't become 192.168.113.13",
            ],
        ),
        (
            &[(
                "        - id: 2\nkubernetes",
                "        - id: 2\n          mac: \"52:54:00:11:22:33\"\nkubernetes",
            )],
            &["demo-worker-2", "52:54:00:11:22:33"],
        ),
        (
            &[("192.168.113.0/24", "192.168.112.0/23")],
            &["demo-network", "192.168.112.0/23", "destroy"],
        ),
        (
            &[(
                "mainResourcePoolPath: /pools",
                "mainResourcePoolPath: /elsewhere",
            )],
            &[
                "demo-main-resource-pool",
                "not in /elsewhere",
                "put the old path back",
            ],
        ),
        (
            &[("mode: nat\n    cidr", "mode: route\n    cidr")],
            &["demo-network"],
        ),
    ];
    for (pairs, parts) in cases {
        let told = refused(&world, &demo(pairs));
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

const TWO_HOSTS: &str = "
hosts:
  - name: one
    connection:
      uri: \"test:///one\"
    mainResourcePoolPath: /pools
  - name: two
    connection:
      uri: \"test:///two\"
    mainResourcePoolPath: /pools
cluster:
  name: demo
  network:
    mode: bridge
    cidr: 10.9.0.0/24
    bridge: br0
  nodeTemplate:
    user: k8s
    os:
      distro: debian
  nodes:
    master:
      instances:
        - id: 1
          host: one
          ip: 10.9.0.11
    worker:
      instances:
        - id: 1
          host: two
          ip: 10.9.0.21
kubernetes:
  version: v1.23.7
  networkPlugin: calico
  kubespray:
    version: v2.19.0
";

#[test]
fn a_host_that_carries_no_node_any_more_is_left_as_it_was() {
    let world = World::new(TWO_HOSTS, &HostState::default());
    let two = "two".parse().unwrap();
    let before = world.fakes[&two].inventory();
    world.apply().unwrap();
    let moved = TWO_HOSTS.replace("host: two", "host: one");
    let told = refused(&world, &moved);
    assert!(
        told.contains("it is on host two") && told.contains("not moved between hosts"),
        "{told}"
    );
    let worker = TWO_HOSTS.find("    worker:").unwrap()..TWO_HOSTS.find("kubernetes:").unwrap();
    let mut fewer = TWO_HOSTS.to_owned();
    fewer.replace_range(worker, "");
    let fewer = world.with(&fewer);
    assert_eq!(leaving(&fewer)[0].host, two);
    let plan: Plan = fewer.plan().unwrap();
    assert_eq!(plan.part(Part::Remove), plan);
    fewer.apply().unwrap();
    settled(&fewer);
    assert_eq!(world.fakes[&two].inventory(), before);
}
