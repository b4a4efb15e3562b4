//! Addresses that networks keep for machines, and those that guests claim: which of them may be theirs.
//!
//! On an existing bridge, the guest's own agent says which address it has, so a hostile one may name any: another machine's,
//! to be taken for it.

use std::net::{Ipv4Addr, UdpSocket};

use kubitect_config::Cluster;
use kubitect_config::value::{Label, Mac};

use crate::resource::Reservation;
use crate::state::{HostState, NetworkState};

impl HostState {
    /// The address that the cluster's network has reserved for this Ethernet address.
    pub(crate) fn reserved(&self, cluster: &Cluster, mac: Mac) -> Option<Ipv4Addr> {
        reserved(cluster, &self.networks, mac)
    }

    /// The address of a machine that is neither fixed nor reserved: leased to it, or claimed by its agent, if it may have that.
    pub(crate) fn leased(&self, cluster: &Cluster, name: &Label, mac: Mac) -> Option<Ipv4Addr> {
        let answers = self.addresses.get(name.as_str())?;
        first(cluster, &self.networks, name, mac, answers)
    }
}

/// The address that the cluster's network has reserved for this Ethernet address.
pub(crate) fn reserved(cluster: &Cluster, networks: &[NetworkState], mac: Mac) -> Option<Ipv4Addr> {
    let mut reservations = reservations(cluster, networks);
    Some(reservations.find(|own| own.mac == mac)?.ip)
}

/// What the cluster's network has reserved.
fn reservations<'n>(
    cluster: &Cluster,
    networks: &'n [NetworkState],
) -> impl Iterator<Item = &'n Reservation> {
    let name = cluster.network_name();
    let own = networks.iter().filter(move |network| network.name == name);
    own.flat_map(|network| &network.reservations)
}

/// The first of the addresses that a machine may have: inside of the cluster's range, and nobody else's by the configuration or by
/// what its network has reserved.
pub(crate) fn first(
    cluster: &Cluster,
    networks: &[NetworkState],
    node: &Label,
    mac: Mac,
    claimed: &[(Mac, Ipv4Addr)],
) -> Option<Ipv4Addr> {
    let is_kept = |ip: Ipv4Addr| {
        let mut kept = reservations(cluster, networks);
        kept.any(|other| other.mac != mac && other.ip == ip)
    };
    let own = claimed.iter().filter(|(its, _)| *its == mac);
    own.map(|(_, ip)| *ip)
        .find(|ip| may_have(cluster, node, *ip) && !is_kept(*ip))
}

fn may_have(cluster: &Cluster, node: &Label, ip: Ipv4Addr) -> bool {
    let range = cluster.network.cidr;
    let mut others = cluster.nodes.iter().filter(|other| other.name != *node);
    range.contains(&ip)
        && ip != range.network()
        && ip != range.broadcast()
        && ip != cluster.network.gateway
        && cluster.balancing.vip != Some(ip)
        && !cluster.guest.dns.contains(&ip)
        && others.all(|other| other.ip != Some(ip))
        && !is_host(cluster, ip)
}

/// Whether a host has the address, or this machine.
fn is_host(cluster: &Cluster, ip: Ipv4Addr) -> bool {
    let text = ip.to_string();
    let jumps = cluster
        .hosts
        .iter()
        .filter_map(|host| host.connection.jump());
    jumps.into_iter().any(|jump| jump.address == text)
        || (only_own_can_be_bound() && UdpSocket::bind((ip, 0)).is_ok())
}

/// Whether this machine's kernel gives a program no address that it has not itself.
fn only_own_can_be_bound() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind")
        .is_ok_and(|set| set.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn what_is_somebody_elses_or_outside_is_not_believed() {
        let mut cluster = cluster();
        let node = cluster.nodes[0].clone();
        let range = cluster.network.cidr;
        let free = range
            .hosts()
            .find(|ip| may_have(&cluster, &node.name, *ip))
            .unwrap();
        let other: Ipv4Addr = range.hosts().nth(99).unwrap();
        cluster.balancing.vip = range.hosts().nth(98);
        cluster.nodes[1].ip = Some(other);
        let taken = [
            Ipv4Addr::LOCALHOST,
            "203.0.113.9".parse().unwrap(),
            range.network(),
            range.broadcast(),
            cluster.network.gateway,
            cluster.balancing.vip.unwrap(),
            other,
        ];
        let claimed: Vec<_> = taken
            .iter()
            .chain([&free])
            .map(|ip| (node.mac, *ip))
            .collect();
        let first = |cluster: &Cluster, networks: &[NetworkState], claimed: &[(Mac, Ipv4Addr)]| {
            super::first(cluster, networks, &node.name, node.mac, claimed)
        };
        assert_eq!(first(&cluster, &[], &claimed), Some(free));
        assert_eq!(first(&cluster, &[], &claimed[..7]), None);
        let stranger = Mac::derived("stranger");
        assert_eq!(first(&cluster, &[], &[(stranger, free)]), None);
        let network = |mac| NetworkState {
            name: cluster.network_name(),
            active: true,
            mark: None,
            bridge: None,
            cidr: None,
            reservations: vec![Reservation {
                mac,
                ip: free,
                name: "somebody".parse().unwrap(),
            }],
        };
        let (own, others) = (network(node.mac), network(stranger));
        assert_eq!(first(&cluster, &[own], &claimed), Some(free));
        assert_eq!(first(&cluster, &[others], &claimed), None);
        cluster.hosts[0].connection =
            kubitect_config::cluster::Connection::Uri(format!("qemu+ssh://{free}/system"));
        assert_eq!(first(&cluster, &[], &claimed), None);
    }
}
