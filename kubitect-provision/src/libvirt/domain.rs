//! Domains ⇄ XML.
//!
//! Everything is virtio: cloud kernels often have no AHCI, and a seed on a SATA CD-ROM would never be seen by them.

use std::path::{Path, PathBuf};

use kubitect_config::cluster::CpuMode;

use super::metadata;
use super::xml::{Element, all, find, text};
use crate::observe::{DomainState, PowerState};
use crate::resource::{Disk, Domain, Format, Link};

/// The XML that defines a domain.
pub fn to_xml(domain: &Domain) -> String {
    Element::new("domain")
        .attr("type", &domain.virt)
        .child(Element::text("name", &domain.name))
        .child(metadata::metadata(&domain.mark()))
        .child(Element::text("memory", domain.memory_mib).attr("unit", "MiB"))
        .child(Element::text("vcpu", domain.vcpus))
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

fn cpu(domain: &Domain) -> Element {
    let mode = match domain.cpu.mode {
        CpuMode::Custom => "custom",
        CpuMode::HostModel => "host-model",
        CpuMode::HostPassthrough => "host-passthrough",
        CpuMode::Maximum => "maximum",
    };
    let element = Element::new("cpu").attr("mode", mode);
    match &domain.cpu.model {
        Some(model) => element
            .attr("match", "exact")
            // Emulation lacks a few features of its own models; the guest does without them.
            .attr("check", "none")
            .child(Element::text("model", model).attr("fallback", "forbid")),
        None => element,
    }
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
        .children(domain.disks.iter().enumerate().map(disk))
        .child(interface(domain))
        .child(
            Element::new("serial").attr("type", "pty").child(
                Element::new("log")
                    .attr("file", domain.console.display())
                    .attr("append", "on"),
            ),
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

fn disk((index, disk): (usize, &Disk)) -> Element {
    let mut driver = Element::new("driver")
        .attr("name", "qemu")
        .attr("type", disk.format.as_str());
    if disk.format == Format::Qcow2 {
        // What the guest no longer uses is given back to the host.
        driver = driver.attr("discard", "unmap");
    }
    let element = Element::new("disk")
        .attr("type", "file")
        .attr("device", "disk")
        .child(driver)
        .child(Element::new("source").attr("file", disk.path.display()))
        .child(
            Element::new("target")
                .attr("dev", target(index))
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

fn interface(domain: &Domain) -> Element {
    let (kind, source) = match &domain.link {
        Link::Network(name) => ("network", Element::new("source").attr("network", name)),
        Link::Bridge(name) => ("bridge", Element::new("source").attr("bridge", name)),
    };
    Element::new("interface")
        .attr("type", kind)
        .child(Element::new("mac").attr("address", domain.mac))
        .child(source)
        .child(Element::new("model").attr("type", "virtio"))
}

/// What a domain's XML tells.
pub(super) fn from_xml(xml: &str, power: PowerState) -> Result<DomainState, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let root = document.root_element();
    let disks = find(root, &["devices"])
        .into_iter()
        .flat_map(|devices| all(devices, "disk"))
        .filter_map(|disk| {
            let source = find(disk, &["source"])?;
            match source.attribute("file") {
                Some(file) => Some(PathBuf::from(file)),
                None => {
                    Some(Path::new(source.attribute("pool")?).join(source.attribute("volume")?))
                }
            }
        })
        .collect();
    Ok(DomainState {
        name: text(root, &["name"]).unwrap_or_default().to_owned(),
        power,
        mark: metadata::mark(root),
        note: metadata::note(root),
        vcpus: text(root, &["vcpu"])
            .and_then(|count| count.parse().ok())
            .unwrap_or_default(),
        memory_mib: find(root, &["memory"]).and_then(mib).unwrap_or_default(),
        disks,
    })
}

/// An amount of memory in MiB; libvirt tells it in KiB.
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
    use super::target;

    #[test]
    fn disks_are_named_as_the_kernel_names_them() {
        let names: Vec<_> = [0, 1, 25, 26, 27, 701, 702].map(target).into();
        assert_eq!(
            names,
            ["vda", "vdb", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]
        );
    }
}
