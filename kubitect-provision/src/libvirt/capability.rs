//! Reads a host's capabilities and resources.

use std::net::Ipv4Addr;

use super::lookup::failed;
use super::{Libvirt, xml};
use crate::hypervisor::Failure;
use crate::observe::{Capability, range};

impl Libvirt {
    pub(super) fn read_capability(&self) -> Result<Capability, Failure> {
        let action = || "read the host's capabilities".to_owned();
        let text = self.connected().capabilities().map_err(failed(action()))?;
        let node = self.connected().node_info().map_err(failed(action()))?;
        let (arch, virt) = guests(&text).map_err(failed(action()))?;
        let machine = (arch == "x86_64").then_some("q35");
        let mut max_vcpus = None;
        let mut cpu_models = Vec::new();
        for kind in &virt {
            // Maximum and models may stay unknown: the desired state then has the plainest choice.
            let Ok(text) =
                self.connected()
                    .domain_capabilities(None, Some(&arch), machine, Some(kind), 0)
            else {
                continue;
            };
            let Ok((most, models)) = guest(&text) else {
                continue;
            };
            max_vcpus = match (max_vcpus, most) {
                (Some(one), Some(other)) => Some(u32::min(one, other)),
                (one, other) => one.or(other),
            };
            if kind == "kvm" {
                cpu_models = models;
            }
        }
        // A driver without a real host can't report free memory.
        let reported = Memory {
            total_mib: node.memory >> 10,
            free_mib: self.connected().free_memory().ok().map(|bytes| bytes >> 20),
        };
        let memory = self
            .is_local
            .then(local_memory)
            .flatten()
            .unwrap_or(reported);
        Ok(Capability {
            arch,
            virt,
            cpu_models,
            max_vcpus,
            cpus: node.cpus,
            memory_mib: memory.total_mib,
            memory_free_mib: memory.free_mib,
            routes: if self.is_local {
                local_routes()
            } else {
                Vec::new()
            },
        })
    }
}

/// The host's architecture (or the first that it can run) and libvirt's domain types for it.
fn guests(capabilities: &str) -> Result<(String, Vec<String>), roxmltree::Error> {
    let document = roxmltree::Document::parse(capabilities)?;
    let root = document.root_element();
    let host = xml::text(root, &["host", "cpu", "arch"]);
    let archs: Vec<_> = xml::all(root, "guest")
        .filter(|guest| xml::text(*guest, &["os_type"]) == Some("hvm"))
        .filter_map(|guest| xml::find(guest, &["arch"]))
        .collect();
    let chosen = archs
        .iter()
        .find(|arch| arch.attribute("name") == host)
        .or_else(|| archs.first());
    let Some(arch) = chosen else {
        return Ok((host.unwrap_or_default().to_owned(), Vec::new()));
    };
    let kinds = xml::all(*arch, "domain").filter_map(|domain| domain.attribute("type"));
    Ok((
        arch.attribute("name").unwrap_or_default().to_owned(),
        kinds.map(str::to_owned).collect(),
    ))
}

/// How many processors a domain can have, and the models that it can be given.
fn guest(capabilities: &str) -> Result<(Option<u32>, Vec<String>), roxmltree::Error> {
    let document = roxmltree::Document::parse(capabilities)?;
    let root = document.root_element();
    let most = xml::find(root, &["vcpu"]).and_then(|vcpu| vcpu.attribute("max")?.parse().ok());
    let models = document
        .descendants()
        .filter(|node| node.tag_name().name() == "model" && node.attribute("usable") == Some("yes"))
        .filter_map(|model| model.text().map(str::to_owned))
        .collect();
    Ok((most, models))
}

/// A host's memory.
#[derive(Debug, PartialEq)]
struct Memory {
    total_mib: u64,
    free_mib: Option<u64>,
}

/// This machine's memory by its kernel. libvirt's own numbers are wrong for this purpose: it counts only memory of NUMA nodes, without
/// memory that was hot-plugged (seen: 6.6 of 23.5 GiB), and takes caches for used memory.
fn local_memory() -> Option<Memory> {
    memory(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The kernel's table: `MemTotal:  24684092 kB`, one value a line.
fn memory(table: &str) -> Option<Memory> {
    let mib = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib >> 10)
    };
    Some(Memory {
        total_mib: mib("MemTotal:")?,
        free_mib: mib("MemAvailable:"),
    })
}

/// This machine's IPv4 routes but the default ones.
fn local_routes() -> Vec<(ipnet::Ipv4Net, String)> {
    // Without the file nothing is compared here; libvirt compares again when it starts the network.
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().skip(1).filter_map(route).collect()
}

/// One line of the kernel's table: interface, destination, seven more columns of which the last but three is the mask.
fn route(line: &str) -> Option<(ipnet::Ipv4Net, String)> {
    let columns: Vec<_> = line.split_whitespace().collect();
    let address = |text: &&str| {
        let number = u32::from_str_radix(text, 16).ok()?;
        // The kernel prints the network's byte order as if it were its own.
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let net = range(address(columns.get(1)?)?, address(columns.get(7)?)?)?;
    (net.prefix_len() > 0).then(|| (net, columns[0].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_table() {
        let table = "MemTotal:       24684092 kB\nMemFree:          151788 kB\nMemAvailable:   24273096 kB\n";
        let expected = Memory {
            total_mib: 24105,
            free_mib: Some(23704),
        };
        assert_eq!(memory(table), Some(expected));
        assert_eq!(memory("HugePages_Total: 0"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_from_the_kernels_table() {
        let line = "virbr0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let expected = ("192.168.122.0/24".parse().unwrap(), "virbr0".to_owned());
        assert_eq!(route(line), Some(expected));
        assert_eq!(
            route("eth0\t00000000\t0101\t3\t0\t0\t0\t00000000\t0\t0\t0"),
            None
        );
    }
}
