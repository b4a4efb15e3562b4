//! [`Leaving`]: machines of a cluster that are there and no longer in its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::{GiB, Label, Mac, Name};
use kubitect_config::{Cluster, NodeFacts};

use super::facts;
use crate::observe::{DomainState, HostState, Observed, PowerState};

/// A machine of the cluster that is there and no longer in its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    /// Its name.
    pub name: Label,
    /// What it is for, told from its name.
    pub role: Role,
    /// Its id, told from its name.
    pub id: Label,
    /// The host that carries it.
    pub host: Name,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its address, as far as its mark, a reservation or a lease tells.
    pub ip: Option<Ipv4Addr>,
    /// Its virtual processors.
    pub cpu: u32,
    /// Its memory.
    pub ram: GiB,
    /// Whether it runs.
    pub power: PowerState,
}

impl Leaving {
    /// It as a node of a cluster: enough to be taken out of Kubernetes. Its disks, labels and taints are not told.
    pub fn node(&self) -> Node {
        Node {
            role: self.role,
            id: self.id.clone(),
            name: self.name.clone(),
            host: self.host.clone(),
            ip: self.ip,
            mac: self.mac,
            cpu: self.cpu,
            ram: self.ram,
            main_disk: GiB(1),
            data_disks: Vec::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            priority: None,
        }
    }

    /// Whether it may be logged in on.
    pub fn answers(&self) -> bool {
        self.power == PowerState::Running && self.ip.is_some()
    }

    /// What is known of it, if its address is, with this host key (`ssh-ed25519 AAAA…`; empty if that is lost).
    pub fn facts(&self, host_key: String) -> Option<NodeFacts> {
        Some(facts(&self.node(), self.ip?, host_key))
    }
}

/// The machines of the cluster that libvirt has and the configuration has not, in the order of their names.
pub fn leaving(cluster: &Cluster, observed: &Observed) -> Vec<Leaving> {
    let names = cluster.nodes.iter().map(|node| node.name.as_str());
    let wanted: BTreeSet<&str> = names.collect();
    let hosts = observed.hosts.iter();
    let domains =
        hosts.flat_map(|(name, host)| host.domains.iter().map(move |own| (name, host, own)));
    let others = domains.filter(|(_, _, own)| !wanted.contains(own.name.as_str()));
    let leaving = others.filter_map(|(name, host, own)| leaves(cluster, name, host, own));
    let mut leaving: Vec<_> = leaving.collect();
    leaving.sort_by(|one, other| one.name.cmp(&other.name));
    leaving
}

/// A domain that is not wanted, if it is a machine of the cluster.
fn leaves(cluster: &Cluster, on: &Name, host: &HostState, domain: &DomainState) -> Option<Leaving> {
    let mark = domain
        .mark
        .as_ref()
        .filter(|_| domain.is_of(&cluster.name))?;
    let (role, id) = parts(&cluster.name, &domain.name)?;
    let name: Label = domain.name.parse().ok()?;
    let mac = domain.mac();
    let certain = mark.address.or_else(|| host.reserved(cluster, mac));
    Some(Leaving {
        role,
        id,
        host: on.clone(),
        mac,
        ip: certain.or_else(|| host.leased(cluster, &name, mac)),
        name,
        cpu: domain.vcpus,
        ram: GiB(u32::try_from(domain.memory_mib.div_ceil(1024)).unwrap_or(u32::MAX)),
        power: domain.power,
    })
}

/// The role and id that a machine's name tells.
fn parts(cluster: &Label, name: &str) -> Option<(Role, Label)> {
    let rest = name.strip_prefix(cluster.as_str())?.strip_prefix('-')?;
    [Role::LoadBalancer, Role::Master, Role::Worker]
        .into_iter()
        .find_map(|role| {
            let id = rest.strip_prefix(role.infix())?.strip_prefix('-')?;
            Some((role, id.parse().ok()?))
        })
}
