//! The example from the issue of the main job, byte for byte, from nothing to nothing.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::tools::*;

const CONFIG: &str = "examples/multi-master.yaml";
const CLUSTER: &str = "local-k8s-cluster";
const BALANCER: &str = "https://192.168.113.100:6443";
/// Emulated machines on a busy machine: generous, yet an end.
const LONG: Duration = Duration::from_secs(40 * 60);

#[test]
fn the_main_job() {
    let before = inventory();
    println!("before: {before:#?}");

    // Killed while machines boot, and while Ansible works; the same command goes on each time.
    let apply = || kubitect(&["apply", "--config", CONFIG, "--auto-approve", "--verbose"]);
    assert!(kill_at(
        apply(),
        "wait for local-k8s-cluster-worker-3",
        LONG
    ));
    all_run_before_any_answers();
    assert!(kill_at(apply(), "Run the etcd member", LONG));
    expect(apply(), 0);

    six_nodes_are_ready();
    nothing_is_left_to_do();
    any_master_may_be_lost();
    six_nodes_are_ready();

    // The cluster's folder is lost: libvirt alone tells what to remove.
    std::fs::remove_dir_all(home().join("clusters").join(CLUSTER))
        .expect("the cluster has a folder");
    expect(
        kubitect(&["destroy", "--cluster", CLUSTER, "--auto-approve"]),
        0,
    );
    // Once more: nothing has that name.
    expect(
        kubitect(&["destroy", "--cluster", CLUSTER, "--auto-approve"]),
        1,
    );
    assert_eq!(
        inventory(),
        before,
        "libvirt holds exactly what it held before"
    );
}

/// `apply` starts all machines before it waits for the first.
fn all_run_before_any_answers() {
    let running: BTreeSet<String> = stdout("virsh", &["list", "--name"])
        .lines()
        .filter(|l| l.starts_with(CLUSTER))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        running.len(),
        7,
        "all run while the first is waited for: {running:?}"
    );
}

fn kubeconfig() -> String {
    crate::client::kubeconfig(CLUSTER)
}

fn kubectl(args: &[&str]) -> Command {
    crate::client::kubectl(CLUSTER, args)
}

fn six_nodes_are_ready() {
    let kubeconfig = std::fs::read_to_string(kubeconfig()).expect("there is a kubeconfig");
    assert!(
        kubeconfig.contains(BALANCER),
        "the kubeconfig points at the balancer"
    );
    wait_for("all six nodes Ready", Duration::from_secs(600), || {
        let output = kubectl(&["get", "nodes", "--no-headers"])
            .output()
            .expect("kubectl starts");
        let table = text(&output.stdout);
        let ready = |role: &str| {
            table
                .lines()
                .filter(|l| l.contains(role) && l.split_whitespace().nth(1) == Some("Ready"))
                .count()
        };
        if (ready("-master-"), ready("-worker-"), table.lines().count()) == (3, 3, 6) {
            println!("{table}");
            return Ok(());
        }
        Err(format!("{table}{}", text(&output.stderr)))
    });
}

/// `plan` is empty, and `apply` has nothing to do: definitions and running machines stay the very same.
fn nothing_is_left_to_do() {
    let state = || -> Vec<String> {
        stdout("virsh", &["list", "--name"])
            .lines()
            .filter(|l| !l.is_empty())
            .map(|domain| stdout("virsh", &["dumpxml", domain]))
            .collect()
    };
    let plan = expect(
        kubitect(&["plan", "--config", CONFIG, "--output", "json"]),
        0,
    );
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).expect("the plan is JSON");
    assert_eq!(plan["cluster"], CLUSTER);
    for of in ["phases", "changes", "refused"] {
        assert_eq!(plan[of], serde_json::json!([]), "{of}");
    }
    let before = state();
    expect(
        kubitect(&["apply", "--config", CONFIG, "--auto-approve"]),
        0,
    );
    assert_eq!(state(), before, "the second apply changed nothing");
}

/// Reads and writes go on through the balancer with any one master off; with two off writes are refused. In the short form
/// (`KUBITECT_TEST_SHORT`, as in CI) only the first master is lost, and another with it.
fn any_master_may_be_lost() {
    let masters = ["master-1", "master-2", "master-3"].map(|m| format!("{CLUSTER}-{m}"));
    let rounds = match std::env::var_os("KUBITECT_TEST_SHORT") {
        Some(_) => 1,
        None => masters.len(),
    };
    for (round, master) in masters.iter().take(rounds).enumerate() {
        println!("--- {master} is powered off");
        let client = Client::start(CLUSTER, format!("healthy-{round}"));
        std::thread::sleep(Duration::from_secs(10));
        let (_, healthy) = client.stop();
        let client = Client::start(CLUSTER, format!("round-{round}"));
        stdout("virsh", &["destroy", master]);
        std::thread::sleep(Duration::from_secs(45));
        let (writes, gap) = client.stop();
        println!(
            "{} writes, longest time without an answer {gap:.1?}, {healthy:.1?} with all on",
            writes.len()
        );
        // What the machine itself takes when all is well is not the cluster's doing.
        assert!(
            gap < Duration::from_secs(10) + 2 * healthy,
            "with {master} off, {gap:?} without an answer"
        );
        if round == 0 {
            two_are_off(&masters[1]);
            stdout("virsh", &["start", &masters[1]]);
        }
        stdout("virsh", &["start", master]);
        six_nodes_are_ready();
        every_master_serves();
        nothing_was_lost(&writes);
    }
}

fn two_are_off(second: &str) {
    println!("--- {second} is powered off as well");
    stdout("virsh", &["destroy", second]);
    wait_for(
        "writes are refused",
        Duration::from_secs(120),
        || match write("two-off") {
            true => Err("a write was accepted".into()),
            false => Ok(()),
        },
    );
    for _ in 0..3 {
        assert!(!write("two-off"), "a write without a majority");
    }
}

/// All masters serve again, seen past the balancer: a test of one more loss must begin healthy.
fn every_master_serves() {
    for ip in ["192.168.113.10", "192.168.113.11", "192.168.113.12"] {
        wait_for(&format!("{ip} is ready"), Duration::from_secs(600), || {
            let url = format!("https://{ip}:6443/readyz");
            let curl = Command::new("curl")
                .args(["-ksS", "--max-time", "5", "-w", "%{http_code}", &url])
                .output();
            let answer = text(&curl.expect("curl starts").stdout);
            if answer.ends_with("200") {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    // HAProxy takes a server back after three good probes of 5 s.
    std::thread::sleep(Duration::from_secs(20));
}

fn nothing_was_lost(writes: &[String]) {
    let there = expect(kubectl(&["get", "configmaps", "--output", "name"]), 0);
    let there = text(&there.stdout);
    let lost: Vec<_> = writes
        .iter()
        .filter(|w| !there.contains(&format!("configmap/{w}\n")))
        .collect();
    assert!(lost.is_empty(), "written and lost: {lost:?}");
}

fn write(name: &str) -> bool {
    crate::client::write(CLUSTER, name)
}
