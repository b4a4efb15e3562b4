//! Section `cluster.nodes.loadBalancer`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{IPV4, MAC, NAME};
use crate::cluster::Target;
use crate::defaults;

/// Load balancers in front of the masters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct LoadBalancer {
    /// Address that moves between balancers, inside the network's range; required with more than one balancer.
    #[schemars(regex(pattern = IPV4))]
    pub vip: Option<String>,
    /// VRRP's virtual router id, unique in the network segment. Default: derived from the cluster's name.
    #[schemars(range(min = 1, max = 255))]
    pub virtual_router_id: Option<u8>,
    /// What balancers have that do not say otherwise.
    pub default: LoadBalancerDefault,
    /// Ports that are forwarded to nodes, besides the API's 6443.
    pub forward_ports: Vec<ForwardPort>,
    /// The balancers, one item each.
    pub instances: Vec<LoadBalancerInstance>,
}

/// What balancers have that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct LoadBalancerDefault {
    /// Virtual processors.
    #[schemars(range(min = 1, max = 255), extend("default" = defaults::CPU))]
    pub cpu: Option<u32>,
    /// Memory in GiB.
    #[schemars(range(min = 1, max = 16384), extend("default" = defaults::RAM))]
    pub ram: Option<u32>,
    /// Size of the main disk in GiB.
    #[schemars(range(min = 1, max = 65536), extend("default" = defaults::MAIN_DISK_SIZE))]
    pub main_disk_size: Option<u32>,
}

/// A load balancer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(crate) struct LoadBalancerInstance {
    /// Id, unique among balancers: a number or a text (`1` and `"1"` are the same).
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
    /// Virtual processors. Default: that of all balancers.
    #[schemars(range(min = 1, max = 255))]
    pub cpu: Option<u32>,
    /// Memory in GiB. Default: that of all balancers.
    #[schemars(range(min = 1, max = 16384))]
    pub ram: Option<u32>,
    /// Size of the main disk in GiB. Default: that of all balancers.
    #[schemars(range(min = 1, max = 65536))]
    pub main_disk_size: Option<u32>,
    /// keepalived's priority: of the healthy balancers, the one with the highest has the VIP. Default: 200 for the
    /// first, and one less for each further.
    #[schemars(range(min = 1, max = 254))]
    pub priority: Option<u8>,
}

/// A port that balancers forward to nodes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "port"]))]
pub(crate) struct ForwardPort {
    /// Unique name.
    #[schemars(regex(pattern = NAME), extend("examples" = ["https"]))]
    pub name: Option<String>,
    /// Port of the balancer; unique, and none that the balancer itself needs (22, 6443, 8404).
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Port of the nodes. Default: the same.
    #[schemars(range(min = 1, max = 65535))]
    pub target_port: Option<u16>,
    /// Nodes that receive it.
    #[schemars(extend("default" = "workers"))]
    pub target: Option<Target>,
}
