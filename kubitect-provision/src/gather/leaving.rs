//! [`Leaving`]: machines of a cluster that are there and no longer in its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::{GiB, Label, Mac, Name};
use kubitect_config::{Cluster, NodeFacts};

use super::{facts, reserved};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::observe::PowerState;
use crate::{Error, claim};

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

/// The machines of the cluster that libvirt has and the configuration has not, in the order of their names. Reads libvirt
/// only, and waits for nothing.
pub fn leaving(cluster: &Cluster, hosts: &Hosts) -> Result<Vec<Leaving>, Error> {
    let wanted: BTreeSet<&str> = cluster
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let found = hosts.ask(|name, host| leaving_on(cluster, &wanted, name, host))?;
    let mut leaving: Vec<_> = found.into_iter().flat_map(|(_, own)| own).collect();
    leaving.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(leaving)
}

/// The machines of the cluster on this host that are none of those wanted.
fn leaving_on(
    cluster: &Cluster,
    wanted: &BTreeSet<&str>,
    host: &Name,
    hypervisor: &dyn Hypervisor,
) -> Result<Vec<Leaving>, Failure> {
    let networks = hypervisor.networks()?;
    let mut leaving = Vec::new();
    for domain in hypervisor.domains()? {
        let Some(mark) = domain.mark.filter(|mark| mark.cluster == cluster.name) else {
            continue;
        };
        let (Some((role, id)), Ok(name)) = (
            parts(&cluster.name, &domain.name),
            domain.name.parse::<Label>(),
        ) else {
            continue;
        };
        if wanted.contains(domain.name.as_str()) {
            continue;
        }
        // Where its interface is gone, the address that was derived for it.
        let mac = domain
            .nic
            .map_or_else(|| Mac::derived(&domain.name), |nic| nic.mac);
        let mut ip = mark.address.or_else(|| reserved(cluster, &networks, mac));
        if ip.is_none() && domain.power == PowerState::Running {
            let told = hypervisor.addresses(&name)?;
            ip = claim::first(cluster, &name, mac, &told);
        }
        leaving.push(Leaving {
            name,
            role,
            id,
            host: host.clone(),
            mac,
            ip,
            cpu: domain.vcpus,
            ram: GiB(u32::try_from(domain.memory_mib.div_ceil(1024)).unwrap_or(u32::MAX)),
            power: domain.power,
        });
    }
    Ok(leaving)
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
