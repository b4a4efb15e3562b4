//! Section `cluster.network`, and the rules for addresses in the network.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::formats;
use crate::cluster::{Network, NetworkMode};
use crate::raw;
use crate::report::{KeyPath, Report, quote};

pub(super) fn network(raw: &raw::Network, path: &KeyPath, report: &mut Report) -> Option<Network> {
    let mode = mode(raw, &path.key("mode"), report);
    let bridge = bridge(raw, mode, path, report);
    let cidr = cidr(raw, path, report);
    if let (Some(cidr), Some(NetworkMode::Nat | NetworkMode::Route)) = (cidr, mode) {
        public(cidr, &path.key("cidr"), report);
    }
    let gateway = cidr.and_then(|cidr| gateway(raw, cidr, path, report));
    Some(Network {
        mode: mode?,
        cidr: cidr?,
        gateway: gateway?,
        bridge: bridge?,
    })
}

/// The mode; `nat` if the file has none. With a `bridge` it must have one: `nat`, `route` and `bridge` all take that key.
fn mode(raw: &raw::Network, path: &KeyPath, report: &mut Report) -> Option<NetworkMode> {
    if raw.mode.is_none() && raw.bridge.is_some() {
        report.missing(path, "use one of nat, route, bridge");
    }
    match raw.mode {
        None if raw.bridge.is_some() || report.is_left_out(path) => None,
        mode => Some(mode.unwrap_or(NetworkMode::Nat)),
    }
}

fn bridge(
    raw: &raw::Network,
    mode: Option<NetworkMode>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Option<String>> {
    let path = path.key("bridge");
    match (&raw.bridge, mode) {
        (Some(bridge), _) => {
            report.checked(&path, "bridge", bridge, formats::interface)?;
            Some(Some(bridge.clone()))
        }
        (None, Some(NetworkMode::Bridge)) => {
            report.missing(
                &path,
                "mode `bridge` needs the name of a bridge that the host has, as `bridge: br0`",
            );
            None
        }
        (None, _) => Some(None),
    }
}

fn cidr(raw: &raw::Network, path: &KeyPath, report: &mut Report) -> Option<Ipv4Net> {
    let path = path.key("cidr");
    let Some(text) = &raw.cidr else {
        report.missing(
            &path,
            "give the network a range, as `cidr: 192.168.113.0/24`",
        );
        return None;
    };
    let Ok(cidr) = text.parse::<Ipv4Net>() else {
        report.error(
            &path,
            "cidr",
            format!("{} is not a range of IPv4 addresses", quote(text)),
            "write it as 192.168.113.0/24",
        );
        return None;
    };
    if cidr.addr() != cidr.network() {
        report.error(
            &path,
            "cidr",
            format!("{text} is an address inside of a range, not the range"),
            format!("write {}", cidr.trunc()),
        );
        return None;
    }
    if !(8..=29).contains(&cidr.prefix_len()) {
        report.error(
            &path,
            "cidr",
            format!(
                "a /{} is not a useful size for a cluster's network",
                cidr.prefix_len()
            ),
            "use a prefix from /8 to /29; /24 holds 253 machines",
        );
        return None;
    }
    let first = cidr.addr().octets()[0];
    if first == 0 || first == 127 || first >= 224 {
        report.error(
            &path,
            "cidr",
            format!("{text} is reserved, machines cannot have its addresses"),
            "use a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
        );
        return None;
    }
    Some(cidr)
}

fn gateway(
    raw: &raw::Network,
    cidr: Ipv4Net,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Ipv4Addr> {
    let Some(text) = &raw.gateway else {
        return Some(Ipv4Addr::from(u32::from(cidr.network()) + 1));
    };
    let path = path.key("gateway");
    let gateway = ipv4(text, &path, report)?;
    in_range(gateway, cidr, &path, report)?;
    Some(gateway)
}

/// An IPv4 address.
pub(super) fn ipv4(text: &str, path: &KeyPath, report: &mut Report) -> Option<Ipv4Addr> {
    let address = text.parse().ok();
    if address.is_none() {
        let help = match suggestion(text) {
            Some(address) => format!("write {address}"),
            None => "write four numbers from 0 to 255, as 192.168.113.10".to_owned(),
        };
        let message = format!("{} is not an IPv4 address", quote(text));
        report.error(path, "address", message, help);
    }
    address
}

/// The address to suggest for a text with a prefix length (`10.0.0.1/24`) or with leading zeros, which some programs read as octal.
fn suggestion(text: &str) -> Option<Ipv4Addr> {
    let plain = text.split('/').next().unwrap_or_default().trim();
    let numbers: Vec<u8> = plain
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let numbers: [u8; 4] = numbers.try_into().ok()?;
    Some(Ipv4Addr::from(numbers))
}

/// Ranges that no host on the Internet has: private ones, those of carriers, and those for documentation and benchmarks.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
];

/// Warns of a public range in mode `nat` or `route`: machines could not reach the Internet's hosts with these addresses.
fn public(cidr: Ipv4Net, path: &KeyPath, report: &mut Report) {
    let has_cidr = |range: &&str| {
        range
            .parse::<Ipv4Net>()
            .is_ok_and(|range| range.contains(&cidr))
    };
    if !PRIVATE.iter().any(has_cidr) {
        report.warning(
            path,
            "cidr-public",
            format!("{cidr} belongs to others on the Internet, whom machines would not reach"),
            "use a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
        );
    }
}

/// An address that a machine of the network can have.
pub(super) fn machine_address(
    text: &str,
    network: Option<&Network>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Ipv4Addr> {
    let address = ipv4(text, path, report)?;
    let Some(network) = network else {
        return Some(address);
    };
    in_range(address, network.cidr, path, report)?;
    if address == network.gateway {
        report.error(
            path,
            "address-gateway",
            format!("{address} is the gateway's address"),
            "use another address of the range",
        );
        return None;
    }
    Some(address)
}

fn in_range(address: Ipv4Addr, cidr: Ipv4Net, path: &KeyPath, report: &mut Report) -> Option<()> {
    let (first, last) = (
        u32::from(cidr.network()) + 1,
        u32::from(cidr.broadcast()) - 1,
    );
    let help = format!(
        "use an address from {} to {}",
        Ipv4Addr::from(first),
        Ipv4Addr::from(last)
    );
    let message = if !cidr.contains(&address) {
        format!("{address} lies outside of {cidr}")
    } else if address == cidr.network() {
        format!("{address} is the address of the network itself")
    } else if address == cidr.broadcast() {
        format!("{address} is the broadcast address of {cidr}")
    } else {
        return Some(());
    };
    report.error(path, "address-range", message, help);
    None
}
