//! A living cluster under test: its file, changed step by step, `apply`, and a client that is to be answered all along.

use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use serde_yaml::Value;

use crate::client::{Client, kubectl};
use crate::tools::*;

/// The longest time that a client may go without an answer, besides what the machine itself takes when all is well.
const GAP: Duration = Duration::from_secs(10);

/// A cluster and its file.
pub struct Living {
    pub cluster: &'static str,
    file: Value,
    steps: Vec<Step>,
    /// The step with which a cluster that an earlier run left is taken up, as `KUBITECT_JOURNEY_FROM` names it: for
    /// whoever works on a step.
    skipping: Option<String>,
}

/// What a step of the journey took.
struct Step {
    name: &'static str,
    took: Duration,
    /// The longest time without an answer.
    gap: Duration,
    /// The same before the step, with nothing going on.
    healthy: Duration,
    /// Whether the API may pause.
    pauses: bool,
}

impl Living {
    /// Makes the cluster of this file.
    pub fn create(cluster: &'static str, text: &str) -> Self {
        let living = Self {
            cluster,
            file: serde_yaml::from_str(text).expect("the file is YAML"),
            steps: Vec::new(),
            skipping: std::env::var("KUBITECT_JOURNEY_FROM").ok(),
        };
        if living.skipping.is_some() {
            return living;
        }
        expect(living.apply(), 0);
        living.finished();
        living.status(0);
        living
    }

    /// Changes the file: `path` leads through its keys, with dots between them.
    pub fn set(&mut self, path: &str, yaml: &str) {
        let mut place = &mut self.file;
        for key in path.split('.') {
            let map = place.as_mapping_mut().expect("the path leads through maps");
            place = map
                .entry(key.into())
                .or_insert(Value::Mapping(Default::default()));
        }
        *place = serde_yaml::from_str(yaml).expect("it is YAML");
    }

    /// Gives the masters, the workers or the balancers; each as what stands between braces.
    pub fn instances(&mut self, role: &str, instances: &[&str]) {
        let list: Vec<_> = instances.iter().map(|one| format!("{{{one}}}")).collect();
        self.set(
            &format!("cluster.nodes.{role}.instances"),
            &format!("[{}]", list.join(", ")),
        );
    }

    /// As [`Living::step`], after something has gone wrong.
    pub fn step_after(&mut self, name: &'static str, disaster: impl FnOnce(&Self)) {
        if self.skipping.as_deref().is_none_or(|from| from == name) {
            disaster(self);
        }
        self.step(name);
    }

    /// Applies the file as it stands now; then the plan is empty and all nodes are as wanted, and the client was answered.
    pub fn step(&mut self, name: &'static str) {
        if self.skipping.as_deref().is_some_and(|from| from != name) {
            return;
        }
        self.skipping = None;
        println!("--- {name}");
        let began = Instant::now();
        let client = Client::start(self.cluster, format!("before-{name}"));
        std::thread::sleep(Duration::from_secs(10));
        let (_, healthy) = client.stop();
        let client = Client::start(self.cluster, format!("during-{name}"));
        expect(self.apply(), 0);
        let (writes, gap) = client.stop();
        self.finished();
        self.nothing_was_lost(&writes);
        self.status(0);
        let took = began.elapsed();
        println!(
            "{name}: took {took:.0?}, longest time without an answer {gap:.1?}, {healthy:.1?} before"
        );
        self.steps.push(Step {
            name,
            took,
            gap,
            healthy,
            pauses: false,
        });
    }

    /// As [`Living::step`], where the only master is worked on: its API pauses meanwhile.
    pub fn pausing_step(&mut self, name: &'static str) {
        self.step(name);
        self.last_one_pauses();
    }

    /// The API may have paused in the last step: a master joined, and the release restarts etcd's members at once.
    pub fn last_one_pauses(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.pauses = true;
        }
    }

    fn nothing_was_lost(&self, writes: &[String]) {
        let there = expect(
            kubectl(self.cluster, &["get", "configmaps", "--output", "name"]),
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

    /// The plan is empty, and exactly the nodes of the file are Ready, with its version.
    fn finished(&self) {
        let plan = expect(kubitect(&["plan", "--config", &self.written()]), 0);
        assert_eq!(text(&plan.stdout), format!("{}: no change\n", self.cluster));
        let file = serde_yaml::to_string(&self.file).expect("it is YAML");
        let site = kubitect_config::Site::default();
        let parsed = kubitect_config::parse(&file, "living.yaml", &site);
        let parsed = parsed.expect("the program took it").cluster;
        let mut wanted: Vec<_> = parsed
            .nodes
            .iter()
            .filter(|node| node.role != Role::LoadBalancer)
            .map(|node| format!("{} Ready {}", node.name, parsed.kubernetes.version))
            .collect();
        wanted.sort();
        wait_for("the nodes are as wanted", Duration::from_secs(300), || {
            let output = kubectl(self.cluster, &["get", "nodes", "--no-headers"])
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

    /// `status` ends with this code, and its JSON says the same.
    pub fn status(&self, code: i32) {
        let said = expect(
            kubitect(&["status", "--cluster", self.cluster, "--output", "json"]),
            code,
        );
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("it is JSON");
        assert_eq!(said["reachable"], true);
        let problems = said["problems"].as_array().expect("problems are a list");
        assert_eq!(problems.is_empty(), code == 0, "{problems:?}");
    }

    /// Removes the cluster. All steps are told once more, and the client was answered in each.
    pub fn destroy(self) {
        expect(
            kubitect(&["destroy", "--cluster", self.cluster, "--auto-approve"]),
            0,
        );
        println!("{:<44} {:>8} {:>8} {:>8}", "step", "took", "gap", "before");
        for Step {
            name,
            took,
            gap,
            healthy,
            ..
        } in &self.steps
        {
            let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
            let (took, gap, healthy) = (seconds(took), seconds(gap), seconds(healthy));
            println!("{name:<44} {took:>8} {gap:>8} {healthy:>8}");
        }
        for step in self.steps.iter().filter(|step| !step.pauses) {
            // What the machine itself takes when all is well is not the cluster's doing.
            assert!(
                step.gap < GAP + 2 * step.healthy,
                "{}: {:?} without an answer",
                step.name,
                step.gap
            );
        }
    }

    fn apply(&self) -> std::process::Command {
        kubitect(&["apply", "--config", &self.written(), "--auto-approve"])
    }

    /// Writes the file, and tells where.
    fn written(&self) -> String {
        let path = home().join(format!("{}.yaml", self.cluster));
        let text = serde_yaml::to_string(&self.file).expect("it is YAML");
        std::fs::write(&path, text).expect("the file is written");
        path.display().to_string()
    }
}
