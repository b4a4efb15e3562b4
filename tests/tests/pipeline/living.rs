//! Finished clusters: what follows from an edit of the file, or from a change on the hosts.

use kubitect_provision::change::Part;
use kubitect_provision::gather::Leaving;
use kubitect_provision::observe::{self, DomainState, HostState, PowerState};
use kubitect_provision::{Error, Plan, gather};

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

/// DEMO with each first text replaced by the second.
pub fn demo(pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(DEMO.to_owned(), |text, (this, that)| {
        assert!(text.contains(this), "{this}");
        text.replace(this, that)
    })
}

/// The demo after its first apply.
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
    let observed = observe::observe_with_addresses(&world.cluster, &world.hosts()).unwrap();
    gather::leaving(&world.cluster, &observed)
}

pub fn settled(world: &World) {
    let plan = world.plan().unwrap();
    assert!(plan.is_empty(), "{plan}");
}

/// The refusals of a plan. Fails if anything is carried out.
pub fn refused(world: &World, yaml: &str) -> String {
    let before = world.inventory();
    let changed = world.with(yaml);
    let plan = changed.plan().unwrap();
    let error = changed.carry_out(&plan).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(world.inventory(), before);
    let message = error.to_string();
    assert!(plan.to_string().contains("NOT POSSIBLE"), "{plan}");
    for refusal in plan.refused() {
        assert!(message.contains(&refusal.to_string()), "{message}");
    }
    message
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
        plan.created().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["demo-worker-3"]
    );
    assert_eq!(
        plan.removed().map(|n| n.as_str()).collect::<Vec<_>>(),
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

    // The reservation of a removed machine's fixed address is removed, too: then another machine may have the address.
    let text = demo(&[(WORKER_1, "        - id: 4\n          ip: 192.168.113.20\n")]);
    let message = refused(&changed, &text);
    assert!(
        message.contains("192.168.113.20 is reserved for demo-worker-1"),
        "{message}"
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
        .change_domain("demo-master-1", |master| master.disks.push(path.into()));
    let changed = world.with(&demo(&[("        - id: 2\nkubernetes", "kubernetes")]));
    let plan = changed.plan().unwrap();
    let names: Vec<_> = plan
        .part(Part::Remove)
        .changes
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["demo-worker-2", "demo-worker-2-seed"], "{plan}");
}

/// The edits of the file, and parts of the refusal.
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
        let message = refused(&world, &demo(pairs));
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
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
    let message = refused(&world, &moved);
    assert!(
        message.contains("it is on host two") && message.contains("not moved between hosts"),
        "{message}"
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
