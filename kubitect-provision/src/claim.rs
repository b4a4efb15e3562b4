//! Which reserved, leased or reported address is taken for a machine's.
//!
//! On an existing bridge, only the guest's own agent reports the machine's address. A hostile guest may report any, as another
//! machine's, to receive what is meant for that machine. So an address is refused that can't be the machine's.

use std::net::{Ipv4Addr, UdpSocket};

use kubitect_config::Cluster;
use kubitect_config::value::{Label, Mac};

use crate::resource::Reservation;
use crate::state::{HostState, NetworkState};

impl HostState {
    /// The address that the cluster's network has reserved for this Ethernet address.
    pub(crate) fn reserved_address(&self, cluster: &Cluster, mac: Mac) -> Option<Ipv4Addr> {
        reserved_address(cluster, &self.networks, mac)
    }

    /// The address of a machine without a fixed or reserved one: leased to it, or reported by its agent, if it is allowed.
    pub(crate) fn leased_address(
        &self,
        cluster: &Cluster,
        name: &Label,
        mac: Mac,
    ) -> Option<Ipv4Addr> {
        let answers = self.addresses.get(name.as_str())?;
        first_allowed(cluster, &self.networks, name, mac, answers)
    }
}

/// The address that the cluster's network has reserved for this Ethernet address.
pub(crate) fn reserved_address(
    cluster: &Cluster,
    networks: &[NetworkState],
    mac: Mac,
) -> Option<Ipv4Addr> {
    let mut reservations = reservations(cluster, networks);
    Some(reservations.find(|own| own.mac == mac)?.ip)
}

/// The reservations of the cluster's network.
fn reservations<'n>(
    cluster: &Cluster,
    networks: &'n [NetworkState],
) -> impl Iterator<Item = &'n Reservation> {
    let name = cluster.network_name();
    let own = networks.iter().filter(move |network| network.name == name);
    own.flat_map(|network| &network.reservations)
}

/// The first of the claimed addresses that a machine is allowed to have: in the cluster's range, and not another machine's by the
/// configuration or by the network's reservations.
pub(crate) fn first_allowed(
    cluster: &Cluster,
    networks: &[NetworkState],
    node: &Label,
    mac: Mac,
    claimed: &[(Mac, Ipv4Addr)],
) -> Option<Ipv4Addr> {
    let is_reserved = |ip: Ipv4Addr| {
        let mut all = reservations(cluster, networks);
        all.any(|other| other.mac != mac && other.ip == ip)
    };
    let own = claimed.iter().filter(|(claimant, _)| *claimant == mac);
    own.map(|(_, ip)| *ip)
        .find(|ip| is_allowed(cluster, node, *ip) && !is_reserved(*ip))
}

/// Whether a machine may have the address: it is in the cluster's range, and not that of the network, gateway, VIP, DNS server, another
/// machine or a host.
fn is_allowed(cluster: &Cluster, node: &Label, ip: Ipv4Addr) -> bool {
    let range = cluster.network.cidr;
    let mut others = cluster.nodes.iter().filter(|other| other.name != *node);
    range.contains(&ip)
        && ip != range.network()
        && ip != range.broadcast()
        && ip != cluster.network.gateway
        && cluster.balancing.vip != Some(ip)
        && !cluster.guest.dns.contains(&ip)
        && others.all(|other| other.ip != Some(ip))
        && !is_address_of_host(cluster, ip)
}

/// Whether the address is that of a host of the cluster, or of the machine that Kubitect runs on.
fn is_address_of_host(cluster: &Cluster, ip: Ipv4Addr) -> bool {
    let text = ip.to_string();
    let jumps = cluster
        .hosts
        .iter()
        .filter_map(|host| host.connection.jump());
    jumps.into_iter().any(|jump| jump.address == text)
        || (binds_only_own_addresses() && UdpSocket::bind((ip, 0)).is_ok())
}

/// Whether a program can bind only addresses that this machine has: then a successful bind shows that it has the address.
fn binds_only_own_addresses() -> bool {
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
            .find(|ip| is_allowed(&cluster, &node.name, *ip))
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
        let first_allowed =
            |cluster: &Cluster, networks: &[NetworkState], claimed: &[(Mac, Ipv4Addr)]| {
                super::first_allowed(cluster, networks, &node.name, node.mac, claimed)
            };
        assert_eq!(first_allowed(&cluster, &[], &claimed), Some(free));
        assert_eq!(first_allowed(&cluster, &[], &claimed[..7]), None);
        let stranger = Mac::derived("stranger");
        assert_eq!(first_allowed(&cluster, &[], &[(stranger, free)]), None);
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
        assert_eq!(first_allowed(&cluster, &[own], &claimed), Some(free));
        assert_eq!(first_allowed(&cluster, &[others], &claimed), None);
        cluster.hosts[0].connection =
            kubitect_config::cluster::Connection::Uri(format!("qemu+ssh://{free}/system"));
        assert_eq!(first_allowed(&cluster, &[], &claimed), None);
    }
}
