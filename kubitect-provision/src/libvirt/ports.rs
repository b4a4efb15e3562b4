//! The PCIe root ports of a machine: each device takes one, and a device can be hot-plugged only into a free one.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::xml::{Element, all, find};
use crate::resource::Domain;

/// How many ports a new machine has free, for disks that are hot-plugged.
pub(super) const SPARE_PORTS: usize = 8;
/// libvirt's name of a port.
pub(super) const ROOT_PORT: &str = "pcie-root-port";
/// How many devices besides the disks take a port: network interface, virtio-serial, random numbers, balloon, USB.
const OTHER_PORTS: usize = 5;

/// The ports of a new machine, free ones included. Only q35 gets them; on other machine types libvirt adds what it needs.
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

/// How many of a machine's ports are free. None if it has no ports, as on other machine types than q35, or if its definition has no
/// addresses.
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

/// The bus that a device is on; each port is a bus.
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
