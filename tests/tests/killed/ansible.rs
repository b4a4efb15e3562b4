//! The stand-in for `ansible-playbook`: reads the inventory and the arguments that Kubitect has written, notes the hosts on which
//! it is run, and reports its results over the socket, as the callback plugin does. The effects of the playbooks are in `plays`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use kubitect_config::release::{self, Release};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_yaml::Value;

use crate::place::Place;
use crate::plays;
use crate::program::{PLAY, hang_at};

/// A playbook, and its arguments.
pub struct Play {
    pub release: &'static Release,
    /// Its name without the folder that newer releases put it in.
    pub playbook: String,
    pub tags: Vec<String>,
    pub extra: serde_json::Value,
    pub inventory: Value,
    /// The variables of all hosts.
    pub variables: Value,
    /// The text that configures the addons, if there are any.
    pub addons: Option<String>,
    /// The hosts that it is limited to; all, if it is not.
    pub hosts: Vec<String>,
    pub limited: bool,
    /// The folder in which the facts of hosts are cached from one playbook to the next.
    pub facts: PathBuf,
}

/// The record of a playbook's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub playbook: String,
    pub limit: Option<String>,
    /// The hosts that it is to work on.
    pub hosts: Vec<String>,
}

/// A failure that a test asks for: once, when this playbook reaches this host.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fault {
    pub playbook: String,
    pub host: String,
    /// The step on that host; empty: as soon as the playbook reaches it.
    #[serde(default)]
    pub step: String,
}

/// Why a playbook fails on a host.
pub struct Failed {
    pub host: String,
    pub why: String,
}

/// Runs the stand-in in the world of this folder.
pub fn main(place: &Place) -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (play, noted) = Play::read(&arguments);
    let path = place.folder.join("playbooks.jsonl");
    let mut record = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    writeln!(record, "{}", serde_json::to_string(&noted).unwrap()).unwrap();

    let asked = place.folder.join("fault.json");
    let fault: Option<Fault> = File::open(&asked)
        .ok()
        .map(|file| serde_json::from_reader(file).unwrap());
    let fault = fault.filter(|f| f.playbook == play.playbook && noted.hosts.contains(&f.host));
    if fault.is_some() {
        std::fs::remove_file(&asked).unwrap();
    }
    let mut socket = UnixStream::connect(std::env::var_os("KUBITECT_EVENTS").unwrap()).unwrap();
    let mut tell = |line: serde_json::Value| writeln!(socket, "{line}").unwrap();
    tell(json!({"kind": "play", "name": play.playbook}));
    tell(json!({"kind": "task", "name": "All of it"}));
    if let [first, others @ ..] = &noted.hosts[..] {
        let done = |host: &String| json!({"kind": "host", "host": host, "task": "All of it", "outcome": "ok"});
        tell(done(first));
        others.iter().for_each(|host| tell(done(host)));
        tell(
            json!({"kind": "task", "name": "etcd : Configure | Wait for etcd cluster to be healthy"}),
        );
        tell(done(first));
    }
    hang_at(PLAY, &place.folder);
    let result = place.with(|state, host| plays::carry_out(&play, state, host, fault.as_ref()));
    let stats = |failed: &str| {
        let hosts = noted.hosts.iter().map(|name| {
            let stats = json!({"changed": 1, "failed": u32::from(name == failed)});
            (name.clone(), stats)
        });
        json!({"kind": "stats", "hosts": hosts.collect::<serde_json::Map<_, _>>()})
    };
    match result {
        Ok(()) => {
            tell(stats(""));
            ExitCode::SUCCESS
        }
        Err(Failed { host, why }) => {
            tell(
                json!({"kind": "host", "host": host, "task": "All of it", "outcome": "failed", "message": why}),
            );
            tell(stats(&host));
            ExitCode::from(2)
        }
    }
}

impl Play {
    fn read(arguments: &[String]) -> (Self, Record) {
        let value = |name: &str| {
            let mut given = arguments.iter();
            given.find_map(|a| a.strip_prefix(&format!("--{name}=")).map(str::to_owned))
        };
        assert_eq!(arguments[0], "--inventory");
        let nodes = PathBuf::from(&arguments[1]);
        let yaml = |path: PathBuf| std::fs::read_to_string(path).ok();
        let group_vars = nodes.with_file_name("group_vars");
        let all = yaml(group_vars.join("all/cluster.yaml")).unwrap();
        let inventory: Value = serde_yaml::from_str(&yaml(nodes).unwrap()).unwrap();
        let playbook = arguments.last().unwrap();
        let checkout = std::env::current_dir().unwrap();
        let tag = checkout
            .file_name()
            .unwrap()
            .to_string_lossy()
            .parse()
            .unwrap();
        let limit = value("limit");
        let mut play = Self {
            release: release::find(&tag).unwrap(),
            playbook: playbook.trim_start_matches("playbooks/").to_owned(),
            tags: value("tags").map_or(Vec::new(), |tags| {
                tags.split(',').map(str::to_owned).collect()
            }),
            extra: value("extra-vars")
                .map_or(json!({}), |text| serde_json::from_str(&text).unwrap()),
            inventory,
            variables: serde_yaml::from_str(&all).unwrap(),
            addons: yaml(group_vars.join("k8s_cluster/addons.yaml")),
            hosts: Vec::new(),
            limited: limit.is_some(),
            facts: PathBuf::from(std::env::var_os("ANSIBLE_CACHE_PLUGIN_CONNECTION").unwrap()),
        };
        if play.playbook == "facts.yml" {
            assert_eq!(
                *playbook, play.release.facts_playbook,
                "no such playbook in {tag}"
            );
        }
        let all = play.nodes();
        play.hosts = match &limit {
            None => all,
            Some(limit) => {
                let named = |word: &str| match play.group(word) {
                    group if group.is_empty() => vec![word.to_owned()],
                    group => group,
                };
                let in_limit: BTreeSet<_> = limit.split(',').flat_map(named).collect();
                all.into_iter()
                    .filter(|name| in_limit.contains(name))
                    .collect()
            }
        };
        let hosts = match play.extra["node"].as_str() {
            Some(nodes) => nodes.split(',').map(str::to_owned).collect(),
            None => play.hosts.clone(),
        };
        let noted = Record {
            playbook: play.playbook.clone(),
            limit,
            hosts,
        };
        (play, noted)
    }

    /// The hosts of a group, in its order.
    pub fn group(&self, name: &str) -> Vec<String> {
        let hosts = &self.inventory["all"]["children"][name]["hosts"];
        let names = hosts.as_mapping().into_iter().flatten();
        names
            .map(|(name, _)| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// The hosts that carry Kubernetes, masters first.
    pub fn nodes(&self) -> Vec<String> {
        let mut nodes = self.group("kube_control_plane");
        for name in self.group("kube_node") {
            if !nodes.contains(&name) {
                nodes.push(name);
            }
        }
        nodes
    }

    /// A host's variable.
    pub fn of(&self, host: &str, name: &str) -> Value {
        self.inventory["all"]["hosts"][host][name].clone()
    }

    /// A host's variable that is text.
    pub fn text(&self, host: &str, name: &str) -> String {
        self.of(host, name).as_str().unwrap_or_default().to_owned()
    }

    /// Kubernetes' version, with the `v`.
    pub fn version(&self) -> String {
        let text = self.variables["kube_version"].as_str().unwrap();
        assert_eq!(text.starts_with('v'), self.release.v, "{text}");
        format!("v{}", text.trim_start_matches('v'))
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.extra[name] == true
    }
}
