//! [`Facts`]: what is known of the machines when they run. It is written to `infrastructure.yaml` for people and other programs.
//! Kubitect reads that file only to write `ssh_config`: a run observes the machines instead.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Cluster;
use crate::cluster::Role;
use crate::value::{Label, Mac, Name};

/// The observed facts of a cluster's running machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The account on each machine.
    pub user: String,
    /// The private key with which to log in to it (mode 0600).
    pub private_key: PathBuf,
    /// A file in the format of OpenSSH's `known_hosts` with the machines' host keys, for the programs that Kubitect starts.
    pub known_hosts: PathBuf,
    /// The machines, in the order of the cluster's nodes.
    pub nodes: Vec<NodeFacts>,
}

impl Facts {
    /// The facts as far as they are known before any machine runs, for files that are only shown: without keys, and with
    /// `0.0.0.0` for an address that DHCP will lease.
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

/// The facts of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Its name.
    pub name: Label,
    /// Its role.
    pub role: Role,
    /// Its id within the role.
    pub id: Label,
    /// The host that carries it.
    pub host: Name,
    /// The address at which it answers.
    pub ip: Ipv4Addr,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its public SSH host key, which Kubitect made: one line `ssh-ed25519 AAAA…`.
    pub host_key: String,
}
