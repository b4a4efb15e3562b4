//! Living clusters: nodes come and go, a master is lost, a machine grows, Kubernetes is upgraded.
//!
//! The first journey is the whole one, on the example that the README begins with, and takes long; the second is about
//! balancers; the third is short.

use crate::client::kubectl;
use crate::embedded::embedded;
use crate::living::Living;
use crate::tools::*;

#[test]
fn the_example_lives() {
    let before = inventory();
    let example = std::fs::read_to_string(root().join("examples/multi-master.yaml"))
        .expect("the example is there");
    let mut living = Living::create("local-k8s-cluster", &example);
    let three = [
        "id: 1, ip: 192.168.113.10",
        "id: 2, ip: 192.168.113.11",
        "id: 3, ip: 192.168.113.12",
    ];
    let more = ["id: 4, ip: 192.168.113.31", "id: 5, ip: 192.168.113.32"];
    let five = [three.as_slice(), &more].concat();

    living.instances(
        "worker",
        &[
            "id: 1, ip: 192.168.113.20",
            "id: 3, ip: 192.168.113.22",
            "id: 4, ip: 192.168.113.23",
            "id: 5",
        ],
    );
    living.step("two-workers-come-and-one-goes");

    living.instances("master", &five);
    living.step("masters-become-five");
    living.last_one_pauses();
    living.instances("master", &five[2..]);
    living.step("two-masters-go-the-first-among-them");

    living.step_after("a-lost-master-is-made-anew", |living| {
        lose_disk(living, "master-4");
    });
    living.last_one_pauses();

    let others = [
        "id: 3, ip: 192.168.113.22",
        "id: 4, ip: 192.168.113.23",
        "id: 5",
    ];
    let workers = |first: &'static str| [&[first], others.as_slice()].concat();
    living.instances(
        "worker",
        &workers("id: 1, ip: 192.168.113.20, cpu: 3, ram: 5"),
    );
    living.step("a-worker-grows");
    has("local-k8s-cluster-worker-1", 3, 5);

    living.instances(
        "worker",
        &workers("id: 1, ip: 192.168.113.20, cpu: 3, ram: 5, dataDisks: [{name: data, size: 2}]"),
    );
    living.step("a-data-disk-comes");
    living.instances(
        "worker",
        &workers("id: 1, ip: 192.168.113.20, cpu: 3, ram: 5, dataDisks: [{name: data, size: 4}]"),
    );
    living.step("a-data-disk-grows");
    let disk = stdout(
        "virsh",
        &["domblkinfo", "local-k8s-cluster-worker-1", "--all"],
    );
    assert!(disk.contains(&(4_u64 << 30).to_string()), "{disk}");

    living.set(
        "cluster.nodes.loadBalancer.forwardPorts",
        "[{name: web, port: 80, targetPort: 30080, target: workers}]",
    );
    living.step("a-port-is-forwarded");

    living.set("kubernetes.version", "v1.25.6");
    living.set("kubernetes.kubespray.version", "v2.21.0");
    living.step("kubernetes-is-upgraded-twice");

    living.destroy();
    nothing_is_left(&before);
}

#[test]
fn balancers_come_and_go() {
    let before = inventory();
    let mut living = Living::create("pair", &small("pair", "116"));
    let balancer = |id: u8| format!("id: {id}, ip: 192.168.116.10{id}");
    living.instances("loadBalancer", &[&balancer(1), &balancer(2)]);
    living.step("a-second-balancer-comes");
    living.instances("loadBalancer", &[&balancer(2)]);
    living.step("the-first-balancer-goes");
    living.instances("loadBalancer", &[&balancer(3)]);
    living.step("a-balancer-makes-way-for-another");
    living.destroy();
    nothing_is_left(&before);
}

#[test]
fn a_small_cluster_lives() {
    let before = inventory();
    let mut living = Living::create("living", &small("living", "115"));
    living.instances(
        "worker",
        &["id: 2, labels: {tier: web}, dataDisks: [{name: data, pool: main, size: 2}]"],
    );
    living.instances(
        "loadBalancer",
        &["id: 1, ip: 192.168.115.101", "id: 2, ip: 192.168.115.102"],
    );
    living.set(
        "cluster.nodes.loadBalancer.forwardPorts",
        "[{name: web, port: 80, targetPort: 30080, target: workers}]",
    );
    living.step("a-worker-goes-another-and-a-balancer-come");
    let labelled = kubectl("living", &["get", "nodes", "-l", "tier=web", "-o", "name"]);
    let labelled = expect(labelled, 0);
    assert_eq!(text(&labelled.stdout), "node/living-worker-2\n");

    living.set("kubernetes.version", "v1.24.6");
    living.set("kubernetes.kubespray.version", "v2.20.0");
    living.pausing_step("kubernetes-is-upgraded");
    living.destroy();
    nothing_is_left(&before);
}

/// The file of a cluster of small machines: a balancer with a virtual address, a master, and a worker.
pub fn small(cluster: &str, net: &str) -> String {
    format!(
        "hosts:\n  - name: localhost\n    connection: {{type: local}}\ncluster:\n  name: {cluster}\n  \
         network: {{mode: nat, cidr: 192.168.{net}.0/24}}\n  nodeTemplate: {{os: {{distro: ubuntu}}}}\n  nodes:\n    \
         loadBalancer:\n      vip: 192.168.{net}.200\n      default: {{cpu: 1, ram: 1}}\n      \
         instances: [{{id: 1, ip: 192.168.{net}.101}}]\n    master:\n      default: {{cpu: 1, ram: 2}}\n      \
         instances: [{{id: 1, ip: 192.168.{net}.11}}]\n    worker:\n      default: {{cpu: 1, ram: 2}}\n      \
         instances: [{{id: 1}}]\nkubernetes: {{version: v1.23.7, kubespray: {{version: v2.19.0}}}}\n"
    )
}

/// What a program of one's own made is the command's, too: there is nothing to do, and a worker that the command adds is one that
/// the program finds well.
#[test]
fn what_a_program_made_is_the_commands_too() {
    let before = inventory();
    let file = home().join("embedded.yaml");
    let path = file.display().to_string();
    let text = small("embedded", "119");
    std::fs::write(&file, &text).expect("the file is written");
    embedded("create", &path);
    let plan = expect(kubitect(&["plan", "--config", &path]), 0);
    assert_eq!(crate::tools::text(&plan.stdout), "embedded: no change\n");
    embedded("status", "embedded");

    let more = text.replace("instances: [{id: 1}]\n", "instances: [{id: 1}, {id: 2}]\n");
    assert_ne!(more, text);
    std::fs::write(&file, &more).expect("the file is written");
    expect(kubitect(&["apply", "--config", &path, "--auto-approve"]), 0);
    embedded("status", "embedded");
    let nodes = expect(kubectl("embedded", &["get", "nodes", "--no-headers"]), 0);
    let nodes = crate::tools::text(&nodes.stdout);
    let is_ready = |line: &&str| line.contains(" Ready ");
    assert_eq!(nodes.lines().filter(is_ready).count(), 3, "{nodes}");

    embedded("destroy", "embedded");
    nothing_is_left(&before);
}

/// A master's disk is deleted by hand, and `status` tells.
fn lose_disk(living: &Living, node: &str) {
    let name = format!("{}-{node}", living.cluster);
    stdout("virsh", &["destroy", &name]);
    living.status(5);
    let pool = format!("{}-main-resource-pool", living.cluster);
    let disk = format!("{name}-main-disk");
    stdout("virsh", &["vol-delete", &disk, "--pool", &pool]);
}

/// A machine has so many processors and so much memory, in GiB.
fn has(domain: &str, cpus: u32, gib: u64) {
    let info = stdout("virsh", &["dominfo", domain]);
    let lines = [
        format!("CPU(s):         {cpus}\n"),
        format!("Max memory:     {} KiB\n", gib << 20),
    ];
    assert!(lines.iter().all(|line| info.contains(line)), "{info}");
}

fn nothing_is_left(before: &[String]) {
    assert_eq!(
        inventory(),
        before,
        "libvirt holds exactly what it held before"
    );
}
