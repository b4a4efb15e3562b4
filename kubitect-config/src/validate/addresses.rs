//! The rules between addresses: machines, hosts, the VIP and the ranges that addons assign to services must not overlap, the
//! network must have room for all, and this machine must have a route to the machines.

use std::net::Ipv4Addr;

use super::root::key;
use crate::cluster::{Addons, Connection, Host, Network, NetworkMode, Node};
use crate::report::{KeyPath, Report, quote};
use crate::service_ranges::{self, ServiceRange};

/// The parts of the cluster whose addresses are compared.
pub(super) struct Addresses<'a> {
    pub hosts: &'a [Host],
    /// The number of hosts in the file. If fewer are valid, the indices in `hosts` are not those of the file.
    pub hosts_of_file: usize,
    pub network: &'a Network,
    pub nodes: &'a [Node],
    pub vip: Option<Ipv4Addr>,
    pub addons: &'a Addons,
}

impl Addresses<'_> {
    /// Reports all addresses that break a rule.
    pub(super) fn check(&self, report: &mut Report) {
        let path = KeyPath::Root;
        let network_path = path.key("cluster");
        let network_path = network_path.key("network");
        self.service_ranges(&path.key("addons").key("kubespray"), report);
        self.room(&network_path.key("cidr"), report);
        if self.hosts.len() == self.hosts_of_file {
            self.hosts(&path.key("hosts"), report);
        }
        self.reach(&network_path.key("mode"), report);
    }

    /// The addresses of this range that the gateway, the VIP, machines or hosts have, each with its owner's name.
    fn taken(&self, first: Ipv4Addr, last: Ipv4Addr) -> Vec<String> {
        let within = |address: &Ipv4Addr| (first..=last).contains(address);
        let gateway = Some(self.network.gateway)
            .filter(within)
            .map(|ip| format!("{ip}, the gateway's address"));
        let vip = self
            .vip
            .filter(within)
            .map(|ip| format!("{ip}, the load balancers' VIP"));
        let nodes = self.nodes.iter().filter_map(|node| {
            let ip = node.ip.filter(within)?;
            let (name, role) = (&node.name, key(node.role));
            Some(format!(
                "{ip}, the address of `{name}` (cluster.nodes.{role})"
            ))
        });
        let hosts = self.hosts.iter().filter_map(|host| {
            let ip = address(host).filter(within)?;
            Some(format!("{ip}, the address of host `{}`", host.name))
        });
        let first = gateway.into_iter().chain(vip);
        first.chain(nodes).chain(hosts).collect()
    }

    /// Ranges that addons assign to services: no other address may be in them, and no two of them may overlap.
    fn service_ranges(&self, path: &KeyPath, report: &mut Report) {
        const CODE: &str = "address-given-out";
        let variables = &self.addons.kubespray;
        service_ranges::faulty(variables, path, &mut |path, text, reason| {
            let message = format!("{} is no range of addresses", quote(text));
            report.error(path, CODE, message, format!("it {reason}"));
        });
        let ranges = service_ranges::service_ranges(variables);
        for (index, range) in ranges.iter().enumerate() {
            let (first, last) = (range.first, range.last);
            let others = ranges[..index]
                .iter()
                .filter(|other| other.overlaps(first, last))
                .map(|other| {
                    format!(
                        "{} to {}, which is given out already",
                        other.first, other.last
                    )
                });
            let taken: Vec<String> = self.taken(first, last).into_iter().chain(others).collect();
            if !taken.is_empty() {
                range.with_path(path, &mut |path| {
                    let taken = first_few(&taken);
                    let message = format!("{first} to {last} are given to services, and overlap {taken}");
                    let help = "give out addresses that nothing else has; machines without `ip` are kept out of them";
                    report.error(path, CODE, message, help);
                });
            }
        }
    }

    /// The network has an address for each machine, without the gateway, the VIP and the addons' ranges.
    fn room(&self, path: &KeyPath, report: &mut Report) {
        let cidr = self.network.cidr;
        let (low, high) = (
            u32::from(cidr.network()) + 1,
            u32::from(cidr.broadcast()) - 1,
        );
        let mut ranges: Vec<(u32, u32)> = service_ranges::service_ranges(&self.addons.kubespray)
            .iter()
            .map(|range: &ServiceRange| (u32::from(range.first), u32::from(range.last)))
            .collect();
        let single = |address: Ipv4Addr| (u32::from(address), u32::from(address));
        ranges.push(single(self.network.gateway));
        ranges.extend(self.vip.map(single));
        ranges.sort_unstable();
        let (mut room, mut next) = (u64::from(high - low) + 1, low);
        for (first, last) in ranges {
            let (first, last) = (first.max(next), last.min(high));
            if first <= last {
                room -= u64::from(last - first) + 1;
                next = last + 1;
            }
        }
        let machines = self.nodes.len();
        if machines as u64 > room {
            report.error(
                path,
                "network-full",
                format!("{machines} machines need an address each, but {cidr} has {room} for them"),
                "take a wider range; the gateway, the VIP and what addons give out need addresses of it, too",
            );
        }
    }

    /// A host's address is not in the machines' own network; in mode `bridge`, no machine and no VIP has it.
    fn hosts(&self, path: &KeyPath, report: &mut Report) {
        let cidr = self.network.cidr;
        for (index, host) in self.hosts.iter().enumerate() {
            let is_used = self.nodes.iter().any(|node| node.host == host.name);
            let Some(ip) = address(host).filter(|ip| is_used && cidr.contains(ip)) else {
                continue;
            };
            let path = path.index(index);
            let path = path.key("connection");
            let path = path.key(match host.connection {
                Connection::Uri(_) => "uri",
                _ => "ip",
            });
            if self.network.mode != NetworkMode::Bridge {
                report.error(
                    &path,
                    "address-host",
                    format!("{ip} lies inside of {cidr}, which is to be the machines' own network"),
                    "choose another `cluster.network.cidr`: the host would no longer be reached",
                );
                continue;
            }
            let node = self.nodes.iter().find(|node| node.ip == Some(ip));
            let who = node
                .map(|node| format!("`{}`", node.name))
                .or_else(|| (self.vip == Some(ip)).then(|| "the load balancers' VIP".to_owned()));
            if let Some(who) = who {
                report.error(
                    &path,
                    "address-host",
                    format!("{ip} is the host's address, and is to be that of {who}"),
                    "give each an address of its own",
                );
            }
        }
    }

    /// Warns of machines on a remote host in libvirt's own network: this machine reaches them only by a route to that host.
    fn reach(&self, path: &KeyPath, report: &mut Report) {
        let cidr = self.network.cidr;
        let mut hosts = self.hosts.iter();
        let is_used = |host: &&Host| self.nodes.iter().any(|node| node.host == host.name);
        let Some(host) = hosts.find(|host| is_used(host) && !host.connection.is_local()) else {
            return;
        };
        let name = &host.name;
        match self.network.mode {
            NetworkMode::Nat => report.warning(
                path,
                "network-remote",
                format!("machines of a `nat` network on the remote host `{name}` are reached by way of that host only"),
                format!(
                    "for `kubectl` on this machine, add a route to {cidr} by way of the host, or a tunnel; or use mode \
                     `bridge`, which gives machines addresses that all reach"
                ),
            ),
            NetworkMode::Route => report.warning(
                path,
                "network-remote",
                format!("machines of a `route` network on the remote host `{name}` are reached by a route to that host only"),
                format!("let this machine, or its router, have a route to {cidr} by way of the host"),
            ),
            NetworkMode::Bridge => {}
        }
    }
}

/// The first four items, and the number of the others.
fn first_few(all: &[String]) -> String {
    const SHOWN: usize = 4;
    match all.len().checked_sub(SHOWN) {
        None | Some(0) => all.join(", and "),
        Some(more) => format!("{}, and {more} more", all[..SHOWN].join(", and ")),
    }
}

/// A host's IP address; none if the file has its name only, or if it is this machine.
fn address(host: &Host) -> Option<Ipv4Addr> {
    match &host.connection {
        Connection::Local => None,
        Connection::Remote { address, .. } => address.parse().ok(),
        Connection::Uri(uri) => crate::address::host(uri)?.parse().ok(),
    }
}
