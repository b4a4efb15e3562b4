//! What is wanted of Kubernetes → the playbooks that do it, their arguments, and how the masters stand in the inventory.
//!
//! Positions matter to Kubespray more than it says. Up to v2.29 it takes as first control plane the one that the API names
//! first, which is by name, and up to v2.27 only the first of the inventory hands on the key with which others join; from
//! v2.30 on it takes the first of the inventory. Removing goes through the first of the inventory. So masters stand in
//! the order of their names, one that joins comes last, and those that leave come last: then all of it is one machine.
//!
//! The group of etcd's members has an order of its own, in which they have joined: its first has issued etcd's certificates
//! for longest, and every member whose list of members reads otherwise than before is restarted, for the order alone, too.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::{Cilium, Release};
use kubitect_config::value::{Label, Version};
use serde_json::{Map, Value, json};

/// What is wanted. On a living cluster, of one that runs: the configuration's Kubernetes version and Kubespray release are
/// those that the nodes have, or, of an upgrade, are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A whole cluster.
    Create,
    /// Workers that are new in the inventory.
    AddWorkers(Vec<Label>),
    /// A master that is new in the inventory; every other there has joined, and every etcd member answers.
    AddMaster(Label),
    /// The network plugin learns of the members that etcd has now, where it keeps its data there ([`network_in_etcd`]); else
    /// nothing is run. API servers learn of them by [`crate::control::use_members`] before.
    AfterMembers,
    /// Nodes are reset, and leave Kubernetes; they are still in the inventory. Masters have left etcd already (by
    /// [`crate::control::remove_member`], which removes exactly the one that is meant) and leave one by one.
    Remove {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether they answer, and so can be drained and cleaned. Those that don't go first: cleaning asks all hosts.
        reachable: bool,
    },
    /// The network plugin is set up on masters that have joined. A creation that ended before it has to go on with it: from
    /// v2.30 on Kubespray waits for masters to be Ready first, which they are not without it.
    Network(Vec<Label>),
    /// The network plugin is set up on a master that joins and is registered already: see [`network_from_hosts`].
    JoiningNetwork(Label),
    /// One node gets the inventory's Kubernetes version. The masters go first, in the order of [`masters`]; from v2.30 on each
    /// of them has to be Ready.
    Upgrade {
        /// Its name.
        node: Label,
        /// Whether its pods stay on it. Else it is cordoned by now: such a node Kubespray does not drain, and leaves cordoned.
        stays: bool,
    },
    /// Kubespray's own cluster DNS is put back, after the last master of an upgrade: see [`replaces_dns`].
    Dns,
    /// Addons that the configuration switches on, or changes. Kubespray takes none away.
    Addons,
}

/// One playbook and what it is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Relative to the release's root.
    pub playbook: String,
    /// The hosts and groups that it is limited to; empty: none are left out.
    pub limit: Vec<String>,
    /// The tags of the tasks that are run; empty: all.
    pub tags: Vec<String>,
    /// Extra variables. As JSON, because text is not a boolean to Kubespray's assertions.
    pub variables: Map<String, Value>,
}

/// Masters and etcd members, to which changes of the membership are limited.
const CONTROL_PLANE: [&str; 2] = ["etcd", "kube_control_plane"];

/// The tags of all that is installed into a running Kubernetes, and of the downloads that it needs.
const ADDONS: [&str; 4] = [
    "download",
    "apps",
    "ingress-controller",
    "external-provisioner",
];

/// The tags of the network plugin, and of the downloads that it needs: they lie in `/tmp`, and a machine may have been restarted since.
const NETWORK: [&str; 2] = ["download", "network"];

/// The tags of the cluster's DNS.
const DNS: [&str; 2] = ["coredns", "nodelocaldns"];

/// The names in the certificate of an API server: its own, the load balancer's and the user's. Kubespray's list has those of all
/// masters, and each one's full name, which changes when `/etc/hosts` is written; see [`stops_at_names`].
const NAMES: &str = "{{ (['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', \
     'kubernetes.default.svc.' ~ dns_domain, kube_apiserver_ip, 'localhost', '127.0.0.1', inventory_hostname, ip, \
     (loadbalancer_apiserver | default({})).address | default(ip), apiserver_loadbalancer_domain_name | default(ip), \
     kube_vip_address | default(ip, true)] + supplementary_addresses_in_ssl_keys | default([])) \
     | unique | difference(kubitect_names_left_out | default([])) }}";

/// How long to wait for pods of a machine that does not answer: they are never heard of again.
const DEAD_DRAIN: &str = "60s";

impl Run {
    fn new(playbook: &str) -> Self {
        Self {
            playbook: playbook.to_owned(),
            limit: Vec::new(),
            tags: Vec::new(),
            variables: Map::new(),
        }
    }

    fn limited_to<T: ToString>(mut self, hosts: &[T]) -> Self {
        self.limit = hosts.iter().map(ToString::to_string).collect();
        self
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// The arguments of `ansible-playbook`, the inventory aside.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if !self.limit.is_empty() {
            arguments.push(format!("--limit={}", self.limit.join(",")));
        }
        if !self.tags.is_empty() {
            arguments.push(format!("--tags={}", self.tags.join(",")));
        }
        if !self.variables.is_empty() {
            let variables = Value::Object(self.variables.clone());
            arguments.push(format!("--extra-vars={variables}"));
        }
        arguments.push(self.playbook.clone());
        arguments
    }
}

/// The playbooks that reach a goal, in order. A goal that names no node where it has to needs none.
pub fn runs(goal: &Goal, cluster: &Cluster, release: &Release) -> Vec<Run> {
    // Plays that leave hosts out still need facts of all.
    let facts = || Run::new(&release.facts_playbook);
    let mut runs = match goal {
        Goal::Create => vec![Run::new("cluster.yml")],
        Goal::AddWorkers(nodes) if nodes.is_empty() => Vec::new(),
        Goal::AddWorkers(nodes) => {
            let mut hosts: Vec<_> = nodes.iter().map(Label::as_str).collect();
            if certifies_workers(cluster, release) {
                hosts.push("etcd");
            }
            vec![facts(), Run::new("scale.yml").limited_to(&hosts)]
        }
        Goal::AddMaster(_) => vec![facts(), Run::new("cluster.yml").limited_to(&CONTROL_PLANE)],
        Goal::AfterMembers if !network_in_etcd(cluster, release) => Vec::new(),
        // One master at a time, and no pod has to move for it.
        Goal::AfterMembers => vec![
            facts(),
            Run::new("upgrade-cluster.yml")
                .limited_to(&CONTROL_PLANE)
                .with("drain_nodes", json!(false)),
        ],
        // Without `node`, releases before v2.28 drain and reset every worker.
        Goal::Remove { nodes, .. } if nodes.is_empty() => Vec::new(),
        Goal::Remove { nodes, reachable } => {
            let names: Vec<_> = nodes.iter().map(Label::as_str).collect();
            let mut run = Run::new("remove-node.yml")
                .with("node", json!(names.join(",")))
                .with("skip_confirmation", json!(true));
            let mut masters = cluster.role(Role::Master);
            let is_master = masters.any(|node| nodes.contains(&node.name));
            // A worker's machine goes with its disks: nothing of it has to be cleaned. A master's API server and etcd are
            // ended on it, lest they serve until then what is no longer true.
            if !reachable || !is_master {
                run = run.with("reset_nodes", json!(false));
            }
            if !reachable {
                run = run
                    .with("allow_ungraceful_removal", json!(true))
                    .with("drain_timeout", json!(DEAD_DRAIN));
            }
            vec![run]
        }
        Goal::Network(joined) => {
            let masters = masters(goal, cluster);
            let all = masters.iter().all(|node| joined.contains(&node.name));
            // Plays on masters that have not joined would wait for a network that can't come up there.
            let mut run = match all {
                true => Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]),
                false => Run::new("cluster.yml").limited_to(joined),
            };
            run.tags = NETWORK.map(str::to_owned).to_vec();
            vec![facts(), run]
        }
        // macvlan asks all masters, where these take pods, and gives each the way to the new one.
        Goal::JoiningNetwork(_) => {
            let mut run = Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]);
            run.tags = NETWORK.map(str::to_owned).to_vec();
            vec![facts(), run]
        }
        Goal::Upgrade { node, stays } => {
            let run = Run::new("upgrade-cluster.yml").limited_to(std::slice::from_ref(node));
            // Kubespray cordons it for its own work alone, and uncordons it before addons are rolled out.
            let run = match stays {
                true => run.with("drain_nodes", json!(false)),
                false => run,
            };
            vec![facts(), run]
        }
        Goal::Dns => {
            let first = masters(goal, cluster).into_iter().next();
            let first = first.map(|node| &node.name);
            let mut run = Run::new("cluster.yml").limited_to(first.as_slice());
            run.tags = DNS.map(str::to_owned).to_vec();
            vec![facts(), run]
        }
        Goal::Addons => {
            let mut run = Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]);
            run.tags = ADDONS.map(str::to_owned).to_vec();
            // They are set up with the nodes, outside of the addons' own tags.
            let beside = [(28, "gateway_api"), (29, "prometheus_operator_crds")];
            let beside = beside.iter().filter(|(minor, _)| release.is_from(*minor));
            run.tags.extend(beside.map(|(_, tag)| (*tag).to_owned()));
            vec![facts(), run]
        }
    };
    if stops_at_names(release) && sets_up_masters(goal, cluster) {
        let facts = &release.facts_playbook;
        for run in runs.iter_mut().filter(|run| run.playbook != *facts) {
            run.variables
                .insert("apiserver_sans".to_owned(), json!(NAMES));
        }
    }
    // Members come and go one at a time, so that there is an even number of them in between.
    if etcd(goal, cluster).len().is_multiple_of(2) {
        for run in &mut runs {
            run.variables
                .insert("ignore_assert_errors".to_owned(), json!(true));
        }
    }
    runs
}

/// Whether API servers are set up, or gone over, on the way to a goal.
pub(crate) fn sets_up_masters(goal: &Goal, cluster: &Cluster) -> bool {
    match goal {
        Goal::Create | Goal::AddMaster(_) | Goal::AfterMembers => true,
        Goal::Upgrade { node, .. } => {
            let mut masters = cluster.role(Role::Master);
            masters.any(|master| master.name == *node)
        }
        Goal::AddWorkers(_)
        | Goal::Remove { .. }
        | Goal::Network(_)
        | Goal::JoiningNetwork(_)
        | Goal::Dns
        | Goal::Addons => false,
    }
}

/// Whether a run on masters stops where the certificate of an API server lacks a name of the release's list and openssl says so
/// by its exit status, too, as it does from 3.2 on (Kubespray's PR 11277). So these are given a list of names that no certificate
/// lacks: without those of other masters, which nobody asks it for.
pub fn stops_at_names(release: &Release) -> bool {
    release.is_from(22) && !release.is_from(27)
}

/// Whether upgrading a master other than the first leaves kubeadm's cluster DNS in the place of Kubespray's, with which a
/// user's settings for it are gone. All releases put theirs back only in runs with the first master; from v2.29 on kubeadm is told
/// to leave it alone.
pub fn replaces_dns(release: &Release) -> bool {
    !release.is_from(29)
}

/// Whether an upgrade leaves the control plane with the arguments of before: these releases call kubeadm without the configuration
/// that they have just written (Kubespray's issue 11552).
pub fn keeps_arguments(release: &Release) -> bool {
    let tag = |minor, patch| Version::new((2, minor), patch);
    (tag(26, 0)..=tag(27, 0)).contains(&release.tag)
}

/// Whether a creation that goes on waits for masters to be Ready before their network plugin is set up: see
/// [`Goal::Network`].
pub fn waits_for_network(release: &Release) -> bool {
    release.tag.minor() >= (2, 30)
}

/// Whether a master that joins can't be Ready within the run in which it joins: the release waits for that before its network
/// plugin has its turn, and what makes a node Ready is not brought by a pod of the plugin, but by tasks on the host.
pub fn network_from_hosts(cluster: &Cluster, release: &Release) -> bool {
    let plugin = &*cluster.kubernetes.network_plugin;
    waits_for_network(release) && ["kube-router", "macvlan"].contains(&plugin)
}

/// The masters in the order in which they stand in the inventory, and in which they are upgraded.
pub fn masters<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    let mut masters: Vec<_> = cluster.role(Role::Master).collect();
    masters.sort_by_key(|node| {
        let last = match goal {
            Goal::AddMaster(new) | Goal::JoiningNetwork(new) => node.name == *new,
            Goal::Remove { nodes, .. } => nodes.contains(&node.name),
            Goal::Create
            | Goal::AddWorkers(_)
            | Goal::AfterMembers
            | Goal::Network(_)
            | Goal::Upgrade { .. }
            | Goal::Dns
            | Goal::Addons => false,
        };
        (last, node.name.clone())
    });
    masters
}

/// The masters in the inventory's group of etcd members: in the order of the cluster's nodes, which is the one in which they
/// have joined, and by name when all of them begin together.
pub fn etcd<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    match goal {
        Goal::Create | Goal::Network(_) => masters(goal, cluster),
        Goal::AddMaster(new) | Goal::JoiningNetwork(new) => {
            let (joins, there): (Vec<_>, Vec<_>) = cluster
                .role(Role::Master)
                .partition(|node| node.name == *new);
            [there, joins].concat()
        }
        Goal::Remove { nodes, .. } => cluster
            .role(Role::Master)
            .filter(|node| !nodes.contains(&node.name))
            .collect(),
        Goal::AddWorkers(_)
        | Goal::AfterMembers
        | Goal::Upgrade { .. }
        | Goal::Dns
        | Goal::Addons => cluster.role(Role::Master).collect(),
    }
}

/// Whether the network plugin keeps its data in etcd, so that its settings list etcd's members.
pub fn network_in_etcd(cluster: &Cluster, release: &Release) -> bool {
    // By default in etcd up to v2.27.1, as objects of Kubernetes later.
    let identities = match variable(cluster, "cilium_identity_allocation_mode") {
        Some(mode) => mode == "kvstore",
        None => release.tag < Version::new((2, 28), 0),
    };
    let own = match &*cluster.kubernetes.network_plugin {
        "canal" => true,
        "calico" => variable(cluster, "calico_datastore") == Some("etcd"),
        _ => false,
    };
    own || (has_cilium(cluster) && identities)
}

/// Whether cilium is the network plugin, or set up beside another.
pub(crate) fn has_cilium(cluster: &Cluster) -> bool {
    let plugin = &cluster.kubernetes.network_plugin;
    Cilium::of(plugin, &cluster.addons.kubespray) != Cilium::Absent
}

/// Whether workers get certificates of etcd. They are issued on its first member, and what issues them is there only if that member
/// was the first host of a play: one that has become the first since, because others left, lacks it until it is in a run itself.
/// v2.19 issues them whatever the network plugin.
fn certifies_workers(cluster: &Cluster, release: &Release) -> bool {
    let needs = match &*cluster.kubernetes.network_plugin {
        "flannel" | "canal" => true,
        "calico" => variable(cluster, "calico_datastore") == Some("etcd"),
        _ => false,
    };
    needs || has_cilium(cluster) || !release.is_from(20)
}

/// A variable of the user's own that is text.
fn variable<'a>(cluster: &'a Cluster, name: &str) -> Option<&'a str> {
    cluster.addons.kubespray.get(name)?.as_str()
}

#[cfg(test)]
mod tests;
