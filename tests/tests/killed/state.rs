//! [`State`]: the machines of a world in memory, and the Kubernetes on them.
//!
//! It is stored in a file beside the host's, so that it survives every process, and it follows the host: a machine that is off
//! does not answer, one with a new main disk is blank, and one that was started has the sizes of its definition.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kubitect_lb::{API, HAPROXY_FILE, KEEPALIVED_FILE};
use kubitect_provision::fake::FakeHost;
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::{DomainState, PowerState};
use serde::{Deserialize, Serialize};

use crate::machine::servers;
use crate::restored::Unpacked;

/// All machines, and the Kubernetes on them.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub guests: BTreeMap<String, Guest>,
    pub kube: Kube,
    /// The balancer that has the virtual address.
    pub holder: Option<String>,
    /// Whether the machines' openssl reports by its exit status that a certificate lacks a name.
    #[serde(default)]
    pub strict_openssl: bool,
    /// The hosts whose libvirt can't be reached.
    #[serde(default)]
    pub away: BTreeSet<String>,
    /// Whether the machines' systems have cgroups of version 1.
    #[serde(default)]
    pub cgroup_v1: bool,
    /// Whether NetworkManager manages the machines' name servers.
    #[serde(default)]
    pub network_manager: bool,
    /// Whether Kubernetes still calls nodes Ready whose machines have died.
    #[serde(default)]
    pub unnoticed: bool,
}

/// A machine's system.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Its main disk.
    pub main: PathBuf,
    /// How often that disk had been created.
    pub disk: u64,
    /// How often the machine had been started.
    pub boot: u64,
    /// The public keys of its seed: its own host key, and the keys that it accepts.
    pub keys: Vec<String>,
    pub files: BTreeMap<String, String>,
    /// The files that running services have read.
    pub running: BTreeMap<String, String>,
    pub enabled: BTreeSet<String>,
    /// Servers that its HAProxy sends no new connections to, as `backend/server`.
    pub drained: BTreeSet<String>,
    /// The number of processors that its system uses.
    pub cpus: u32,
    pub ram: u64,
    /// The size of the file system on each disk, with how often the disk had been created.
    pub systems: BTreeMap<PathBuf, (u64, u64)>,
    /// The version of the installed kubelet, where another one runs.
    #[serde(default)]
    pub installed: Option<String>,
    /// The version of its kubelet, and the Kubernetes that it has joined.
    pub kubelet: Option<(String, u64)>,
    /// The etcd endpoints that its API server lists.
    pub api: Option<BTreeSet<String>>,
    /// The version of its API server.
    #[serde(default)]
    pub api_version: String,
    /// kubeadm's configuration with which its control plane runs.
    pub arguments: String,
    /// The names in the certificate of its API server.
    #[serde(default)]
    pub names: BTreeSet<String>,
    /// Whether its SSH server is down; the rest of it works.
    #[serde(default)]
    pub deaf: bool,
    /// Programs that an earlier run left running, with how often they will still be seen.
    #[serde(default)]
    pub busy: Vec<(String, u32)>,
    /// The etcd member whose data it has; it runs where etcd lists it.
    pub member: Option<u64>,
    /// Services of Kubernetes that are enabled and stopped.
    #[serde(default)]
    pub stopped: BTreeSet<String>,
    /// A snapshot of etcd that was unpacked beside its data.
    #[serde(default)]
    pub unpacked: Option<Unpacked>,
    /// A snapshot in the place of its data, with which etcd has not started yet.
    #[serde(default)]
    pub in_place: Option<Unpacked>,
    /// Whether its etcd does not stop.
    #[serde(default)]
    pub stubborn: bool,
}

/// The content of etcd, and its members.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kube {
    /// Its number: earlier ones have others.
    pub id: u64,
    pub members: Vec<Member>,
    pub nodes: BTreeMap<String, Node>,
    pub addons: Option<String>,
    /// The etcd endpoints in the ConfigMap `kubeadm-config`, from which masters join.
    pub published: BTreeSet<String>,
    pub next_member: u64,
    /// Whether `kubeadm init` has ended: others can join.
    #[serde(default)]
    pub initialised: bool,
    /// Whether the network plugin is set up, without which no node is Ready.
    #[serde(default)]
    pub network: bool,
    /// Whether it is set up on each host by a task, and not by a daemon set.
    #[serde(default)]
    pub from_hosts: bool,
    /// The size of the blocks of calico's pool, as the length of their prefix.
    #[serde(default)]
    pub blocks: u64,
    /// The same of the pool for IPv6; 0: there is none.
    #[serde(default)]
    pub blocks_ipv6: u64,
    /// How cilium gives pods their addresses; empty: there is none.
    #[serde(default)]
    pub ipam: String,
    /// For how many more requests no API server answers, because all restart.
    #[serde(default)]
    pub away: u32,
    /// The installer of the cluster DNS that is in place.
    #[serde(default)]
    pub dns: String,
    /// The deprecated APIs that API servers were asked for, as they report them.
    #[serde(default)]
    pub requested: String,
    /// Objects, and the clients that wrote them, with the API version.
    #[serde(default)]
    pub written: String,
    /// Pods, by name.
    #[serde(default)]
    pub pods: BTreeMap<String, Pod>,
}

/// A pod that no daemon set made.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Its node; empty: no node takes it.
    pub node: String,
    /// The keys of the taints that it tolerates.
    pub bears: BTreeSet<String>,
    /// Whether a disruption budget prevents its eviction.
    pub kept: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub id: u64,
    pub name: String,
    pub ip: String,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub version: String,
    pub cordoned: bool,
    /// Whether it has the taint of a cordoned node. Kubernetes' controllers remove it some time after the node was uncordoned.
    pub kept_off: bool,
    pub labels: BTreeMap<String, String>,
    pub taints: BTreeSet<String>,
    pub cpus: u32,
    pub ram: u64,
}

/// The domain of a machine of ours, if it runs.
fn running(host: &FakeHost, name: &str) -> Option<DomainState> {
    let domain = host.domain_of(name)?;
    (domain.mark.is_some() && domain.power == PowerState::Running).then_some(domain)
}

impl State {
    /// The id of a machine's present boot, as its kernel has it.
    pub fn boot_id(&self, name: &str) -> String {
        let boots = self.guests.get(name).map(|guest| guest.boot);
        format!("boot-{}", boots.unwrap_or_default())
    }

    /// Updates the machines after changes of their domains and disks.
    pub fn settle(&mut self, host: &FakeHost) {
        let domains = host.domains().unwrap();
        self.guests.retain(|name, guest| {
            let main = &guest.main;
            let made = host.times(&main.display().to_string());
            let is_whole = host.capacity(main).is_some() && made == guest.disk;
            is_whole || domains.iter().any(|domain| domain.name == *name)
        });
        for domain in domains {
            let Some(domain) = running(host, &domain.name) else {
                continue;
            };
            let live = domain.live.as_ref().unwrap();
            let made = |disk: &Path| host.times(&disk.display().to_string());
            let main = &domain.disks[0];
            assert!(main.to_string_lossy().ends_with("-main-disk"), "{domain:?}");
            let guest = self.guests.entry(domain.name.clone()).or_default();
            if guest.disk != made(main) {
                *guest = Guest::blank(host, &domain);
                guest.main.clone_from(main);
                guest.disk = made(main);
            }
            let boot = host.times(&domain.name);
            if guest.boot != boot {
                guest.boot = boot;
                guest.cpus = live.vcpus;
                guest.ram = live.memory_mib;
                guest.drained.clear();
                guest.files.remove(RELEASES);
                let read =
                    |unit: &String| Some((unit.clone(), guest.files.get(file(unit))?.clone()));
                guest.running = guest.enabled.iter().filter_map(read).collect();
                // cloud-init's growpart and resizefs, at every boot.
                let capacity = host.capacity(main).unwrap();
                guest.systems.insert(main.clone(), (guest.disk, capacity));
                if guest
                    .kubelet
                    .as_ref()
                    .is_some_and(|(_, id)| *id == self.kube.id)
                    && let Some(node) = self.kube.nodes.get_mut(&domain.name)
                {
                    (node.cpus, node.ram) = (guest.cpus, guest.ram);
                }
            }
            // A data disk gets a file system as soon as it is attached.
            let is_data = |disk: &&PathBuf| disk.to_string_lossy().ends_with("-data-disk");
            guest.systems.retain(|disk, _| live.disks.contains(disk));
            for disk in live.disks.iter().filter(is_data) {
                let now = (made(disk), host.capacity(disk).unwrap_or(0));
                let system = guest.systems.entry(disk.clone()).or_insert(now);
                if system.0 != now.0 {
                    *system = now;
                }
            }
        }
        let able = |state: &Self, name: &String| {
            state.answers(host, name) && state.guests[name].running.contains_key("keepalived")
        };
        if !self.holder.as_ref().is_some_and(|name| able(self, name)) {
            let others = self.guests.keys().filter(|name| able(self, name));
            self.holder = others.min().cloned();
        }
    }

    /// Whether a machine is on.
    pub fn answers(&self, host: &FakeHost, name: &str) -> bool {
        self.guests.contains_key(name) && running(host, name).is_some()
    }

    /// The address at which a machine answers.
    pub fn address(&self, host: &FakeHost, name: &str) -> Option<String> {
        let fixed = host.domain_of(name)?.mark?.address;
        let ip = fixed.or_else(|| host.leases(name).first().copied())?;
        Some(ip.to_string())
    }

    /// Whether an etcd member serves: a machine that is on has its data.
    pub fn is_well(&self, host: &FakeHost, member: &Member) -> bool {
        let has = |(name, guest): (&String, &Guest)| {
            let runs = guest.member == Some(member.id) && !guest.stopped.contains("etcd");
            runs && self.answers(host, name)
        };
        self.guests.iter().any(has)
    }

    /// Whether etcd takes changes.
    pub fn has_quorum(&self, host: &FakeHost) -> bool {
        let well = self.kube.members.iter().filter(|m| self.is_well(host, m));
        well.count() * 2 > self.kube.members.len()
    }

    /// Whether the API server on this machine serves: it lists an etcd member that is well.
    pub fn serves(&self, host: &FakeHost, name: &str) -> bool {
        let api = self.guests.get(name).and_then(|guest| guest.api.as_ref());
        let lists = |api: &BTreeSet<String>| {
            let mut members = self.kube.members.iter();
            members.any(|member| api.contains(&endpoint(&member.ip)) && self.is_well(host, member))
        };
        // Without its certificate it does not start.
        let has = |path: &&str| self.guests[name].files.contains_key(*path);
        api.is_some_and(lists)
            && CERTIFICATE.iter().all(has)
            && !self.guests[name].stopped.contains("kubelet")
            && self.answers(host, name)
            && self.has_quorum(host)
    }

    /// The masters to which each balancer leads that may hold the virtual address.
    pub fn balanced(&self) -> impl Iterator<Item = BTreeSet<String>> {
        let guests = self.guests.values();
        let balancers = guests.filter(|guest| guest.running.contains_key("keepalived"));
        balancers.map(|guest| servers(guest, API).into_iter().collect())
    }

    /// Whether a node of Kubernetes is Ready: its machine is on, its kubelet has joined, and there is a network.
    pub fn is_ready(&self, host: &FakeHost, name: &str) -> bool {
        let joined = |guest: &Guest| {
            guest
                .kubelet
                .as_ref()
                .is_some_and(|(_, id)| *id == self.kube.id)
        };
        let has_network = |guest: &Guest| {
            self.kube.network && (!self.kube.from_hosts || guest.files.contains_key(CNI))
        };
        let ready = |guest: &Guest| joined(guest) && has_network(guest);
        self.guests.get(name).is_some_and(ready) && self.answers(host, name)
    }

    /// Whether a node takes a pod that tolerates these taints.
    pub fn takes(&self, host: &FakeHost, name: &str, bears: &BTreeSet<String>) -> bool {
        let Some(node) = self.kube.nodes.get(name) else {
            return false;
        };
        let key = |taint: &String| taint.split(['=', ':']).next().unwrap().to_owned();
        let keeps = |taint: &&String| !taint.ends_with(":PreferNoSchedule");
        let mut taints = node.taints.iter().filter(keeps);
        !node.cordoned
            && self.is_ready(host, name)
            && taints.all(|taint| bears.contains(&key(taint)))
    }
}

/// One of the first files of kubeadm: Kubespray takes a master that has it for set up.
pub const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The kubeconfig of root, which the playbooks' `kubectl` reads: their role `client` copies the administrator's after the control plane
/// is set up.
pub const ROOT_CONF: &str = "/root/.kube/config";
/// The credentials of a kubelet that has joined: Kubespray takes a worker that has them for joined.
pub const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// The API server's certificate, and its key.
pub const CERTIFICATE: [&str; 2] = [
    "/etc/kubernetes/ssl/apiserver.crt",
    "/etc/kubernetes/ssl/apiserver.key",
];
/// The key of the authority that signs it.
pub const AUTHORITY: &str = "/etc/kubernetes/ssl/ca.key";
/// The script that issues etcd's certificates, on its first member.
pub const ISSUES: &str = "/usr/local/bin/etcd-scripts/make-ssl-etcd.sh";
/// The name servers of NetworkManager.
pub const NAME_SERVERS: &str = "/etc/NetworkManager/conf.d/dns.conf";
/// The API server's manifest.
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// kubeadm's configuration on masters.
pub const SETTINGS: &str = "/etc/kubernetes/kubeadm-config.yaml";
/// Kubespray's folder for downloads; a boot empties it.
pub const RELEASES: &str = "/tmp/releases";
/// The file by which a kubelet knows that its machine has a network, where a task of the plugin writes it.
pub const CNI: &str = "/etc/cni/net.d/10-plugin.conflist";
/// CRI-O's runtime for containers.
pub const CRIO: &str = "/etc/crio/crio.conf";
/// The label that kubeadm gives a master last of all.
pub const MARK: &str = "node-role.kubernetes.io/control-plane";

/// The endpoint of the etcd member at an address.
pub fn endpoint(ip: &str) -> String {
    format!("https://{ip}:2379")
}

/// The file that a service reads.
pub fn file(unit: &str) -> &'static str {
    match unit {
        "haproxy" => HAPROXY_FILE,
        "keepalived" => KEEPALIVED_FILE,
        _ => panic!("unknown service: {unit}"),
    }
}
