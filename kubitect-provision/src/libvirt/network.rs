//! Networks ⇄ XML.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

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
        .dhcp_ranges()
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

/// The XML of a lock: a network without addresses, on a bridge that does not exist. It is never started.
pub fn lock_xml(name: &str, holder: &str) -> String {
    Element::new("network")
        .child(Element::text("name", name))
        .child(Element::new("metadata").child(metadata::lock_element(holder)))
        .child(Element::new("forward").attr("mode", "bridge"))
        .child(Element::new("bridge").attr("name", "kubitect-none"))
        .document()
}

/// The holder in the XML of a lock; empty if it is no lock of Kubitect.
pub(super) fn lock_holder(xml: &str) -> String {
    let document = roxmltree::Document::parse(xml);
    let holder = document
        .ok()
        .and_then(|it| metadata::lock(it.root_element()));
    holder.unwrap_or_default()
}

/// The XML that reserves an address for a machine.
pub(super) fn host_xml(reservation: &Reservation) -> String {
    host(reservation).document()
}

fn host(reservation: &Reservation) -> Element {
    Element::new("host")
        .attr("mac", reservation.mac)
        .attr("name", &reservation.name)
        .attr("ip", reservation.ip)
}

/// The state of a network, from its XML.
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

fn cidr(ip: roxmltree::Node<'_, '_>) -> Option<Ipv4Net> {
    let address: Ipv4Addr = ip.attribute("address")?.parse().ok()?;
    match (ip.attribute("netmask"), ip.attribute("prefix")) {
        (Some(netmask), _) => range(address, netmask.parse().ok()?),
        (None, Some(prefix)) => Some(Ipv4Net::new(address, prefix.parse().ok()?).ok()?.trunc()),
        (None, None) => None,
    }
}

/// A reservation, if it has the form of Kubitect's: with Ethernet address, IPv4 address and a node's name.
fn reservation(host: roxmltree::Node<'_, '_>) -> Option<Reservation> {
    Some(Reservation {
        mac: host.attribute("mac")?.parse().ok()?,
        ip: host.attribute("ip")?.parse().ok()?,
        name: host.attribute("name")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes this can't read the locks of other releases any more.
    #[test]
    fn golden_lock() {
        let xml = lock_xml("kubitect-lock-demo", "{\"version\":1}");
        assert_eq!(
            xml,
            r#"<network>
  <name>kubitect-lock-demo</name>
  <metadata>
    <kubitect-lock:lock xmlns:kubitect-lock="https://kubitect.io/xmlns/libvirt/lock/1" holder="{&quot;version&quot;:1}"/>
  </metadata>
  <forward mode="bridge"/>
  <bridge name="kubitect-none"/>
</network>
"#
        );
        assert_eq!(lock_holder(&xml), "{\"version\":1}");
        assert_eq!(lock_holder("<network><name>x</name></network>"), "");
        assert_eq!(lock_holder("no XML"), "");
    }
}
