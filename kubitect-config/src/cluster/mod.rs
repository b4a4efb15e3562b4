//! [`Cluster`]: the wanted cluster, complete and consistent. Only validation makes one.

mod host;
mod kubernetes;
mod network;
mod node;
mod proxy;

pub use host::{Connection, DataPool, Host, VirtType};
pub use kubernetes::{Addons, Kubernetes, Kubespray, Pip, Rook};
pub use network::{Network, NetworkMode};
pub use node::{CpuMode, DataDisk, DiskPool, Effect, Guest, Image, Node, Role, Taint};
pub use proxy::Proxy;

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::value::{Label, Name};

/// One cluster. Every value is set (defaults included), every reference leads to something, and all rules of the configuration
/// hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    /// The cluster's name: the prefix of the names of all its resources.
    pub name: Label,
    /// The libvirt hosts that carry nodes, and those that could; at least one.
    pub hosts: Vec<Host>,
    /// The network that all nodes share.
    pub network: Network,
    /// What all guests have in common.
    pub guest: Guest,
    /// How the control plane is reached.
    pub balancing: Balancing,
    /// All machines: balancers, then masters, then workers, each in the order of the file.
    pub nodes: Vec<Node>,
    /// The Kubernetes version and its settings.
    pub kubernetes: Kubernetes,
    /// Further programs that are installed into Kubernetes.
    pub addons: Addons,
    /// The HTTP proxy through which machines reach the internet; none: they reach it directly.
    pub proxy: Option<Proxy>,
}

impl Cluster {
    /// The nodes of one role, in order.
    pub fn role(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The host of this name. Every `node.host` has one.
    pub fn host(&self, name: &Name) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == *name)
    }

    /// The hosts that carry at least one node, in the order of the file.
    pub fn used_hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts
            .iter()
            .filter(|host| self.nodes.iter().any(|node| node.host == host.name))
    }

    /// The name of the cluster's network in libvirt. In mode [`NetworkMode::Bridge`] there is none.
    pub fn network_name(&self) -> String {
        format!("{}-network", self.name)
    }

    /// The name of the pool for main disks and base images.
    pub fn main_pool_name(&self) -> String {
        format!("{}-main-resource-pool", self.name)
    }

    /// The name in libvirt of the data pool that the configuration calls `pool`.
    pub fn data_pool_name(&self, pool: &Name) -> String {
        format!("{}-{pool}-data-resource-pool", self.name)
    }
}

/// The load balancers' common settings. The machines themselves are nodes of [`Role::LoadBalancer`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balancing {
    /// The VIP; always set when there are several balancers.
    pub vip: Option<Ipv4Addr>,
    /// VRRP virtual router id, 1 to 255: as configured or derived from the cluster's name.
    pub virtual_router_id: u8,
    /// Forwarded ports, without the API's 6443, which is always forwarded.
    pub forward_ports: Vec<ForwardPort>,
}

/// One port that balancers forward to nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForwardPort {
    /// The name of HAProxy's frontend and backend for it; unique, and neither [`API_FRONTEND`] nor [`OWN_FRONTEND`].
    pub name: Name,
    /// The balancer's port; unique, not 6443 nor a port that the balancer itself needs.
    pub port: u16,
    /// The nodes' port.
    pub target_port: u16,
    /// Which nodes receive it.
    pub target: Target,
}

/// The nodes that a forwarded port leads to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// All workers.
    Workers,
    /// All masters.
    Masters,
    /// All masters and workers.
    All,
}

/// The name of the API's frontend and backend on balancers.
pub const API_FRONTEND: &str = "kube_api";

/// The name of the frontend that reports a balancer's own health.
pub const OWN_FRONTEND: &str = "private_status";

/// The port of the Kubernetes API, on masters and balancers alike.
pub const API_PORT: u16 = 6443;
