//! The machines that run libvirt.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::value::Name;

/// A libvirt host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// How nodes refer to it.
    pub name: Name,
    /// How to reach its libvirt.
    pub connection: Connection,
    /// Accelerated or emulated machines: the host's own value, else the site's, else `auto`.
    pub virt_type: VirtType,
    /// Folder (absolute, on the host) in which the folder of the main pool is made.
    pub main_pool_path: PathBuf,
    /// Further pools, for data disks.
    pub data_pools: Vec<DataPool>,
}

/// How libvirt on a host is reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// On this machine: `qemu:///system`.
    Local,
    /// Over SSH: `qemu+ssh://user@address:port/system`.
    Remote {
        /// Who logs in.
        user: String,
        /// Name or address of the host.
        address: String,
        /// SSH port.
        port: u16,
        /// Private key, as configured (`~/` is the caller's to resolve); none: what the SSH client finds.
        keyfile: Option<PathBuf>,
        /// Whether the host's key must be known already.
        verify: bool,
    },
    /// Any libvirt URI.
    Uri(String),
}

/// What QEMU runs guests with.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum VirtType {
    /// KVM where libvirt offers it, else emulation.
    #[default]
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Qemu,
}

/// A pool for data disks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataPool {
    /// How data disks refer to it; never `main`.
    pub name: Name,
    /// Folder (absolute, on the host) in which the pool's own folder is made.
    pub path: PathBuf,
}
