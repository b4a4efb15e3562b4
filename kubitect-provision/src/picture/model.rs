//! The picture as data.

use kubitect_config::Cluster;
use kubitect_config::cluster::{
    API_PORT, Connection, DiskPool, Host, NetworkMode, Node, Role, Target,
};
use kubitect_config::text;
use serde::Serialize;

/// A cluster as a person draws it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// The cluster's name.
    pub cluster: String,
    /// `Kubernetes v1.35.4 · calico`.
    pub about: String,
    /// Where clients come in: the VIP, else the balancer or the master.
    pub entry: String,
    /// What stands behind that address.
    pub entry_kind: String,
    /// Ports that lead to nodes.
    pub ways: Vec<Way>,
    /// The network in words: its name, mode, range and gateway.
    pub network: Vec<String>,
    /// The hosts that carry machines.
    pub hosts: Vec<HostBox>,
}

/// A port that leads to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// `API`, or the port's own name.
    pub name: String,
    /// The port at the entry.
    pub port: u16,
    /// The nodes' port.
    pub target_port: u16,
    /// The roles that receive it.
    pub to: Vec<Role>,
}

/// A host with its machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostBox {
    /// Its name in the file.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Its machines: balancers, masters, workers.
    pub machines: Vec<MachineBox>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineBox {
    /// Its whole name.
    pub name: String,
    /// Its name without the cluster's.
    pub short: String,
    /// What it is for.
    pub role: Role,
    /// Its address, or `by DHCP`.
    pub address: String,
    /// Processors, memory and main disk.
    pub size: String,
    /// Its data disks, a line each.
    pub disks: Vec<String>,
    /// What was seen of it.
    pub seen: Option<Seen>,
}

/// How a machine of a living cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Whether that is as it should be.
    pub good: bool,
    /// In words, as `running, Ready`.
    pub words: String,
}

impl Seen {
    /// A machine in this state of libvirt's, and the node that it is, if it is one: whether that is Ready, and cordoned.
    pub fn of(state: &str, ready: Option<bool>, cordoned: bool) -> Self {
        let mut words = vec![state];
        words.extend(ready.map(|ready| if ready { "Ready" } else { "not Ready" }));
        words.extend(cordoned.then_some("cordoned"));
        Self {
            good: state == "running" && ready != Some(false) && !cordoned,
            words: words.join(", "),
        }
    }
}

impl HostBox {
    /// The roles that it has machines of, with these machines, each with its place among the host's.
    pub(super) fn by_role(&self) -> Vec<(Role, Vec<(usize, &MachineBox)>)> {
        let of = |role| {
            let all = self.machines.iter().enumerate();
            (role, all.filter(|(_, own)| own.role == role).collect())
        };
        let roles = ROLES.into_iter().map(of);
        roles
            .filter(|(_, own): &(_, Vec<_>)| !own.is_empty())
            .collect()
    }
}

impl MachineBox {
    /// What is said of it, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.short.clone(), self.address.clone(), self.size.clone()];
        lines.extend(self.disks.iter().cloned());
        lines.extend(self.seen.iter().map(|seen| seen.words.clone()));
        lines
    }
}

impl Picture {
    /// The picture of what a file asks for.
    pub fn of(cluster: &Cluster) -> Self {
        let kubernetes = &cluster.kubernetes;
        let (entry, entry_kind) = entry(cluster);
        let hosts = cluster.used_hosts().map(|host| HostBox {
            name: host.name.to_string(),
            place: place(host),
            machines: cluster
                .nodes
                .iter()
                .filter(|node| node.host == host.name)
                .map(|node| machine(cluster, node))
                .collect(),
        });
        Self {
            cluster: cluster.name.to_string(),
            about: format!(
                "Kubernetes {} · {}",
                kubernetes.version, kubernetes.network_plugin
            ),
            entry,
            entry_kind,
            ways: ways(cluster),
            network: network(cluster),
            hosts: hosts.collect(),
        }
    }

    /// Adds what was seen of a machine, by its whole name.
    pub fn see(&mut self, name: &str, address: Option<&str>, seen: Seen) {
        let mut machines = self.hosts.iter_mut().flat_map(|host| &mut host.machines);
        if let Some(machine) = machines.find(|machine| machine.name == name) {
            if let Some(address) = address {
                machine.address = text::line(address);
            }
            machine.seen = Some(Seen {
                words: text::line(&seen.words),
                ..seen
            });
        }
    }
}

/// A role's name for several machines.
pub(super) fn several(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "balancers",
        Role::Master => "masters",
        Role::Worker => "workers",
    }
}

/// All roles, in the order of the picture.
const ROLES: [Role; 3] = [Role::LoadBalancer, Role::Master, Role::Worker];

impl Way {
    /// As `443 https → workers:30443`.
    pub(super) fn words(&self) -> String {
        let to: Vec<_> = self.to.iter().map(|role| several(*role)).collect();
        format!(
            "{} {} → {}:{}",
            self.port,
            self.name,
            to.join(" and "),
            self.target_port
        )
    }
}

/// Where clients come in, and what that is.
fn entry(cluster: &Cluster) -> (String, String) {
    let address = |node: &Node| node.ip.map_or("by DHCP".to_owned(), |ip| ip.to_string());
    let balancers: Vec<_> = cluster.role(Role::LoadBalancer).collect();
    if let (Some(vip), false) = (cluster.balancing.vip, balancers.is_empty()) {
        return (vip.to_string(), "VIP of the balancers".to_owned());
    }
    match (balancers.first(), cluster.role(Role::Master).next()) {
        (Some(balancer), _) => (address(balancer), "the balancer".to_owned()),
        (None, Some(master)) => (address(master), "the master".to_owned()),
        (None, None) => (String::new(), String::new()),
    }
}

fn ways(cluster: &Cluster) -> Vec<Way> {
    let api = Way {
        name: "API".to_owned(),
        port: API_PORT,
        target_port: API_PORT,
        to: vec![Role::Master],
    };
    let forwarded = cluster.balancing.forward_ports.iter().map(|port| Way {
        name: port.name.to_string(),
        port: port.port,
        target_port: port.target_port,
        to: match port.target {
            Target::Workers => vec![Role::Worker],
            Target::Masters => vec![Role::Master],
            Target::All => vec![Role::Master, Role::Worker],
        },
    });
    let forwarded = forwarded.filter(|_| cluster.role(Role::LoadBalancer).next().is_some());
    std::iter::once(api).chain(forwarded).collect()
}

fn network(cluster: &Cluster) -> Vec<String> {
    let network = &cluster.network;
    let (name, mode) = match network.mode {
        NetworkMode::Nat => (cluster.network_name(), "nat"),
        NetworkMode::Route => (cluster.network_name(), "route"),
        NetworkMode::Bridge => (network.bridge.clone().unwrap_or_default(), "bridge"),
    };
    vec![
        format!("network {name}"),
        format!("{mode} · {} · gateway {}", network.cidr, network.gateway),
    ]
}

fn place(host: &Host) -> String {
    match &host.connection {
        Connection::Local => "this machine".to_owned(),
        Connection::Remote { user, address, .. } => format!("{user}@{address}"),
        Connection::Uri(uri) => text::line(&kubitect_config::address::shown(uri)),
    }
}

fn machine(cluster: &Cluster, node: &Node) -> MachineBox {
    let prefix = format!("{}-", cluster.name);
    let name = node.name.to_string();
    let disks = node.data_disks.iter().map(|disk| match &disk.pool {
        DiskPool::Main => format!("+ {} {}", disk.name, disk.size),
        DiskPool::Data(pool) => format!("+ {} {} in {pool}", disk.name, disk.size),
    });
    MachineBox {
        short: name.strip_prefix(&prefix).unwrap_or(&name).to_owned(),
        name,
        role: node.role,
        address: node.ip.map_or("by DHCP".to_owned(), |ip| ip.to_string()),
        size: format!("{} CPU · {} · {}", node.cpu, node.ram, node.main_disk),
        disks: disks.collect(),
        seen: None,
    }
}
