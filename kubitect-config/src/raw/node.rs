//! Section `cluster.nodes`: masters and workers.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{IPV4, LoadBalancer, MAC, NAME, TAINT, Texts};
use crate::defaults;

/// The machines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["master"]))]
pub(crate) struct Nodes {
    /// Load balancers in front of the masters; required with more than one master.
    pub load_balancer: LoadBalancer,
    /// Masters: control plane and etcd. Their number is odd.
    pub master: NodeGroup,
    /// Workers; without any, masters carry the workload.
    pub worker: NodeGroup,
}

/// Machines of one role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NodeGroup {
    /// What instances have that do not say otherwise.
    pub default: NodeDefault,
    /// The machines, one item each.
    pub instances: Vec<Instance>,
}

/// What the instances of a role have that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NodeDefault {
    /// Virtual processors.
    #[schemars(range(min = 1, max = 255), extend("default" = defaults::CPU))]
    pub cpu: Option<u32>,
    /// Memory in GiB.
    #[schemars(range(min = 1, max = 16384), extend("default" = defaults::RAM))]
    pub ram: Option<u32>,
    /// Size of the main disk in GiB.
    #[schemars(range(min = 1, max = 65536), extend("default" = defaults::MAIN_DISK_SIZE))]
    pub main_disk_size: Option<u32>,
    /// Data disks of every instance, before its own.
    pub data_disks: Vec<DataDisk>,
    /// Kubernetes labels of every instance.
    #[schemars(schema_with = "super::texts")]
    pub labels: Texts,
    /// Kubernetes taints of every instance, as `key=value:Effect` or `key:Effect`.
    #[schemars(inner(regex(pattern = TAINT)))]
    pub taints: Vec<String>,
}

/// A machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(crate) struct Instance {
    /// Id, unique within the role: a number or a text (`1` and `"1"` are the same).
    #[schemars(schema_with = "super::id")]
    pub id: Option<String>,
    /// Name of the host that carries the machine. Default: the default host.
    #[schemars(regex(pattern = NAME))]
    pub host: Option<String>,
    /// Fixed IPv4 address inside the network's range. Default: leased once, and then kept.
    #[schemars(regex(pattern = IPV4))]
    pub ip: Option<String>,
    /// Ethernet address. Default: derived from the machine's name.
    #[schemars(regex(pattern = MAC))]
    pub mac: Option<String>,
    /// Virtual processors. Default: the role's.
    #[schemars(range(min = 1, max = 255))]
    pub cpu: Option<u32>,
    /// Memory in GiB. Default: the role's.
    #[schemars(range(min = 1, max = 16384))]
    pub ram: Option<u32>,
    /// Size of the main disk in GiB. Default: the role's.
    #[schemars(range(min = 1, max = 65536))]
    pub main_disk_size: Option<u32>,
    /// Data disks, after the role's.
    pub data_disks: Vec<DataDisk>,
    /// Kubernetes labels; they win over the role's.
    #[schemars(schema_with = "super::texts")]
    pub labels: Texts,
    /// Kubernetes taints, besides the role's, as `key=value:Effect` or `key:Effect`.
    #[schemars(inner(regex(pattern = TAINT)))]
    pub taints: Vec<String>,
}

/// A data disk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "size"]))]
pub(crate) struct DataDisk {
    /// Name of the disk, unique on its machine.
    #[schemars(regex(pattern = NAME))]
    pub name: Option<String>,
    /// Name of the data pool, on the same host, in which the disk lies.
    #[schemars(regex(pattern = NAME), extend("default" = defaults::DATA_DISK_POOL))]
    pub pool: Option<String>,
    /// Size in GiB.
    #[schemars(range(min = 1, max = 65536))]
    pub size: Option<u32>,
}

/// Processors, memory and main disk, as far as the file has them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub cpu: Option<u32>,
    pub ram: Option<u32>,
    pub main_disk_size: Option<u32>,
}
