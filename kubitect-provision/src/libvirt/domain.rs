//! Domains → XML.
//!
//! Everything is virtio: cloud kernels often have no AHCI, and a seed on a SATA CD-ROM would never be seen by them.

use std::path::Path;

use kubitect_config::cluster::CpuMode;

use super::domain_state::{disks, source};
use super::metadata;
use super::ports::ports;
use super::xml::{Element, find};
use crate::resource::{Disk, Domain, Format, Link};

/// The XML that defines a new domain.
pub fn to_xml(domain: &Domain) -> String {
    let mut vcpu = Element::text("vcpu", domain.max_vcpus.max(domain.vcpus));
    if domain.max_vcpus > domain.vcpus {
        vcpu = vcpu.attr("current", domain.vcpus);
    }
    Element::new("domain")
        .attr("type", &domain.virt)
        .child(Element::text("name", &domain.name))
        .child(metadata::metadata(&domain.mark(), domain.note.as_deref()))
        .child(Element::text("memory", domain.memory_mib).attr("unit", "MiB"))
        .child(vcpu)
        .child(os(domain))
        .child(
            Element::new("features")
                .child(Element::new("acpi"))
                .child(Element::new("apic")),
        )
        .child(cpu(domain))
        .child(Element::new("clock").attr("offset", "utc"))
        .child(Element::text("on_poweroff", "destroy"))
        .child(Element::text("on_reboot", "restart"))
        .child(Element::text("on_crash", "restart"))
        .child(devices(domain))
        .document()
}

fn os(domain: &Domain) -> Element {
    let mut kind = Element::text("type", "hvm").attr("arch", &domain.arch);
    if domain.arch == "x86_64" {
        kind = kind.attr("machine", "q35");
    }
    Element::new("os")
        .child(kind)
        .child(Element::new("boot").attr("dev", "hd"))
}

pub(super) fn cpu(domain: &Domain) -> Element {
    let element = Element::new("cpu").attr("mode", cpu_mode(domain));
    let Some(model) = cpu_model(domain) else {
        return element;
    };
    let with = |element: Element, (name, value)| element.attr(name, value);
    MODEL.into_iter().fold(element, with).child(model)
}

/// The attributes of a processor with a model. `check=none`: emulation lacks a few features of its own models, and the guest does without
/// them.
pub(super) const MODEL: [(&str, &str); 2] = [("match", "exact"), ("check", "none")];

pub(super) fn cpu_mode(domain: &Domain) -> &'static str {
    match domain.cpu.mode {
        CpuMode::Custom => "custom",
        CpuMode::HostModel => "host-model",
        CpuMode::HostPassthrough => "host-passthrough",
        CpuMode::Maximum => "maximum",
    }
}

pub(super) fn cpu_model(domain: &Domain) -> Option<Element> {
    let model = domain.cpu.model.as_ref()?;
    Some(Element::text("model", model).attr("fallback", "forbid"))
}

fn devices(domain: &Domain) -> Element {
    let agent = Element::new("channel").attr("type", "unix").child(
        Element::new("target")
            .attr("type", "virtio")
            .attr("name", "org.qemu.guest_agent.0"),
    );
    let rng = Element::new("rng")
        .attr("model", "virtio")
        .child(Element::text("backend", "/dev/urandom").attr("model", "random"));
    Element::new("devices")
        .children(
            domain
                .disks
                .iter()
                .enumerate()
                .map(|(index, each)| disk(&target(index), each)),
        )
        .children(ports(domain))
        .child(interface(domain))
        .child(
            Element::new("serial")
                .attr("type", "pty")
                .child(console_log(domain)),
        )
        .child(
            Element::new("console").attr("type", "pty").child(
                Element::new("target")
                    .attr("type", "serial")
                    .attr("port", 0),
            ),
        )
        .child(agent)
        .child(rng)
        .child(Element::new("memballoon").attr("model", "virtio"))
}

/// The file that libvirt writes the serial console to.
pub(super) fn console_log(domain: &Domain) -> Element {
    Element::new("log")
        .attr("file", domain.console.display())
        .attr("append", "on")
}

/// The XML that attaches a disk to a domain with these targets.
pub(super) fn disk_xml(xml: &str, wanted: &Disk) -> Result<String, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let free = free_targets(document.root_element()).next();
    Ok(disk(&free.unwrap_or_default(), wanted).document())
}

/// The target names for virtio disks that are free in a domain: vda, vdb and so on.
pub(super) fn free_targets(root: roxmltree::Node<'_, '_>) -> impl Iterator<Item = String> {
    let named = |disk| Some(find(disk, &["target"])?.attribute("dev")?.to_owned());
    let taken: Vec<String> = disks(root).filter_map(named).collect();
    (0..).map(target).filter(move |name| !taken.contains(name))
}

/// The XML of the disk with this path, from the domain's XML.
pub(super) fn disk_of(xml: &str, path: &Path) -> Result<Option<String>, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let found = disks(document.root_element())
        .find(|disk| source(*disk).is_some_and(|source| source == path));
    Ok(found.and_then(|disk| xml.get(disk.range()).map(str::to_owned)))
}

pub(super) fn disk(target: &str, disk: &Disk) -> Element {
    let mut driver = Element::new("driver")
        .attr("name", "qemu")
        .attr("type", disk.format.as_str());
    if disk.format == Format::Qcow2 {
        // Blocks that the guest discards are freed on the host.
        driver = driver.attr("discard", "unmap");
    }
    let element = Element::new("disk")
        .attr("type", "file")
        .attr("device", "disk")
        .child(driver)
        .child(Element::new("source").attr("file", disk.path.display()))
        .child(
            Element::new("target")
                .attr("dev", target)
                .attr("bus", "virtio"),
        )
        .child(Element::text("serial", &disk.serial));
    if disk.readonly {
        element.child(Element::new("readonly"))
    } else {
        element
    }
}

/// The name of the n-th virtio disk: vda … vdz, vdaa …
fn target(mut index: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + (index % 26) as u8));
        if index < 26 {
            break;
        }
        index = index / 26 - 1;
    }
    letters.push('d');
    letters.push('v');
    letters.iter().rev().collect()
}

pub(super) fn interface(domain: &Domain) -> Element {
    Element::new("interface")
        .attr("type", interface_type(&domain.link))
        .child(Element::new("mac").attr("address", domain.mac))
        .child(interface_source(&domain.link))
        .child(Element::new("model").attr("type", "virtio"))
}

pub(super) fn interface_type(link: &Link) -> &'static str {
    match link {
        Link::Network(_) => "network",
        Link::Bridge(_) => "bridge",
    }
}

pub(super) fn interface_source(link: &Link) -> Element {
    let (Link::Network(name) | Link::Bridge(name)) = link;
    Element::new("source").attr(interface_type(link), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_named_as_the_kernel_names_them() {
        let names: Vec<_> = [0, 1, 25, 26, 27, 701, 702].map(target).into();
        assert_eq!(
            names,
            ["vda", "vdb", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]
        );
    }
}
