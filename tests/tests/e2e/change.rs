//! A living cluster on small machines: nodes come and go, a master is lost, a machine grows, Kubernetes is upgraded.
//!
//! Every step is the same file, changed, and `apply`; after each the plan is empty, and a client has been answered all along.

use std::time::Duration;

use crate::client::{Client, kubectl};
use crate::tools::*;

const CLUSTER: &str = "living";

/// What of the cluster's file changes.
#[derive(Clone)]
struct File {
    masters: &'static [u8],
    workers: &'static str,
    ports: &'static str,
    version: &'static str,
    kubespray: &'static str,
}

impl File {
    /// Writes it, and tells where.
    fn write(&self) -> String {
        let masters: String = self
            .masters
            .iter()
            .map(|id| format!("        - {{id: {id}, ip: 192.168.115.1{id}}}\n"))
            .collect();
        let Self {
            workers,
            ports,
            version,
            kubespray,
            ..
        } = self;
        let text = format!(
            "hosts:\n  - name: localhost\n    connection: {{type: local}}\ncluster:\n  name: {CLUSTER}\n  \
             network: {{mode: nat, cidr: 192.168.115.0/24}}\n  nodeTemplate: {{os: {{distro: ubuntu}}}}\n  nodes:\n    \
             loadBalancer:\n      default: {{cpu: 1, ram: 1}}\n      forwardPorts: {ports}\n      \
             instances: [{{id: 1, ip: 192.168.115.100}}]\n    master:\n      default: {{cpu: 1, ram: 2}}\n      \
             instances:\n{masters}    worker:\n      default: {{cpu: 1, ram: 2}}\n      instances: {workers}\n\
             kubernetes: {{version: {version}, kubespray: {{version: {kubespray}}}}}\n"
        );
        let path = home().join("living.yaml");
        std::fs::write(&path, text).expect("the file is written");
        path.display().to_string()
    }
}

/// Applies the file; then the plan is empty, exactly these nodes are Ready with its version, and the client was answered.
fn step(name: &'static str, file: &File, nodes: &[&str]) {
    println!("--- {name}");
    let path = file.write();
    let client = Client::start(CLUSTER, format!("before-{name}"));
    std::thread::sleep(Duration::from_secs(10));
    let (_, healthy) = client.stop();
    let client = Client::start(CLUSTER, format!("during-{name}"));
    expect(kubitect(&["apply", "--config", &path, "--auto-approve"]), 0);
    let (writes, gap) = client.stop();
    println!("{name}: longest time without an answer {gap:.1?}, {healthy:.1?} before");
    assert!(
        gap < Duration::from_secs(10) + 2 * healthy,
        "{name}: {gap:?} without an answer"
    );
    finished(file, nodes);
    let there = expect(
        kubectl(CLUSTER, &["get", "configmaps", "--output", "name"]),
        0,
    );
    let there = text(&there.stdout);
    for write in writes {
        assert!(
            there.contains(&format!("configmap/{write}\n")),
            "{write} is lost"
        );
    }
}

fn finished(file: &File, nodes: &[&str]) {
    let plan = expect(kubitect(&["plan", "--config", &file.write()]), 0);
    assert_eq!(text(&plan.stdout), format!("{CLUSTER}: no change\n"));
    let mut wanted: Vec<_> = nodes
        .iter()
        .map(|node| format!("{CLUSTER}-{node} Ready {}", file.version))
        .collect();
    wanted.sort();
    wait_for("the nodes are as wanted", Duration::from_secs(300), || {
        let output = kubectl(CLUSTER, &["get", "nodes", "--no-headers"])
            .output()
            .expect("kubectl starts");
        let table = text(&output.stdout);
        let mut found: Vec<_> = table
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                format!("{} {} {}", words[0], words[1], words[words.len() - 1])
            })
            .collect();
        found.sort();
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{table}{}", text(&output.stderr))),
        }
    });
}

#[test]
fn a_living_cluster_changes_with_its_file() {
    let before = inventory();
    let mut file = File {
        masters: &[1, 2, 3],
        workers: "[{id: 1}]",
        ports: "[]",
        version: "v1.23.7",
        kubespray: "v2.19.0",
    };
    expect(
        kubitect(&["apply", "--config", &file.write(), "--auto-approve"]),
        0,
    );
    finished(&file, &["master-1", "master-2", "master-3", "worker-1"]);

    file.workers = "[{id: 2}]";
    let nodes = ["master-1", "master-2", "master-3", "worker-2"];
    step("one-worker-comes-and-one-goes", &file, &nodes);

    // The first master's disk is gone for good.
    stdout("virsh", &["destroy", "living-master-1"]);
    let pool = "living-main-resource-pool";
    stdout(
        "virsh",
        &["vol-delete", "living-master-1-main-disk", "--pool", pool],
    );
    step("a-lost-master-is-made-anew", &file, &nodes);

    file.workers = "[{id: 2, cpu: 2, ram: 3, mainDiskSize: 40, labels: {tier: web}, dataDisks: [{name: data, pool: main, size: 2}]}]";
    file.ports = "[{name: web, port: 80, targetPort: 30080, target: workers}]";
    step("a-worker-grows", &file, &nodes);
    let worker = stdout("virsh", &["dominfo", "living-worker-2"]);
    assert!(worker.contains("CPU(s):         2"), "{worker}");
    assert!(worker.contains("Max memory:     3145728 KiB"), "{worker}");
    let labels = expect(
        kubectl(CLUSTER, &["get", "nodes", "-l", "tier=web", "-o", "name"]),
        0,
    );
    assert_eq!(text(&labels.stdout), "node/living-worker-2\n");

    file.version = "v1.24.6";
    file.kubespray = "v2.20.0";
    step("kubernetes-is-upgraded", &file, &nodes);

    expect(
        kubitect(&["destroy", "--cluster", CLUSTER, "--auto-approve"]),
        0,
    );
    assert_eq!(
        inventory(),
        before,
        "libvirt holds exactly what it held before"
    );
}
