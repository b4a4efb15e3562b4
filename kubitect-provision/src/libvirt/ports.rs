//! The ports of a machine that devices are plugged into: each takes one, and only what is free takes one while it runs.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::xml::{Element, all, find};
use crate::resource::Domain;

/// How many disks can be given to a machine while it runs: so many of q35's ports stay free for them.
pub(super) const SPARE_PORTS: usize = 8;
/// libvirt's name of a port.
pub(super) const ROOT_PORT: &str = "pcie-root-port";
/// Devices besides the disks that take a port: network interface, serial channel, random numbers, balloon, USB.
const OTHER_PORTS: usize = 5;

/// The ports that devices are plugged into, with some to spare. Other machines than q35 have what libvirt provides.
pub(super) fn ports(domain: &Domain) -> Vec<Element> {
    if domain.arch != "x86_64" {
        return Vec::new();
    }
    let root = Element::new("controller")
        .attr("type", "pci")
        .attr("index", 0)
        .attr("model", "pcie-root");
    let count = domain.disks.len() + OTHER_PORTS + SPARE_PORTS;
    std::iter::once(root)
        .chain((0..count).map(|_| port()))
        .collect()
}

/// A port for one device.
pub(super) fn port() -> Element {
    Element::new("controller")
        .attr("type", "pci")
        .attr("model", ROOT_PORT)
}

/// How many of a machine's ports are free. Nothing where it has none, as on other machines than q35, or where it is not seen
/// which are.
pub(super) fn free_ports(root: Node<'_, '_>) -> Option<u32> {
    let devices = find(root, &["devices"])?;
    let controllers = all(devices, "controller");
    let ports = controllers.filter(|own| own.attribute("model") == Some(ROOT_PORT));
    let ports: BTreeSet<u32> = ports
        .filter_map(|port| port.attribute("index")?.parse().ok())
        .collect();
    let taken: BTreeSet<u32> = devices.children().filter_map(bus).collect();
    match ports.is_empty() || taken.is_empty() {
        true => None,
        false => u32::try_from(ports.difference(&taken).count()).ok(),
    }
}

/// The bus that a device is on; a port is a bus of its own.
fn bus(device: Node<'_, '_>) -> Option<u32> {
    let address = find(device, &["address"])?;
    let bus = address.attribute("bus")?;
    let is_pci = address.attribute("type") == Some("pci");
    is_pci
        .then(|| u32::from_str_radix(bus.trim_start_matches("0x"), 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_until_a_device_is_on_its_bus() {
        let port = |index: u32| {
            format!(
                "<controller type='pci' index='{index}' model='pcie-root-port'><address type='pci' domain='0x0000' bus='0x00' \
                 slot='0x02' function='0x{index:x}'/></controller>"
            )
        };
        let disk = |bus: u32| {
            format!(
                "<disk><source file='/d'/><address type='pci' domain='0x0000' bus='0x{bus:02x}' slot='0x00' function='0x0'/></disk>"
            )
        };
        let free = |devices: &str| {
            let text = format!("<domain><devices>{devices}</devices></domain>");
            free_ports(roxmltree::Document::parse(&text).unwrap().root_element())
        };
        let ports: String = [1, 2, 16].map(port).concat();
        assert_eq!(free(&ports), Some(3));
        assert_eq!(free(&(ports.clone() + &disk(16))), Some(2));
        let usb = "<input><address type='usb' bus='1' port='1'/></input>";
        assert_eq!(free(&(ports.clone() + &disk(16) + &disk(1) + usb)), Some(1));
        assert_eq!(free(&(ports + &disk(16) + &disk(1) + &disk(2))), Some(0));
        // None are seen: a driver that gives no addresses, and another machine.
        assert_eq!(
            free("<controller type='pci' index='1' model='pcie-root-port'/>"),
            None
        );
        assert_eq!(free(&disk(0)), None);
    }
}
