//! Reads what a person or another program added to a domain: whatever Kubitect does not write and libvirt does not add.

use kubitect_config::value::Mac;
use roxmltree::Node;

use super::domain_state::{most_vcpus, nic};
use super::metadata;
use super::xml::{all, find, text};
use crate::observe::{Added, Nic};

/// The elements of a definition that Kubitect writes or libvirt adds.
const OWN: [&str; 18] = [
    "name",
    "uuid",
    "metadata",
    "memory",
    "currentMemory",
    "vcpu",
    "vcpus",
    "os",
    "features",
    "cpu",
    "clock",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "pm",
    "resource",
    "seclabel",
    "devices",
];

/// The same of its devices. Disks and network interfaces are compared one by one elsewhere.
const OWN_DEVICES: [&str; 12] = [
    "disk",
    "interface",
    "emulator",
    "controller",
    "serial",
    "console",
    "rng",
    "memballoon",
    "input",
    "audio",
    "video",
    "watchdog",
];

/// The channel of the guest agent, which Kubitect writes.
const AGENT: &str = "org.qemu.guest_agent.0";

/// The network interface that Kubitect made for a domain, and all that was added to the domain.
pub(super) fn read(root: Node<'_, '_>) -> (Option<Nic>, Added) {
    let devices = find(root, &["devices"]);
    let interfaces = devices.into_iter().flat_map(|own| all(own, "interface"));
    let mut nics: Vec<Nic> = interfaces.filter_map(nic).collect();
    let derived = text(root, &["name"]).map(Mac::derived);
    let own = nics.iter().position(|nic| Some(nic.mac) == derived);
    let own = (!nics.is_empty()).then(|| nics.remove(own.unwrap_or(0)));
    let others = devices.into_iter().flat_map(|own| own.children());
    let topology = find(root, &["cpu", "topology"]);
    let added = Added {
        nics,
        devices: others.filter_map(device).collect(),
        settings: settings(root),
        cells: find(root, &["cpu", "numa"]).is_some(),
        topology: topology.map(|_| most_vcpus(root)),
    };
    (own, added)
}

/// A device as text for a person; none if Kubitect writes it or libvirt adds it.
fn device(device: Node<'_, '_>) -> Option<String> {
    let name = element(device, &OWN_DEVICES)?;
    let target = |key| find(device, &["target"])?.attribute(key);
    if target("name") == Some(AGENT) {
        return None;
    }
    let address = || {
        let part = |key: &str| {
            let part = find(device, &["source", "address"])?.attribute(key)?;
            Some(part.trim_start_matches("0x"))
        };
        let (domain, bus) = (part("domain")?, part("bus")?);
        Some(format!(
            "{domain}:{bus}:{}.{}",
            part("slot")?,
            part("function")?
        ))
    };
    let which = address().or_else(|| {
        let named = target("dir").or(target("name"));
        let kind = ["type", "model"]
            .iter()
            .find_map(|key| device.attribute(*key));
        named.or(kind).map(str::to_owned)
    });
    Some(match which {
        Some(which) => format!("{name} {which}"),
        None => name.to_owned(),
    })
}

/// The names of the parts of a definition that were added.
fn settings(root: Node<'_, '_>) -> Vec<String> {
    let of_root = root.children().filter_map(|part| element(part, &OWN));
    let boot = find(root, &["os"]).into_iter().flat_map(|os| os.children());
    let boot = boot.filter_map(|part| element(part, &["type", "boot"]));
    let notes = find(root, &["metadata"])
        .into_iter()
        .flat_map(|metadata| metadata.children());
    let notes = notes.filter(|note| note.is_element() && !metadata::is_own(*note));
    let notes = notes.map(|note| note.tag_name().name());
    of_root
        .chain(boot)
        .chain(notes)
        .map(str::to_owned)
        .collect()
}

/// The name of an element that is none of these.
fn element<'a>(node: Node<'a, '_>, own: &[&str]) -> Option<&'a str> {
    let name = node.tag_name().name();
    (node.is_element() && !own.contains(&name)).then_some(name)
}
