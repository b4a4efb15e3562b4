//! The machines of a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::value::{Checksum, GiB, Label, Mac, Name};

/// A virtual machine of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Its role.
    pub role: Role,
    /// Its id, unique within the role.
    pub id: Label,
    /// `<cluster>-<lb|master|worker>-<id>`: name of the domain, the guest's host name and the Kubernetes node.
    pub name: Label,
    /// The host that carries it.
    pub host: Name,
    /// Its fixed address; none: DHCP leases it one, which it then keeps for life.
    pub ip: Option<Ipv4Addr>,
    /// Its Ethernet address: as configured or derived from its name.
    pub mac: Mac,
    /// Virtual processors.
    pub cpu: u32,
    /// Memory.
    pub ram: GiB,
    /// Size of the disk with the operating system.
    pub main_disk: GiB,
    /// Further disks: the defaults of the role, then its own.
    pub data_disks: Vec<DataDisk>,
    /// Kubernetes labels: the role's defaults overridden by its own.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes taints: the role's defaults, then its own.
    pub taints: Vec<Taint>,
    /// keepalived's priority, 1 to 254; on balancers only.
    pub priority: Option<u8>,
}

impl Node {
    /// The name of the volume with the operating system.
    pub fn main_volume(&self) -> String {
        format!("{}-main-disk", self.name)
    }

    /// The name of the volume of one of its data disks.
    pub fn data_volume(&self, disk: &DataDisk) -> String {
        format!("{}-{}-data-disk", self.name, disk.name)
    }
}

/// The role of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// HAProxy in front of the control plane.
    LoadBalancer,
    /// Control plane and etcd.
    Master,
    /// Carries the workload.
    Worker,
}

impl Role {
    /// The role's part of a machine's name: `lb`, `master` or `worker`.
    pub fn infix(self) -> &'static str {
        match self {
            Self::LoadBalancer => "lb",
            Self::Master => "master",
            Self::Worker => "worker",
        }
    }
}

/// A further disk of a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataDisk {
    /// Unique on the node; also the virtual disk's serial number.
    pub name: Name,
    /// The pool that has it.
    pub pool: DiskPool,
    /// Its size.
    pub size: GiB,
}

/// The pool of a data disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskPool {
    /// The pool of the main disks, which is configured as `main` or not at all.
    Main,
    /// One of the host's data pools.
    Data(Name),
}

/// A Kubernetes taint, written `key=value:Effect` or `key:Effect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// A qualified name.
    pub key: String,
    /// A label value; may be empty.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// They are not scheduled on the node.
    NoSchedule,
    /// They are scheduled on other nodes if possible.
    PreferNoSchedule,
    /// They are not scheduled on the node, and are evicted from it.
    NoExecute,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ":{:?}", self.effect)
    }
}

impl Serialize for Taint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What all guests of a cluster have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guest {
    /// The account that is made on each machine, with sudo.
    pub user: String,
    /// The operating system's image.
    pub image: Image,
    /// The name that the machines' network interface gets.
    pub interface: String,
    /// The private key that is used instead of one made by Kubitect, as configured.
    pub private_key: Option<PathBuf>,
    /// Whether the machines' keys are written into the user's own `known_hosts`.
    pub add_to_known_hosts: bool,
    /// libvirt's CPU mode.
    pub cpu_mode: CpuMode,
    /// Name servers of the guests; empty: the gateway.
    pub dns: Vec<Ipv4Addr>,
    /// Whether packages are brought up to date at the first boot.
    pub update_on_boot: bool,
}

/// An operating system's image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Image {
    /// The distro as configured, an alias resolved (`ubuntu22`); `custom` where only a source is given.
    pub distro: String,
    /// A path on this machine or an http(s) address.
    pub source: String,
    /// The image's checksum; none: the image is not checked (a warning says so).
    pub checksum: Option<Checksum>,
}

/// libvirt's CPU mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuMode {
    /// A named baseline model, which every host offers.
    Custom,
    /// A model near the host's.
    HostModel,
    /// The host's processor as it is.
    HostPassthrough,
    /// All that can be offered.
    Maximum,
}

impl CpuMode {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Custom,
        Self::HostModel,
        Self::HostPassthrough,
        Self::Maximum,
    ];
}
