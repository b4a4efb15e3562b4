//! XML → the state of a domain: its definition, and the running domain.

use std::path::{Path, PathBuf};

use super::ports::free_ports;
use super::xml::{all, find, text};
use super::{added, metadata};
use crate::observe::{DomainState, Live, Nic, PowerState};
use crate::resource::{Link, Mark};

/// What libvirt reports of a domain.
pub(super) struct DomainXml {
    /// Its definition, as XML.
    pub(super) definition: String,
    /// The running domain, as XML, if it runs.
    pub(super) live: Option<String>,
    pub(super) power: PowerState,
    pub(super) transient: bool,
    pub(super) saved: bool,
}

/// The state of a domain.
pub(super) fn from_xml(xml: &DomainXml) -> Result<DomainState, roxmltree::Error> {
    let document = roxmltree::Document::parse(&xml.definition)?;
    let root = document.root_element();
    let mut max_vcpus = most_vcpus(root);
    let live = match &xml.live {
        Some(xml) => {
            let document = roxmltree::Document::parse(xml)?;
            let root = document.root_element();
            max_vcpus = max_vcpus.min(most_vcpus(root));
            Some(live(root))
        }
        None => None,
    };
    let name = text(root, &["name"]).unwrap_or_default().to_owned();
    let mark = metadata::mark(root);
    // A copy of a machine has its mark, too: the mark is the domain's own only if it has the domain's name.
    let is_own = |mark: &Mark| mark.node.as_ref().is_none_or(|node| node.as_str() == name);
    let (own, others) = match mark.as_ref().is_none_or(is_own) {
        true => (mark, None),
        false => (None, mark),
    };
    let (nic, added) = added::read(root);
    let mut under: Vec<_> = under(root).collect();
    if let Some(xml) = &xml.live {
        let document = roxmltree::Document::parse(xml)?;
        under.extend(self::under(document.root_element()));
    }
    Ok(DomainState {
        name,
        power: xml.power,
        transient: xml.transient,
        saved: xml.saved,
        virt: root.attribute("type").unwrap_or_default().to_owned(),
        mark: own,
        copy_of: others.and_then(|mark| mark.node),
        note: metadata::note(root),
        given: metadata::given(root),
        nic,
        vcpus: vcpus(root),
        max_vcpus,
        memory_mib: memory(root),
        disks: disks(root).filter_map(source).collect(),
        under,
        added,
        live,
    })
}

/// The backing chains of its disks, if they are in the XML.
fn under(root: roxmltree::Node<'_, '_>) -> impl Iterator<Item = PathBuf> {
    let layers = disks(root).flat_map(|disk| disk.descendants());
    layers
        .filter(|layer| layer.has_tag_name("backingStore"))
        .filter_map(source)
}

fn live(root: roxmltree::Node<'_, '_>) -> Live {
    let (nic, added) = added::read(root);
    Live {
        vcpus: vcpus(root),
        memory_mib: most_memory(root),
        balloon_mib: find(root, &["currentMemory"]).and_then(mib),
        disks: disks(root).filter_map(source).collect(),
        nic,
        added,
        free_ports: free_ports(root),
    }
}

pub(super) fn disks<'a, 'input>(
    root: roxmltree::Node<'a, 'input>,
) -> impl Iterator<Item = roxmltree::Node<'a, 'input>> {
    let devices = find(root, &["devices"]).into_iter();
    devices.flat_map(|devices| all(devices, "disk"))
}

/// Where a disk's data are: a path, a pool and volume, or a name in network storage.
pub(super) fn source(disk: roxmltree::Node<'_, '_>) -> Option<PathBuf> {
    let source = find(disk, &["source"])?;
    let path = ["file", "dev", "dir"]
        .iter()
        .find_map(|name| source.attribute(*name));
    if let Some(path) = path {
        return Some(PathBuf::from(path));
    }
    if let (Some(protocol), Some(name)) = (source.attribute("protocol"), source.attribute("name")) {
        return Some(PathBuf::from(format!("{protocol}:{name}")));
    }
    Some(Path::new(source.attribute("pool")?).join(source.attribute("volume")?))
}

pub(super) fn nic(interface: roxmltree::Node<'_, '_>) -> Option<Nic> {
    let source = find(interface, &["source"]);
    let named = |name| source.and_then(|source| Some(source.attribute(name)?.to_owned()));
    Some(Nic {
        mac: find(interface, &["mac"])?
            .attribute("address")?
            .parse()
            .ok()?,
        link: match interface.attribute("type") {
            Some("network") => named("network").map(Link::Network),
            Some("bridge") => named("bridge").map(Link::Bridge),
            _ => None,
        },
    })
}

/// The maximum of processors; it has `current` of them, or all.
pub(super) fn most_vcpus(root: roxmltree::Node<'_, '_>) -> u32 {
    text(root, &["vcpu"])
        .and_then(|count| count.parse().ok())
        .unwrap_or_default()
}

pub(super) fn vcpus(root: roxmltree::Node<'_, '_>) -> u32 {
    find(root, &["vcpu"])
        .and_then(|vcpu| vcpu.attribute("current")?.parse().ok())
        .unwrap_or_else(|| most_vcpus(root))
}

/// The memory that it has after its start: what its balloon leaves of the whole.
pub(super) fn memory(root: roxmltree::Node<'_, '_>) -> u64 {
    let balloon = find(root, &["currentMemory"]).and_then(mib);
    most_memory(root).min(balloon.unwrap_or(u64::MAX))
}

fn most_memory(root: roxmltree::Node<'_, '_>) -> u64 {
    find(root, &["memory"]).and_then(mib).unwrap_or_default()
}

/// An amount of memory, in MiB; libvirt writes it in KiB if it names no unit.
fn mib(memory: roxmltree::Node<'_, '_>) -> Option<u64> {
    let amount: u64 = memory.text()?.trim().parse().ok()?;
    Some(match memory.attribute("unit") {
        Some("b" | "bytes") => amount >> 20,
        None | Some("k" | "KiB") => amount >> 10,
        Some("G" | "GiB") => amount << 10,
        _ => amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_domain_has_is_what_it_gets_at_its_start() {
        let domain = |current: &str, devices: &str| {
            format!(
                "<domain><name>n</name><memory unit='KiB'>4194304</memory><currentMemory unit='KiB'>{current}</currentMemory>\
                 <vcpu>2</vcpu><devices>{devices}</devices></domain>"
            )
        };
        let nic = "<interface type='bridge'><mac address='52:54:00:11:22:33'/><source bridge='br0'/></interface>";
        let read = |current: &str| {
            let xml = DomainXml {
                definition: domain(current, nic),
                live: Some(domain("3145728", "")),
                power: PowerState::Running,
                transient: true,
                saved: false,
            };
            from_xml(&xml).unwrap()
        };
        assert_eq!(read("4194304").memory_mib, 4096);
        let shrunk = read("2097152");
        assert_eq!(shrunk.memory_mib, 2048);
        assert!(shrunk.transient && shrunk.nic.is_some());
        let live = shrunk.live.unwrap();
        assert_eq!((live.memory_mib, live.nic), (4096, None));
        assert_eq!(live.balloon_mib, Some(3072));
    }

    #[test]
    fn what_lies_under_disks_is_told() {
        let xml = DomainXml {
            definition: "<domain><name>n</name><devices><disk><source file='/c'/></disk></devices></domain>".into(),
            live: Some(
                "<domain><name>n</name><devices><disk><source file='/c'/><backingStore type='file'><source file='/b'/>\
                 <backingStore type='file'><source file='/a'/><backingStore/></backingStore></backingStore></disk></devices></domain>"
                    .into(),
            ),
            power: PowerState::Running,
            transient: false,
            saved: false,
        };
        let domain = from_xml(&xml).unwrap();
        assert_eq!(domain.disks, [Path::new("/c")]);
        assert_eq!(domain.under, [Path::new("/b"), Path::new("/a")]);
    }
}
