//! The network that all nodes of a cluster share.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// The cluster's network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// What provides it.
    pub mode: NetworkMode,
    /// Its range, which has the addresses of all machines.
    pub cidr: Ipv4Net,
    /// The router: as configured, else the first address of the range.
    pub gateway: Ipv4Addr,
    /// In mode bridge the host's Linux bridge, always set; in other modes the configured name of the bridge that libvirt makes.
    pub bridge: Option<String>,
}

/// Who provides the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// libvirt, which translates addresses to the outside.
    Nat,
    /// libvirt, which routes to the outside.
    Route,
    /// An existing Linux bridge of the host.
    Bridge,
}
