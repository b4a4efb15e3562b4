//! Networks, pools, volumes and domains as plain data: what a cluster wants of a hypervisor.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use kubitect_config::cluster::{CpuMode, VirtType};
use kubitect_config::digest::sha256;
use kubitect_config::value::{Label, Mac};
use serde::{Deserialize, Serialize};

/// The pool that all clusters of a host share for the images under their disks.
pub const BASE_POOL: &str = "kubitect-base-images";

/// The mark in a domain's or network's `<metadata>` that makes it ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The cluster.
    pub cluster: Label,
    /// The node, on a domain.
    pub node: Option<Label>,
    /// The fixed address that the node was made with, which its guest configures.
    pub address: Option<Ipv4Addr>,
    /// Digest of what it was made from, as far as that can't be seen on the thing itself.
    pub digest: String,
    /// The Kubitect that made it.
    pub version: String,
}

impl Mark {
    /// A mark of this Kubitect, of no node.
    fn new(cluster: &Label, digest: String) -> Self {
        Self {
            cluster: cluster.clone(),
            node: None,
            address: None,
            digest,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A network that libvirt provides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The cluster it is for.
    pub cluster: Label,
    /// How it reaches the outside.
    pub forward: Forward,
    /// The name of its Linux bridge; none: libvirt chooses a free one.
    pub bridge: Option<String>,
    /// Its range.
    pub cidr: Ipv4Net,
    /// The host's own address in it.
    pub gateway: Ipv4Addr,
    /// Stretches of addresses that are leased to machines without a fixed one.
    pub dynamic: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Stretches of these that are not leased after all, as an addon gives them out. No part of the digest: an addon may come
    /// to a living network, which stays as it was made.
    #[serde(skip)]
    pub given_out: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Addresses kept for one machine each. No part of the digest: leases join them as they are made permanent.
    #[serde(skip)]
    pub reservations: Vec<Reservation>,
}

/// How a network reaches the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// libvirt translates addresses.
    Nat,
    /// libvirt routes.
    Route,
}

/// An address that DHCP keeps for one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// The machine.
    pub mac: Mac,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its name.
    pub name: Label,
}

/// A folder of volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The folder, on the host.
    pub path: PathBuf,
}

impl Pool {
    /// The pool of this name in the folder of the same name under `parent`.
    pub fn under(parent: &Path, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            path: parent.join(&name),
            name,
        }
    }

    /// The path of a volume in it.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A volume in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The pool.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// What the guest sees, in bytes.
    pub capacity: u64,
    /// How its bytes are kept.
    pub format: Format,
    /// The image under it.
    pub backing: Option<Backing>,
}

/// How a volume's bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl Format {
    /// libvirt's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// The image under an overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backing {
    /// Its path on the host.
    pub path: PathBuf,
    /// How its bytes are kept.
    pub format: Format,
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Domain {
    /// Its name, which is the node's.
    pub name: Label,
    /// The cluster it is for.
    pub cluster: Label,
    /// What was asked for, of which `virt`, `arch` and `cpu` are what the host could give. Only this is part of the
    /// mark: a machine is no other one because its host offers less or more today.
    pub asked: Asked,
    /// libvirt's domain type: `kvm` or `qemu` (or `test`, libvirt's own test driver).
    #[serde(skip)]
    pub virt: String,
    /// The processor's architecture.
    #[serde(skip)]
    pub arch: String,
    /// What processor the guest sees.
    #[serde(skip)]
    pub cpu: Cpu,
    /// The modes of the configuration by which it would see the same one.
    #[serde(skip)]
    pub same_cpu: Vec<CpuMode>,
    /// How many.
    pub vcpus: u32,
    /// Up to how many it can be given while it runs. No part of the mark: a machine made by another rule is no other one.
    #[serde(skip)]
    pub max_vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Its disks, the one it boots from first.
    pub disks: Vec<Disk>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// What its network interface is plugged into.
    pub link: Link,
    /// Its fixed address, which the guest configures.
    pub address: Option<Ipv4Addr>,
    /// Where its serial console is written, on the host.
    pub console: PathBuf,
    /// What is noted of it as it is defined, unless it is there and has a note.
    #[serde(skip)]
    pub note: Option<String>,
    /// The paths of disks of ours that it no longer has, where it is there with them.
    #[serde(skip)]
    pub gone: Vec<PathBuf>,
}

impl Domain {
    /// Whether one that is there, with this digest and of this type, gets another emulation by being defined so: because
    /// another one is asked for, or because its host lacked KVM when it was defined.
    pub(crate) fn emulates_anew(&self, digest: &str, virt: &str) -> bool {
        !self.is_marked(digest, virt) || (virt == "qemu" && self.virt == "kvm")
    }

    /// Whether one that is there, with this digest and of this type, is defined as this one is, whatever the configuration called
    /// it: `auto` leads to what another host names `kvm`.
    pub(crate) fn is_marked(&self, digest: &str, virt: &str) -> bool {
        let asked = VirtType::ALL.iter().flat_map(|virt| {
            let modes = self.same_cpu.iter();
            modes.map(|cpu| Asked {
                virt: *virt,
                cpu: *cpu,
            })
        });
        let mut others = asked.filter(|_| virt == self.virt);
        digest == self.digest(self.asked) || others.any(|asked| digest == self.digest(asked))
    }

    fn digest(&self, asked: Asked) -> String {
        digest(&(asked, &self.mac, &self.link, &self.console))
    }

    /// Up to how many processors one that is there, with so much room, can be given while it runs once it is defined so.
    pub(crate) fn room(&self, there: u32) -> u32 {
        match there >= self.vcpus {
            true => there,
            false => self.max_vcpus.max(self.vcpus),
        }
    }

    /// The mark that makes it ours.
    ///
    /// Processors, memory, disks and network interface are seen on the domain itself and compared with what is wanted, so
    /// that they can be changed while it runs without touching the mark. Its digest is of the rest, and of what only says
    /// whether it was our doing that the interface is another one.
    pub fn mark(&self) -> Mark {
        Mark {
            node: Some(self.name.clone()),
            address: self.address,
            ..Mark::new(&self.cluster, self.digest(self.asked))
        }
    }
}

impl Network {
    /// The stretches that are leased.
    pub fn leased(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let numbers = |(first, last): &(Ipv4Addr, Ipv4Addr)| (u32::from(*first), u32::from(*last));
        let mut left: Vec<(u32, u32)> = self.dynamic.iter().map(numbers).collect();
        for (first, last) in self.given_out.iter().map(numbers) {
            let around = |(start, end): (u32, u32)| {
                let below = (start, end.min(first.saturating_sub(1)));
                let above = (start.max(last.saturating_add(1)), end);
                [below, above]
                    .into_iter()
                    .filter(|(start, end)| start <= end)
            };
            let apart = |&(start, end): &(u32, u32)| end < first || last < start;
            left = left
                .into_iter()
                .flat_map(|stretch| match apart(&stretch) {
                    true => vec![stretch],
                    false => around(stretch).collect(),
                })
                .collect();
        }
        left.into_iter()
            .map(|(first, last)| (first.into(), last.into()))
            .collect()
    }

    /// The mark that tells this definition from any other.
    pub fn mark(&self) -> Mark {
        let Self {
            name,
            cluster,
            forward,
            bridge,
            cidr,
            gateway,
            dynamic,
            given_out: _,
            reservations: _,
        } = self;
        let fields = NetworkFields {
            name,
            cluster,
            forward: *forward,
            bridge,
            cidr,
            gateway,
            dynamic,
        };
        Mark::new(&self.cluster, digest(&fields))
    }
}

/// What the digest of a network is of: these names, in this order. It lies in living networks, and another one asks people to
/// make theirs anew, so this stays as it is whatever becomes of [`Network`].
#[derive(Debug, Serialize)]
struct NetworkFields<'a> {
    name: &'a str,
    cluster: &'a Label,
    forward: Forward,
    bridge: &'a Option<String>,
    cidr: &'a Ipv4Net,
    gateway: &'a Ipv4Addr,
    dynamic: &'a [(Ipv4Addr, Ipv4Addr)],
}

/// SHA-256 of a definition's JSON, in hexadecimal.
fn digest(definition: &(impl Serialize + fmt::Debug)) -> String {
    // What is not JSON, as a path that is no UTF-8, is like nothing else: never like an empty definition, or another such one.
    let json = serde_json::to_vec(definition);
    sha256(&json.unwrap_or_else(|_| format!("{definition:?}").into_bytes()))
}

/// What the configuration asks of a machine's emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What QEMU runs it with.
    pub virt: VirtType,
    /// Its processor.
    pub cpu: CpuMode,
}

/// What processor a guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// libvirt's mode.
    pub mode: CpuMode,
    /// The model, in mode `custom`.
    pub model: Option<String>,
}

/// What a network interface is plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A network of libvirt.
    Network(String),
    /// An existing Linux bridge.
    Bridge(String),
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The volume's path on the host.
    pub path: PathBuf,
    /// How its bytes are kept.
    pub format: Format,
    /// Its serial number in the guest, at most 20 bytes (virtio's limit).
    pub serial: String,
    /// Whether the guest only reads it.
    pub readonly: bool,
}

#[cfg(test)]
mod tests;
