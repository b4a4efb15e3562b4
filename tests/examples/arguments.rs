//! Checks our arguments against the real Kubespray: each goal's playbooks with their inventory, variables and arguments pass
//! `--syntax-check`, `--list-hosts` and `--list-tasks` of Ansible, for the named releases.
//!
//!     cargo run -p tests --example arguments -- REPOSITORY TAG...
//!
//! REPOSITORY is a git repository of Kubespray, a folder or an address. Nothing is run on a machine. It is not part of CI, which has
//! no copy of Kubespray; docs/new-release.md says when to run it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use kubitect_config::cluster::Role;
use kubitect_config::release::{self, Release};
use kubitect_config::{Cluster, Facts, Site, parse};
use kubitect_kubespray::goal::{self, Goal, Run};
use kubitect_kubespray::{Tools, files_for, prepare};
use tests::example::{example, facts};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let repository = arguments
        .next()
        .ok_or("usage: arguments REPOSITORY TAG...")?;
    let mut wrong = 0;
    let mut checked = 0;
    println!("release goal playbook plays hosts tasks");
    for tag in arguments {
        let tag = tag.parse()?;
        let release = release::find(&tag).ok_or_else(|| format!("{tag} is not in the table"))?;
        let stage = Stage::new(&repository, release).await?;
        for (name, goal) in goals(&stage.cluster) {
            for run in goal::runs(&goal, &stage.cluster, release) {
                checked += 1;
                match stage.check(&goal, &run) {
                    Ok(counts) => println!("{tag} {name} {} {counts}", run.playbook),
                    Err(error) => {
                        wrong += 1;
                        println!("{tag} {name} {} FAILED: {error}", run.playbook);
                    }
                }
            }
        }
    }
    println!("{checked} runs of playbooks, {wrong} wrong");
    Ok(ExitCode::from(u8::from(wrong > 0 || checked == 0)))
}

/// One of each kind of goal.
fn goals(cluster: &Cluster) -> Vec<(&'static str, Goal)> {
    let name = |role, number| cluster.role(role).nth(number).map(|node| node.name.clone());
    let nodes = (
        name(Role::Master, 0),
        name(Role::Master, 1),
        name(Role::Worker, 0),
    );
    let (Some(first), Some(second), Some(worker)) = nodes else {
        return Vec::new();
    };
    let leaves = |node, reachable| Goal::Remove {
        nodes: vec![node],
        reachable,
    };
    let upgrade = |node, keeps_pods| Goal::Upgrade { node, keeps_pods };
    vec![
        ("create", Goal::Create),
        ("add-worker", Goal::AddWorkers(vec![worker.clone()])),
        ("add-master", Goal::AddMaster(second.clone())),
        ("bring-back-first-master", Goal::AddMaster(first.clone())),
        ("after-members", Goal::NetworkEtcdMembers),
        ("remove-worker", leaves(worker.clone(), true)),
        ("remove-master", leaves(first.clone(), true)),
        ("remove-dead-worker", leaves(worker.clone(), false)),
        ("network", Goal::Network(vec![first.clone()])),
        ("network-of-joining", Goal::JoiningNetwork(second.clone())),
        ("upgrade-master", upgrade(first, false)),
        ("upgrade-worker", upgrade(worker.clone(), false)),
        ("upgrade-lone-worker", upgrade(worker, true)),
        ("dns", Goal::Dns),
        ("addons", Goal::Addons),
    ]
}

/// A release, prepared as a cluster's run would, and the example as a cluster of it.
struct Stage {
    cluster: Cluster,
    facts: Facts,
    tools: Tools,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new(repository: &str, release: &Release) -> Result<Self> {
        let kubernetes = release
            .newest_kubernetes()
            .ok_or("a release without Kubernetes")?;
        let text = example([&release.tag.to_string(), &kubernetes.to_string()]);
        // With the network plugin's data in etcd, so that each goal has something to run.
        let text = format!("{text}\naddons:\n  kubespray:\n    calico_datastore: etcd\n");
        let mut cluster = parse(&text, "cluster.yaml", &Site::default())?.cluster;
        cluster.kubernetes.kubespray.url = match Path::new(repository).is_dir() {
            true => format!("file://{}", Path::new(repository).canonicalize()?.display()),
            false => repository.to_owned(),
        };
        let share = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/kubespray-releases");
        let tell = |event: kubitect_kubespray::Event| eprintln!("{event}");
        let tools = prepare(&cluster.kubernetes, &share, &tell).await?;
        let folder = tempfile::tempdir()?;
        Ok(Self {
            facts: facts(&cluster, folder.path()),
            cluster,
            tools,
            folder,
        })
    }

    /// The number of plays, hosts and tasks of a run. An error if Ansible refuses it, or if it would reach other hosts than it is
    /// limited to.
    fn check(&self, goal: &Goal, run: &Run) -> Result<String> {
        let folder = self.folder.path().join("config");
        for (name, text) in files_for(goal, &self.cluster, &self.facts)? {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
            std::fs::write(path, text)?;
        }
        self.ansible(run, "--syntax-check")?;
        let hosts = self.ansible(run, "--list-hosts")?;
        let tasks = self.ansible(run, "--list-tasks")?;
        let plays = hosts
            .lines()
            .filter(|line| line.trim_start().starts_with("play #"))
            .count();
        let reached = reached(&hosts);
        let tasks = tasks
            .lines()
            .filter(|line| line.contains("TAGS: ["))
            .count()
            - plays;
        let wanted = self.wanted(run);
        if let Some(strange) = reached.difference(&wanted).next() {
            return Err(format!("it reaches {strange}, to which it is not limited").into());
        }
        if reached.is_empty() || tasks == 0 {
            return Err(format!("{} hosts, {tasks} tasks", reached.len()).into());
        }
        Ok(format!("{plays} {} {tasks}", reached.len()))
    }

    /// The hosts that a run may reach.
    fn wanted(&self, run: &Run) -> BTreeSet<String> {
        let of = |part: &String| {
            let all = self.cluster.nodes.iter();
            let meant = all.filter(move |node| match part.as_str() {
                "etcd" | "kube_control_plane" => node.role == Role::Master,
                name => node.name.as_str() == name,
            });
            meant.map(|node| node.name.to_string()).collect::<Vec<_>>()
        };
        match run.limit.is_empty() {
            true => self
                .cluster
                .nodes
                .iter()
                .map(|node| node.name.to_string())
                .collect(),
            false => run.limit.iter().flat_map(of).collect(),
        }
    }

    /// Ansible's output for a listing, which runs nothing.
    fn ansible(&self, run: &Run, listing: &str) -> Result<String> {
        let bin = self.tools.environment.join("bin");
        let output = Command::new(bin.join("ansible-playbook"))
            .current_dir(&self.tools.kubespray)
            .arg("--inventory")
            .arg(self.folder.path().join("config/nodes.yaml"))
            .args(run.arguments())
            .arg(listing)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ANSIBLE_CONFIG", self.tools.kubespray.join("ansible.cfg"))
            .env(
                "ANSIBLE_CACHE_PLUGIN_CONNECTION",
                self.folder.path().join("facts"),
            )
            .env("ANSIBLE_LOCAL_TEMP", self.folder.path().join("tmp"))
            .env("ANSIBLE_NOCOLOR", "1")
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let start = text.find("ERROR").unwrap_or_default();
            return Err(format!("{listing}: {}", text[start..].trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The hosts of all plays of a listing, without this machine.
fn reached(listing: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in listing.lines() {
        let text = line.trim();
        if text.starts_with("hosts (") {
            inside = true;
        } else if text.is_empty() || text.contains(':') {
            inside = false;
        } else if inside && text != "localhost" {
            found.insert(text.to_owned());
        }
    }
    found
}
