//! `apply` killed with SIGKILL at points before Ansible, then run again: libvirt ends up the same each time.
//!
//! Machines are stopped as soon as all run, so nothing boots to the end.

use std::time::Duration;

use crate::tools::*;

const CONFIG: &str = "tests/fixtures/lab/small.yaml";
const CLUSTER: &str = "small";
const SHORT: Duration = Duration::from_secs(15 * 60);
/// Told when all machines run: the worker's address is a lease, which is waited for first.
const RUNNING: &str = "wait for an address of small-worker-1";

/// Where apply is killed: the first line with this text.
const POINTS: [&str; 8] = [
    "create network small-network on localhost",
    "create pool small-main-resource-pool on localhost",
    "create image",
    "create volume small-lb-1-main-disk on localhost",
    "create volume small-worker-1-data-data-disk on localhost",
    "create volume small-master-1-seed on localhost",
    "create domain small-lb-1 on localhost",
    "create domain small-worker-1 on localhost",
];

#[test]
fn killed_before_ansible_and_run_again() {
    std::fs::create_dir_all("/var/lib/libvirt/images/fast").expect("the data pool has a place");
    let before = inventory();
    let undisturbed = machines_after(&[]);
    destroyed(&before);
    for point in POINTS {
        assert_eq!(machines_after(&[point]), undisturbed, "killed at `{point}`");
        destroyed(&before);
    }
}

/// What libvirt holds when all machines run, after runs that were killed at these points.
fn machines_after(points: &[&str]) -> Vec<String> {
    let apply = || kubitect(&["apply", "--config", CONFIG, "--auto-approve"]);
    for point in points.iter().chain(&[RUNNING]) {
        assert!(kill_at(apply(), point, SHORT), "`{point}` is reached");
    }
    let mut all = inventory();
    for domain in ["lb-1", "master-1", "worker-1"].map(|node| format!("{CLUSTER}-{node}")) {
        all.push(definition(&stdout(
            "virsh",
            &["dumpxml", "--inactive", &domain],
        )));
        all.push(stdout("virsh", &["domstate", &domain]));
    }
    all.push(definition(&stdout(
        "virsh",
        &["net-dumpxml", "--inactive", "small-network"],
    )));
    all
}

/// XML without what libvirt makes up anew for each definition.
fn definition(xml: &str) -> String {
    xml.lines()
        .filter(|line| {
            !line.contains("<uuid>") && !line.contains("<mac address=")
                || line.contains("52:54:00:aa")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn destroyed(before: &[String]) {
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
