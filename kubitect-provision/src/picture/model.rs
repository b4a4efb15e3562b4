//! The diagram as data.

use kubitect_config::Cluster;
use kubitect_config::cluster::{
    API_PORT, Connection, DiskPool, Host, NetworkMode, Node, Role, Target,
};
use kubitect_config::text;
use serde::Serialize;

/// A diagram of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// The cluster's name.
    pub cluster: String,
    /// `Kubernetes v1.35.4 · calico`.
    pub about: String,
    /// The address to which clients connect: the VIP, else that of the balancer or of the master.
    pub entry: String,
    /// What has that address.
    pub entry_kind: String,
    /// The ports that are forwarded to nodes.
    pub ways: Vec<Route>,
    /// The network: its name, mode, range and gateway, as lines of text.
    pub network: Vec<String>,
    /// The hosts that carry machines.
    pub hosts: Vec<HostBox>,
}

/// A port that is forwarded to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
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
    /// Its address, or `this machine`.
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
    /// Its role.
    pub role: Role,
    /// Its address, or `by DHCP`.
    pub address: String,
    /// Processors, memory and main disk.
    pub size: String,
    /// Its data disks, a line each.
    pub disks: Vec<String>,
    /// Its observed state, if it was observed.
    pub seen: Option<MachineStatus>,
}

/// The observed state of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Whether this is the wanted state.
    pub good: bool,
    /// The state as text, as `running, Ready`.
    pub words: String,
}

impl MachineStatus {
    /// From the state of the machine in libvirt and, if it is a node, whether that is Ready, and whether it is cordoned.
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
    /// The host's machines by role, each with its index among all machines of the host. Roles without machines are left out.
    pub(super) fn by_role(&self) -> Vec<(Role, Vec<(usize, &MachineBox)>)> {
        let with_machines = |role| {
            let all = self.machines.iter().enumerate();
            (role, all.filter(|(_, m)| m.role == role).collect())
        };
        let roles = ROLES.into_iter().map(with_machines);
        roles
            .filter(|(_, machines): &(_, Vec<_>)| !machines.is_empty())
            .collect()
    }
}

impl MachineBox {
    /// The lines of its box.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.short.clone(), self.address.clone(), self.size.clone()];
        lines.extend(self.disks.iter().cloned());
        lines.extend(self.seen.iter().map(|seen| seen.words.clone()));
        lines
    }
}

impl Picture {
    /// The diagram of a configuration.
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

    /// Adds the observed state of a machine, found by its full name.
    pub fn add_status(&mut self, name: &str, address: Option<&str>, status: MachineStatus) {
        let mut machines = self.hosts.iter_mut().flat_map(|host| &mut host.machines);
        if let Some(machine) = machines.find(|machine| machine.name == name) {
            if let Some(address) = address {
                machine.address = text::line(address);
            }
            machine.seen = Some(MachineStatus {
                words: text::line(&status.words),
                ..status
            });
        }
    }
}

/// The name of a role in the plural.
pub(super) fn plural(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "balancers",
        Role::Master => "masters",
        Role::Worker => "workers",
    }
}

/// All roles, in the order of the diagram.
const ROLES: [Role; 3] = [Role::LoadBalancer, Role::Master, Role::Worker];

impl Route {
    /// As `443 https → workers:30443`.
    pub(super) fn describe(&self) -> String {
        let to: Vec<_> = self.to.iter().map(|role| plural(*role)).collect();
        format!(
            "{} {} → {}:{}",
            self.port,
            self.name,
            to.join(" and "),
            self.target_port
        )
    }
}

/// The address to which clients connect, and what has it.
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

fn ways(cluster: &Cluster) -> Vec<Route> {
    let api = Route {
        name: "API".to_owned(),
        port: API_PORT,
        target_port: API_PORT,
        to: vec![Role::Master],
    };
    let forwarded = cluster.balancing.forward_ports.iter().map(|port| Route {
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
