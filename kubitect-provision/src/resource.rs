//! The desired networks, pools, volumes and domains of a cluster, as plain data.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use kubitect_config::cluster::{CpuMode, VirtType};
use kubitect_config::digest::sha256;
use kubitect_config::value::{Label, Mac};
use serde::{Deserialize, Serialize};

/// The pool of base images, which all clusters of a host share.
pub const BASE_POOL: &str = "kubitect-base-images";

/// The mark in the `<metadata>` of a domain or network: Kubitect changes and removes only what bears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The cluster.
    pub cluster: Label,
    /// The node, on a domain.
    pub node: Option<Label>,
    /// The fixed address that the node was made with, which its guest configures.
    pub address: Option<Ipv4Addr>,
    /// Digest of the part of its definition that can't be read from libvirt's.
    pub digest: String,
    /// The version of the Kubitect that made it.
    pub version: String,
}

impl Mark {
    /// A mark of this version of Kubitect, without a node.
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

/// A network of libvirt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The cluster it is for.
    pub cluster: Label,
    /// How it reaches the outside.
    pub forward: Forward,
    /// The name of its Linux bridge; if none, libvirt chooses a free one.
    pub bridge: Option<String>,
    /// Its range.
    pub cidr: Ipv4Net,
    /// The host's own address in it.
    pub gateway: Ipv4Addr,
    /// The DHCP ranges, for machines without a fixed address.
    pub dynamic: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// The parts of these that an addon, as MetalLB, gives to services, so that DHCP must not lease them. They are left out of the
    /// digest: an addon may be added to a cluster whose network exists, and that network does not change.
    #[serde(skip)]
    pub service_ranges: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Reserved addresses. They are left out of the digest: leased addresses become reserved ones later.
    #[serde(skip)]
    pub reservations: Vec<Reservation>,
}

/// How a network reaches the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// With NAT.
    Nat,
    /// By routing.
    Route,
}

/// An address that DHCP reserves for one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// The machine's Ethernet address.
    pub mac: Mac,
    /// The reserved address.
    pub ip: Ipv4Addr,
    /// The machine's name.
    pub name: Label,
}

/// A pool: a folder of volumes.
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
    /// Its size in the guest, in bytes.
    pub capacity: u64,
    /// Its format.
    pub format: Format,
    /// Its backing image.
    pub backing: Option<Backing>,
}

/// The format of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The plain bytes.
    Raw,
    /// QEMU's own format, which allows overlays.
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

/// The backing image of an overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backing {
    /// Its path on the host.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Domain {
    /// Its name, which is the node's.
    pub name: Label,
    /// The cluster it is for.
    pub cluster: Label,
    /// What the configuration asks for; `virt`, `arch` and `cpu` are what the host offers of it. Only this is part of the mark's
    /// digest: a machine does not differ because its host offers less or more today.
    pub asked: Asked,
    /// libvirt's domain type: `kvm` or `qemu` (or `test`, libvirt's own test driver).
    #[serde(skip)]
    pub virt: String,
    /// The processor's architecture.
    #[serde(skip)]
    pub arch: String,
    /// The processor that the guest sees.
    #[serde(skip)]
    pub cpu: Cpu,
    /// The modes of the configuration that lead to the same processor on this host.
    #[serde(skip)]
    pub equivalent_modes: Vec<CpuMode>,
    /// The number of its virtual processors.
    pub vcpus: u32,
    /// How many it can have at most by hot-plug. Not part of the mark's digest: a release with another maximum must not restart machines.
    #[serde(skip)]
    pub max_vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Its disks, the main disk first.
    pub disks: Vec<Disk>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// What its network interface is connected to.
    pub link: Link,
    /// Its fixed address, which the guest configures.
    pub address: Option<Ipv4Addr>,
    /// The file of its serial console, on the host.
    pub console: PathBuf,
    /// The note that a new domain is defined with. An existing domain keeps its own.
    #[serde(skip)]
    pub note: Option<String>,
    /// The paths of data disks that an existing domain has, and that its new definition must leave out.
    #[serde(skip)]
    pub detached: Vec<PathBuf>,
}

impl Domain {
    /// Whether an existing domain with this digest and type gets another emulation by this definition: the configuration asks for
    /// another one, or the host offers KVM now and did not when the domain was defined.
    pub(crate) fn changes_emulation(&self, digest: &str, virt: &str) -> bool {
        !self.is_marked(digest, virt) || (virt == "qemu" && self.virt == "kvm")
    }

    /// Whether an existing domain with this digest and type has the emulation of this definition. The digest may differ: on a host with
    /// KVM, `auto` and `kvm` have different digests and lead to the same domain.
    pub(crate) fn is_marked(&self, digest: &str, virt: &str) -> bool {
        let asked = VirtType::ALL.iter().flat_map(|virt| {
            let modes = self.equivalent_modes.iter();
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

    /// The maximum of processors in the new definition of an existing domain with this maximum. It stays where it is large enough, since
    /// another one takes a restart.
    pub(crate) fn vcpu_limit(&self, existing: u32) -> u32 {
        match existing >= self.vcpus {
            true => existing,
            false => self.max_vcpus.max(self.vcpus),
        }
    }

    /// The domain's mark.
    ///
    /// Processors, memory, disks and network interface are read from libvirt's definition and compared with the desired ones, so that
    /// they can change without a new mark. The digest is of the rest. It includes Ethernet address and link, too, which only serves to
    /// tell whether Kubitect or somebody else has changed the interface.
    pub fn mark(&self) -> Mark {
        Mark {
            node: Some(self.name.clone()),
            address: self.address,
            ..Mark::new(&self.cluster, self.digest(self.asked))
        }
    }
}

impl Network {
    /// The DHCP ranges without the parts that an addon gives out.
    pub fn dhcp_ranges(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let numbers = |(first, last): &(Ipv4Addr, Ipv4Addr)| (u32::from(*first), u32::from(*last));
        let mut left: Vec<(u32, u32)> = self.dynamic.iter().map(numbers).collect();
        for (first, last) in self.service_ranges.iter().map(numbers) {
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
                .flat_map(|range| match apart(&range) {
                    true => vec![range],
                    false => around(range).collect(),
                })
                .collect();
        }
        left.into_iter()
            .map(|(first, last)| (first.into(), last.into()))
            .collect()
    }

    /// The network's mark, with the digest of its definition.
    pub fn mark(&self) -> Mark {
        let Self {
            name,
            cluster,
            forward,
            bridge,
            cidr,
            gateway,
            dynamic,
            service_ranges: _,
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

/// What a network's digest is computed of: these field names, in this order. They must never change, also when [`Network`] does: the
/// digest is in existing networks, and one that differs makes Kubitect refuse to apply.
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
    // A definition that can't be JSON, as with a path that is not UTF-8, still gets a digest of its own, from its debug text.
    let json = serde_json::to_vec(definition);
    sha256(&json.unwrap_or_else(|_| format!("{definition:?}").into_bytes()))
}

/// What the configuration asks for: how QEMU runs a machine. The names of type and fields are part of digests: they must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// With KVM or without.
    pub virt: VirtType,
    /// The processor mode.
    pub cpu: CpuMode,
}

/// The processor that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// libvirt's mode.
    pub mode: CpuMode,
    /// The model, in mode `custom`.
    pub model: Option<String>,
}

/// What a network interface is connected to.
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
    /// Its format.
    pub format: Format,
    /// Its serial number in the guest, at most 20 bytes (virtio's limit).
    pub serial: String,
    /// Whether the guest can only read it.
    pub readonly: bool,
}

#[cfg(test)]
mod tests;
