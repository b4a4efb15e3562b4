//! From nothing to nothing: the example that the README begins with, byte for byte, and a small cluster for CI.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::tools::*;

const EXAMPLE: Job = Job {
    config: "examples/multi-master.yaml",
    cluster: "local-k8s-cluster",
    balancer: "https://192.168.113.100:6443",
    machines: 7,
    masters: 3,
    workers: 3,
};
const SMALL: Job = Job {
    config: "small-job.yaml",
    cluster: "small-job",
    balancer: "https://192.168.117.200:6443",
    machines: 3,
    masters: 1,
    workers: 1,
};
/// Emulated machines on a busy machine: generous, yet an end.
const LONG: Duration = Duration::from_secs(40 * 60);

/// A file, and what it makes.
struct Job {
    /// From the workspace's root, or in the home of the run.
    config: &'static str,
    cluster: &'static str,
    balancer: &'static str,
    machines: usize,
    masters: usize,
    workers: usize,
}

#[test]
fn the_main_job() {
    let before = inventory();
    println!("before: {before:#?}");
    EXAMPLE.create();
    any_master_may_be_lost();
    EXAMPLE.nodes_are_ready();
    EXAMPLE.destroy(&before);
}

/// Machines boot slowly where they are emulated: CI takes three of them.
#[test]
fn a_small_job() {
    let before = inventory();
    let config = home().join(SMALL.config);
    std::fs::write(&config, crate::change::small(SMALL.cluster, "117")).expect("it can be written");
    SMALL.create();
    SMALL.destroy(&before);
}

impl Job {
    fn config(&self) -> String {
        match root().join(self.config).exists() {
            true => self.config.to_owned(),
            false => home().join(self.config).display().to_string(),
        }
    }

    /// Killed while machines boot, and while Ansible works; the same command goes on each time.
    fn create(&self) {
        let config = self.config();
        let apply = || kubitect(&["apply", "--config", &config, "--auto-approve", "--verbose"]);
        let last = format!("wait for {}-worker-{}", self.cluster, self.workers);
        assert!(kill_at(apply(), &last, LONG));
        self.all_run_before_any_answers();
        assert!(kill_at(apply(), "Run the etcd member", LONG));
        expect(apply(), 0);
        self.nodes_are_ready();
        self.nothing_is_left_to_do();
    }

    /// The cluster's folder is lost: libvirt alone says what to remove.
    fn destroy(&self, before: &[String]) {
        let destroy = || kubitect(&["destroy", "--cluster", self.cluster, "--auto-approve"]);
        std::fs::remove_dir_all(home().join("clusters").join(self.cluster))
            .expect("the cluster has a folder");
        expect(destroy(), 0);
        // Once more: nothing has that name.
        expect(destroy(), 1);
        assert_eq!(
            inventory(),
            before,
            "libvirt holds exactly what it held before"
        );
    }

    /// `apply` starts all machines before it waits for the first.
    fn all_run_before_any_answers(&self) {
        let running: BTreeSet<String> = stdout("virsh", &["list", "--name"])
            .lines()
            .filter(|l| l.starts_with(self.cluster))
            .map(str::to_owned)
            .collect();
        assert_eq!(
            running.len(),
            self.machines,
            "all run while the first is waited for: {running:?}"
        );
    }

    fn nodes_are_ready(&self) {
        let kubeconfig = std::fs::read_to_string(crate::client::kubeconfig(self.cluster))
            .expect("there is a kubeconfig");
        assert!(
            kubeconfig.contains(self.balancer),
            "the kubeconfig points at the balancer"
        );
        let all = self.masters + self.workers;
        wait_for("all nodes Ready", Duration::from_secs(600), || {
            let output = crate::client::kubectl(self.cluster, &["get", "nodes", "--no-headers"])
                .output()
                .expect("kubectl starts");
            let table = text(&output.stdout);
            let ready = |role: &str| {
                table
                    .lines()
                    .filter(|l| l.contains(role) && l.split_whitespace().nth(1) == Some("Ready"))
                    .count()
            };
            let found = (ready("-master-"), ready("-worker-"), table.lines().count());
            if found == (self.masters, self.workers, all) {
                println!("{table}");
                return Ok(());
            }
            Err(format!("{table}{}", text(&output.stderr)))
        });
    }

    /// `plan` is empty, and `apply` has nothing to do: definitions and running machines stay the very same.
    fn nothing_is_left_to_do(&self) {
        let state = || -> Vec<String> {
            stdout("virsh", &["list", "--name"])
                .lines()
                .filter(|l| !l.is_empty())
                .map(|domain| stdout("virsh", &["dumpxml", domain]))
                .collect()
        };
        let config = self.config();
        let plan = expect(
            kubitect(&["plan", "--config", &config, "--output", "json"]),
            0,
        );
        let plan: serde_json::Value =
            serde_json::from_slice(&plan.stdout).expect("the plan is JSON");
        assert_eq!(plan["cluster"], self.cluster);
        // The one phase that looks whether machines are as they should be is always there.
        for of in ["changes", "refused", "findings"] {
            assert_eq!(plan[of], serde_json::json!([]), "{of}");
        }
        let before = state();
        expect(
            kubitect(&["apply", "--config", &config, "--auto-approve"]),
            0,
        );
        assert_eq!(state(), before, "the second apply changed nothing");
    }
}

/// Reads and writes go on through the balancer with any one master off; with two off writes are refused.
fn any_master_may_be_lost() {
    const CLUSTER: &str = EXAMPLE.cluster;
    let masters = ["master-1", "master-2", "master-3"].map(|m| format!("{CLUSTER}-{m}"));
    for (round, master) in masters.iter().enumerate() {
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
        if round == 1 {
            two_are_off(&masters[2]);
            stdout("virsh", &["start", &masters[2]]);
        }
        stdout("virsh", &["start", master]);
        EXAMPLE.nodes_are_ready();
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
    let there = expect(
        crate::client::kubectl(EXAMPLE.cluster, &["get", "configmaps", "--output", "name"]),
        0,
    );
    let there = text(&there.stdout);
    let lost: Vec<_> = writes
        .iter()
        .filter(|w| !there.contains(&format!("configmap/{w}\n")))
        .collect();
    assert!(lost.is_empty(), "written and lost: {lost:?}");
}

fn write(name: &str) -> bool {
    crate::client::write(EXAMPLE.cluster, name)
}
