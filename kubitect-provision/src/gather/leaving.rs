//! [`Leaving`]: machines of a cluster that exist and are no longer in its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::{GiB, Label, Mac, Name};
use kubitect_config::{Cluster, NodeFacts};

use super::facts;
use crate::observe::{DomainState, HostState, Observed, PowerState};

/// A machine of the cluster that exists and is no longer in its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    /// Its name.
    pub name: Label,
    /// Its role, derived from its name.
    pub role: Role,
    /// Its id, derived from its name.
    pub id: Label,
    /// The host that carries it.
    pub host: Name,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its address, if its mark, a reservation or a lease says it.
    pub ip: Option<Ipv4Addr>,
    /// Its virtual processors.
    pub cpu: u32,
    /// Its memory.
    pub ram: GiB,
    /// Whether it runs.
    pub power: PowerState,
}

impl Leaving {
    /// The machine as a node of a cluster, complete enough to remove it from Kubernetes. Disks, labels and taints are not filled
    /// in.
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

    /// Whether a login on it may succeed: it runs and its address is known.
    pub fn answers(&self) -> bool {
        self.power == PowerState::Running && self.ip.is_some()
    }

    /// Its facts, if its address is known, with this host key (`ssh-ed25519 AAAA…`; empty if that is lost).
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
        hosts.flat_map(|(name, host)| host.domains.iter().map(move |domain| (name, host, domain)));
    let unwanted = domains.filter(|(_, _, domain)| !wanted.contains(domain.name.as_str()));
    let leaving =
        unwanted.filter_map(|(name, host, domain)| machine_of(cluster, name, host, domain));
    let mut leaving: Vec<_> = leaving.collect();
    leaving.sort_by(|a, b| a.name.cmp(&b.name));
    leaving
}

/// The machine of a domain that the configuration does not name; none if the domain is not this cluster's.
fn machine_of(
    cluster: &Cluster,
    host_name: &Name,
    host: &HostState,
    domain: &DomainState,
) -> Option<Leaving> {
    let mark = domain
        .mark
        .as_ref()
        .filter(|_| domain.is_of(&cluster.name))?;
    let (role, id) = role_and_id(&cluster.name, &domain.name)?;
    let name: Label = domain.name.parse().ok()?;
    let mac = domain.mac();
    let certain = mark.address.or_else(|| host.reserved_address(cluster, mac));
    Some(Leaving {
        role,
        id,
        host: host_name.clone(),
        mac,
        ip: certain.or_else(|| host.leased_address(cluster, &name, mac)),
        name,
        cpu: domain.vcpus,
        ram: GiB(u32::try_from(domain.memory_mib.div_ceil(1024)).unwrap_or(u32::MAX)),
        power: domain.power,
    })
}

/// The role and the id in a machine's name.
fn role_and_id(cluster: &Label, name: &str) -> Option<(Role, Label)> {
    let rest = name.strip_prefix(cluster.as_str())?.strip_prefix('-')?;
    [Role::LoadBalancer, Role::Master, Role::Worker]
        .into_iter()
        .find_map(|role| {
            let id = rest.strip_prefix(role.infix())?.strip_prefix('-')?;
            Some((role, id.parse().ok()?))
        })
}
