//! [`Facts`]: what is known once the machines run. Kept in `infrastructure.yaml`, never believed from there.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Cluster;
use crate::cluster::Role;
use crate::value::{Label, Mac, Name};

/// What is known of a cluster's running machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The account on each machine.
    pub user: String,
    /// The private key that opens it (0600).
    pub private_key: PathBuf,
    /// The machines' pinned host keys, in the format of OpenSSH's `known_hosts`, for programs that we start.
    pub known_hosts: PathBuf,
    /// The machines, in the order of the cluster's nodes.
    pub nodes: Vec<NodeFacts>,
}

impl Facts {
    /// As they are known before any machine runs, for files that are only looked at: no keys, and `0.0.0.0` where only a lease will
    /// tell the address.
    pub fn placeholders(cluster: &Cluster) -> Self {
        let nodes = cluster.nodes.iter().map(|node| NodeFacts {
            name: node.name.clone(),
            role: node.role,
            id: node.id.clone(),
            host: node.host.clone(),
            ip: node.ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
            mac: node.mac,
            host_key: String::new(),
        });
        Self {
            user: cluster.guest.user.clone(),
            private_key: ".ssh/id_ed25519".into(),
            known_hosts: ".ssh/known_hosts".into(),
            nodes: nodes.collect(),
        }
    }

    /// The machine of this name.
    pub fn node(&self, name: &Label) -> Option<&NodeFacts> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// The machines of one role, in order.
    pub fn role(&self, role: Role) -> impl Iterator<Item = &NodeFacts> {
        self.nodes.iter().filter(move |node| node.role == role)
    }
}

/// What is known of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Its name.
    pub name: Label,
    /// What it is for.
    pub role: Role,
    /// Its id within the role.
    pub id: Label,
    /// The host that carries it.
    pub host: Name,
    /// The address that it answers at.
    pub ip: Ipv4Addr,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its SSH host key, which we made: one line `ssh-ed25519 AAAA…`.
    pub host_key: String,
}
