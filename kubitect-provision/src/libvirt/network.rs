//! Networks ⇄ XML.

use std::net::Ipv4Addr;

use super::metadata;
use super::xml::{Element, all, find, text};
use crate::observe::{NetworkState, range};
use crate::resource::{Forward, Network, Reservation};

/// The XML that defines a network.
pub fn to_xml(network: &Network) -> String {
    let mode = match network.forward {
        Forward::Nat => "nat",
        Forward::Route => "route",
    };
    let mut bridge = Element::new("bridge");
    if let Some(name) = &network.bridge {
        bridge = bridge.attr("name", name);
    }
    let ranges = network
        .leased()
        .into_iter()
        .map(|(start, end)| Element::new("range").attr("start", start).attr("end", end));
    let dhcp = Element::new("dhcp")
        .children(ranges)
        .children(network.reservations.iter().map(host));
    Element::new("network")
        .child(Element::text("name", &network.name))
        .child(metadata::metadata(&network.mark(), None))
        .child(Element::new("forward").attr("mode", mode))
        .child(bridge.attr("stp", "on").attr("delay", "0"))
        .child(
            Element::new("ip")
                .attr("address", network.gateway)
                .attr("netmask", network.cidr.netmask())
                .child(dhcp),
        )
        .document()
}

/// The XML that keeps an address for a machine.
pub(super) fn host_xml(reservation: &Reservation) -> String {
    host(reservation).document()
}

fn host(reservation: &Reservation) -> Element {
    Element::new("host")
        .attr("mac", reservation.mac)
        .attr("name", &reservation.name)
        .attr("ip", reservation.ip)
}

/// What a network's XML tells.
pub(super) fn from_xml(xml: &str, active: bool) -> Result<NetworkState, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let root = document.root_element();
    let ip = all(root, "ip").find(|ip| ip.attribute("family").is_none_or(|f| f == "ipv4"));
    Ok(NetworkState {
        name: text(root, &["name"]).unwrap_or_default().to_owned(),
        active,
        mark: metadata::mark(root),
        bridge: find(root, &["bridge"])
            .and_then(|bridge| bridge.attribute("name"))
            .map(str::to_owned),
        cidr: ip.and_then(cidr),
        reservations: ip
            .and_then(|ip| find(ip, &["dhcp"]))
            .map(|dhcp| all(dhcp, "host").filter_map(reservation).collect())
            .unwrap_or_default(),
    })
}

fn cidr(ip: roxmltree::Node<'_, '_>) -> Option<ipnet::Ipv4Net> {
    let address: Ipv4Addr = ip.attribute("address")?.parse().ok()?;
    match (ip.attribute("netmask"), ip.attribute("prefix")) {
        (Some(netmask), _) => range(address, netmask.parse().ok()?),
        (None, Some(prefix)) => ipnet::Ipv4Net::new(address, prefix.parse().ok()?)
            .ok()
            .map(|net| net.trunc()),
        (None, None) => None,
    }
}

/// A reservation, if it is one of the form that we make.
fn reservation(host: roxmltree::Node<'_, '_>) -> Option<Reservation> {
    Some(Reservation {
        mac: host.attribute("mac")?.parse().ok()?,
        ip: host.attribute("ip")?.parse().ok()?,
        name: host.attribute("name")?.parse().ok()?,
    })
}
