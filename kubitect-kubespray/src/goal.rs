//! [`Goal`]: what a run of Kubespray has to reach → its playbooks, their arguments, and the order of the masters in the inventory.
//!
//! The inventory lists masters by name, but one that joins or leaves comes last. The reason: which machine Kubespray takes for
//! the first master depends on its release and on the task, and with this order it is always the same one, which has joined and
//! stays. It takes:
//!
//! - up to v2.29 the one that the API lists first, which is the first by name; from v2.30 on the first of the inventory;
//! - up to v2.27, to upload the certificate key with which others join, the first of the inventory;
//! - to remove a node, the first of the inventory.
//!
//! The group of etcd's members is listed in the order in which they joined. Its first member issues etcd's certificates and has
//! what it needs for that. And a member restarts if its list of members changes, even if only in order, so the order must be the
//! same in every run.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::{Cilium, Release};
use kubitect_config::value::{Label, Version};
use serde_json::{Map, Value, json};

/// What a run of Kubespray has to reach. For a running cluster, the configuration's Kubernetes version and Kubespray release are
/// those of the nodes; for an upgrade, those after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Set up a whole cluster.
    Create,
    /// Join workers, which are new in the inventory.
    AddWorkers(Vec<Label>),
    /// Join a master, which is new in the inventory. All others there have joined, and every etcd member serves.
    AddMaster(Label),
    /// Give the network plugin the present list of etcd's members, if it stores its data in etcd ([`network_in_etcd`]); else
    /// nothing is run. API servers get the list before, by [`crate::control::use_members`].
    NetworkEtcdMembers,
    /// Remove nodes from Kubernetes, and reset masters; the nodes are still in the inventory. Masters are removed one by one, and
    /// their members have been removed from etcd before, by [`crate::control::remove_member`], which picks the member by its
    /// address.
    Remove {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether they answer, and so can be drained and reset. Nodes that don't answer are removed first, because a reset
        /// connects to all hosts.
        reachable: bool,
    },
    /// Set up the network plugin on masters that have joined. A creation that ended before this step can't be continued without
    /// it: from v2.30 on Kubespray first waits for masters to be Ready, and without a network plugin they never are.
    Network(Vec<Label>),
    /// Set up the network plugin on a master that is joining and has a node object: see [`needs_joining_network`].
    JoiningNetwork(Label),
    /// Upgrade one node to the inventory's Kubernetes version. Masters are upgraded before workers, in the order of [`masters`];
    /// from v2.30 on all masters have to be Ready.
    Upgrade {
        /// Its name.
        node: Label,
        /// Whether its pods stay on it. If not, the caller has cordoned and drained it: Kubespray does not drain a node that is
        /// cordoned, and leaves it cordoned.
        keeps_pods: bool,
    },
    /// Install Kubespray's own cluster DNS again, after the last master of an upgrade: see [`replaces_dns`].
    Dns,
    /// Install or change the addons of the configuration. Kubespray removes none.
    Addons,
}

/// One run of a playbook, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its file, relative to the release's root.
    pub playbook: String,
    /// The hosts and groups to which it is limited; empty: all hosts.
    pub limit: Vec<String>,
    /// The tags of the tasks that are run; empty: all.
    pub tags: Vec<String>,
    /// Extra variables, given as JSON: as `key=value` every value would be text, which Kubespray's assertions don't accept as a
    /// boolean.
    pub variables: Map<String, Value>,
}

/// The groups of masters and of etcd's members, to which runs that change membership are limited.
const CONTROL_PLANE: [&str; 2] = ["etcd", "kube_control_plane"];

/// The tags of the addons, and of the downloads that they need.
const ADDONS: [&str; 4] = [
    "download",
    "apps",
    "ingress-controller",
    "external-provisioner",
];

/// The tags of the network plugin, and of the downloads that it needs: those are stored in `/tmp`, which a restart of the machine
/// empties.
const NETWORK: [&str; 2] = ["download", "network"];

/// The tags of the cluster's DNS.
const DNS: [&str; 2] = ["coredns", "nodelocaldns"];

/// The names for the certificate of an API server: its own, the load balancer's and the user's. Kubespray's own list also has the
/// names of all other masters, and each master's full name, which changes when `/etc/hosts` is written; see
/// [`fails_on_missing_names`].
const CERTIFICATE_NAMES: &str = "{{ (['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', \
     'kubernetes.default.svc.' ~ dns_domain, kube_apiserver_ip, 'localhost', '127.0.0.1', inventory_hostname, ip, \
     (loadbalancer_apiserver | default({})).address | default(ip), apiserver_loadbalancer_domain_name | default(ip), \
     kube_vip_address | default(ip, true)] + supplementary_addresses_in_ssl_keys | default([])) \
     | unique | difference(kubitect_names_left_out | default([])) }}";

/// The drain timeout for a machine that does not answer. It is short because nothing reports the end of its pods.
const UNREACHABLE_DRAIN_TIMEOUT: &str = "60s";

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

/// The playbooks that reach a goal, in order. Empty for a goal about nodes that names none: without a limit, Kubespray would
/// change all nodes.
pub fn runs(goal: &Goal, cluster: &Cluster, release: &Release) -> Vec<Run> {
    // A playbook that is limited to some hosts still needs the facts of all.
    let facts = || Run::new(&release.facts_playbook);
    let mut runs = match goal {
        Goal::Create => vec![Run::new("cluster.yml")],
        Goal::AddWorkers(nodes) if nodes.is_empty() => Vec::new(),
        Goal::AddWorkers(nodes) => {
            let mut hosts: Vec<_> = nodes.iter().map(Label::as_str).collect();
            if issues_worker_certificates(cluster, release) {
                hosts.push("etcd");
            }
            vec![facts(), Run::new("scale.yml").limited_to(&hosts)]
        }
        Goal::AddMaster(_) => vec![facts(), Run::new("cluster.yml").limited_to(&CONTROL_PLANE)],
        Goal::NetworkEtcdMembers if !network_in_etcd(cluster, release) => Vec::new(),
        // The upgrade's playbook does one master at a time. No pod has to move for this.
        Goal::NetworkEtcdMembers => vec![
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
            // A worker is not reset: its machine is removed with its disks. A master is, so that its API server and etcd stop now
            // and don't serve outdated data until its machine is removed.
            if !reachable || !is_master {
                run = run.with("reset_nodes", json!(false));
            }
            if !reachable {
                run = run
                    .with("allow_ungraceful_removal", json!(true))
                    .with("drain_timeout", json!(UNREACHABLE_DRAIN_TIMEOUT));
            }
            vec![run]
        }
        Goal::Network(joined) => {
            let masters = masters(goal, cluster);
            let all_joined = masters.iter().all(|node| joined.contains(&node.name));
            // On a master that has not joined, the playbook would wait for a network that can't start there.
            let mut run = match all_joined {
                true => Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]),
                false => Run::new("cluster.yml").limited_to(joined),
            };
            // A run that stopped in `kubeadm init` has not given root the kubeconfig that the playbook's `kubectl` reads.
            run.tags = ["client"]
                .iter()
                .chain(&NETWORK)
                .map(ToString::to_string)
                .collect();
            vec![facts(), run]
        }
        // On all masters, because macvlan's tasks read the pod network of each master that runs pods, and add a route to the new
        // one on each.
        Goal::JoiningNetwork(_) => {
            let mut run = Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]);
            run.tags = NETWORK.map(str::to_owned).to_vec();
            vec![facts(), run]
        }
        Goal::Upgrade { node, keeps_pods } => {
            let run = Run::new("upgrade-cluster.yml").limited_to(std::slice::from_ref(node));
            // Without draining, Kubespray cordons the node only during its own work, and uncordons it before it installs addons.
            let run = match keeps_pods {
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
            // Kubespray installs these two with the nodes, so the tags of addons don't select them.
            let more = [(28, "gateway_api"), (29, "prometheus_operator_crds")];
            let more = more.iter().filter(|(minor, _)| release.is_from(*minor));
            run.tags.extend(more.map(|(_, tag)| (*tag).to_owned()));
            vec![facts(), run]
        }
    };
    if fails_on_missing_names(release) && sets_up_masters(goal, cluster) {
        let facts = &release.facts_playbook;
        for run in runs.iter_mut().filter(|run| run.playbook != *facts) {
            run.variables
                .insert("apiserver_sans".to_owned(), json!(CERTIFICATE_NAMES));
        }
    }
    // Kubespray asserts an odd number of etcd members. Members join and leave one at a time, so every second step has an even
    // number.
    if etcd_members(goal, cluster).len().is_multiple_of(2) {
        for run in &mut runs {
            run.variables
                .insert("ignore_assert_errors".to_owned(), json!(true));
        }
    }
    runs
}

/// Whether a goal's playbooks run the tasks that set up API servers.
pub(crate) fn sets_up_masters(goal: &Goal, cluster: &Cluster) -> bool {
    match goal {
        Goal::Create | Goal::AddMaster(_) | Goal::NetworkEtcdMembers => true,
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

/// Whether the release's playbooks fail on masters if the certificate of an API server lacks a name of the release's list and
/// openssl is 3.2 or later: only then does openssl report a missing name by its exit status (Kubespray's PR 11277).
///
/// These releases get a shorter list of names, which every certificate has: without the names of other masters, by which no client
/// connects to this one.
pub fn fails_on_missing_names(release: &Release) -> bool {
    release.is_from(22) && !release.is_from(27)
}

/// Whether the upgrade of a master other than the first replaces Kubespray's cluster DNS by kubeadm's, which loses the user's
/// settings of it. All releases install theirs again only in a run with the first master; from v2.29 on kubeadm skips its own.
pub fn replaces_dns(release: &Release) -> bool {
    !release.is_from(29)
}

/// Whether an upgrade leaves the control plane with its old arguments: these releases call kubeadm without the configuration that
/// they have just written (Kubespray's issue 11552).
pub fn keeps_old_arguments(release: &Release) -> bool {
    let tag = |minor, patch| Version::new((2, minor), patch);
    (tag(26, 0)..=tag(27, 0)).contains(&release.tag)
}

/// Whether the release waits for masters to be Ready before it sets up their network plugin: see [`Goal::Network`].
pub fn waits_for_ready_masters(release: &Release) -> bool {
    release.tag.minor() >= (2, 30)
}

/// Whether a joining master needs [`Goal::JoiningNetwork`] while its join runs. The release waits for the master to be Ready
/// before the tasks of the network plugin. With most plugins a pod of the plugin makes the node Ready during this wait; with
/// these two, only those tasks do.
pub fn needs_joining_network(cluster: &Cluster, release: &Release) -> bool {
    let plugin = &*cluster.kubernetes.network_plugin;
    waits_for_ready_masters(release) && ["kube-router", "macvlan"].contains(&plugin)
}

/// The masters in the order of the inventory, in which they are also upgraded: by name, but one that joins or leaves comes last.
pub fn masters<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    let mut masters: Vec<_> = cluster.role(Role::Master).collect();
    masters.sort_by_key(|node| {
        let last = match goal {
            Goal::AddMaster(new) | Goal::JoiningNetwork(new) => node.name == *new,
            Goal::Remove { nodes, .. } => nodes.contains(&node.name),
            Goal::Create
            | Goal::AddWorkers(_)
            | Goal::NetworkEtcdMembers
            | Goal::Network(_)
            | Goal::Upgrade { .. }
            | Goal::Dns
            | Goal::Addons => false,
        };
        (last, node.name.clone())
    });
    masters
}

/// The masters in the inventory's group of etcd members, in the order in which they joined, which is that of the cluster's nodes.
/// By name for a new cluster, in which all of them start together.
pub fn etcd_members<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    match goal {
        Goal::Create | Goal::Network(_) => masters(goal, cluster),
        Goal::AddMaster(new) | Goal::JoiningNetwork(new) => {
            let (joining, joined): (Vec<_>, Vec<_>) = cluster
                .role(Role::Master)
                .partition(|node| node.name == *new);
            [joined, joining].concat()
        }
        Goal::Remove { nodes, .. } => cluster
            .role(Role::Master)
            .filter(|node| !nodes.contains(&node.name))
            .collect(),
        Goal::AddWorkers(_)
        | Goal::NetworkEtcdMembers
        | Goal::Upgrade { .. }
        | Goal::Dns
        | Goal::Addons => cluster.role(Role::Master).collect(),
    }
}

/// Whether the network plugin stores its data in etcd, so that its settings list etcd's members.
pub fn network_in_etcd(cluster: &Cluster, release: &Release) -> bool {
    // cilium stores identities in etcd by default up to v2.27.1, and as objects of Kubernetes later.
    let identities_in_etcd = match variable(cluster, "cilium_identity_allocation_mode") {
        Some(mode) => mode == "kvstore",
        None => release.tag < Version::new((2, 28), 0),
    };
    let stores_in_etcd = match &*cluster.kubernetes.network_plugin {
        "canal" => true,
        "calico" => variable(cluster, "calico_datastore") == Some("etcd"),
        _ => false,
    };
    stores_in_etcd || (has_cilium(cluster) && identities_in_etcd)
}

/// Whether cilium is the network plugin, or installed beside another one.
pub(crate) fn has_cilium(cluster: &Cluster) -> bool {
    let plugin = &cluster.kubernetes.network_plugin;
    Cilium::of(plugin, &cluster.addons.kubespray) != Cilium::Absent
}

/// Whether workers get client certificates of etcd; v2.19 issues them for every network plugin. Then etcd's members have to be in
/// the run: its first member issues the certificates, with files that exist only where it has been the first member in a run. A
/// member that became the first because others left gets them only by being in a run itself.
fn issues_worker_certificates(cluster: &Cluster, release: &Release) -> bool {
    let needs = match &*cluster.kubernetes.network_plugin {
        "flannel" | "canal" => true,
        "calico" => variable(cluster, "calico_datastore") == Some("etcd"),
        _ => false,
    };
    needs || has_cilium(cluster) || !release.is_from(20)
}

/// A variable of `addons.kubespray`, if it is text.
fn variable<'a>(cluster: &'a Cluster, name: &str) -> Option<&'a str> {
    cluster.addons.kubespray.get(name)?.as_str()
}

#[cfg(test)]
mod tests;
