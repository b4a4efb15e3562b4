//! [`Balancer`]: what one load balancer does, decided from the cluster and its facts.

use std::net::Ipv4Addr;

use kubitect_config::cluster::{API_FRONTEND, API_PORT, Cluster, Node, Role, Target};
use kubitect_config::value::Label;
use kubitect_config::{Facts, NodeFacts};
use serde::Serialize;

use crate::Error;

/// The name of the API's frontend and backend. Validation refuses a forwarded port of this name, or of the name of the balancer's
/// private frontend.
pub const API: &str = API_FRONTEND;

/// The name of the backend that has the API's servers with more patient checks. It is used while none of them passes its check in
/// [`API`]. No forwarded port can have a name with a colon.
pub(crate) const PATIENT: &str = "kube_api:patient";

/// What one load balancer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balancer {
    /// Its machine.
    pub node: Label,
    /// What it listens to: the API first, then the forwarded ports in the order of the file.
    pub frontends: Vec<Frontend>,
    /// Its part in the group that shares the virtual address, if there is one.
    pub vrrp: Option<Vrrp>,
}

/// A port and the servers behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frontend {
    /// Names the frontend and its backend.
    pub name: String,
    /// The balancer's port.
    pub port: u16,
    /// How servers are probed.
    pub probe: Probe,
    /// The servers that receive the connections.
    pub servers: Vec<Server>,
}

/// How a server is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// `GET /readyz` over TLS is answered with 200.
    Readyz,
    /// A connection is accepted: of a forwarded port the protocol is not known.
    Connect,
}

/// A server of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// The node's name.
    pub name: Label,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
}

/// A balancer's part in the group that shares the virtual address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vrrp {
    /// The address that is shared.
    pub vip: Ipv4Addr,
    /// Tells groups on one network apart.
    pub router_id: u8,
    /// The balancer's own address.
    pub address: Ipv4Addr,
    /// The interface that has it.
    pub interface: String,
    /// While no balancer has the address, the one with the highest priority takes it.
    pub priority: u8,
    /// The other balancers, in the order of the file.
    pub peers: Vec<Ipv4Addr>,
}

/// The cluster's balancers, in the order of the file.
pub fn balancers(cluster: &Cluster, facts: &Facts) -> Result<Vec<Balancer>, Error> {
    let frontends = frontends(cluster, facts)?;
    cluster
        .role(Role::LoadBalancer)
        .map(|node| {
            Ok(Balancer {
                node: node.name.clone(),
                frontends: frontends.clone(),
                vrrp: vrrp(cluster, facts, node)?,
            })
        })
        .collect()
}

/// What every balancer of the cluster listens to.
fn frontends(cluster: &Cluster, facts: &Facts) -> Result<Vec<Frontend>, Error> {
    let mut frontends = vec![Frontend {
        name: API.to_owned(),
        port: API_PORT,
        probe: Probe::Readyz,
        servers: servers(cluster, facts, Target::Masters, API_PORT)?,
    }];
    for forward in &cluster.balancing.forward_ports {
        frontends.push(Frontend {
            name: forward.name.to_string(),
            port: forward.port,
            probe: Probe::Connect,
            servers: servers(cluster, facts, forward.target, forward.target_port)?,
        });
    }
    Ok(frontends)
}

fn servers(
    cluster: &Cluster,
    facts: &Facts,
    target: Target,
    port: u16,
) -> Result<Vec<Server>, Error> {
    // Without workers the masters run the pods, so a port of the workers leads to them.
    let no_workers = cluster.role(Role::Worker).next().is_none();
    let is_target = |node: &&Node| match (node.role, target) {
        (Role::LoadBalancer, _) => false,
        (Role::Master, Target::Workers) => no_workers,
        (Role::Master, Target::Masters | Target::All) => true,
        (Role::Worker, Target::Workers | Target::All) => true,
        (Role::Worker, Target::Masters) => false,
    };
    cluster
        .nodes
        .iter()
        .filter(is_target)
        .map(|node| {
            Ok(Server {
                name: node.name.clone(),
                address: facts_of(facts, node)?.ip,
                port,
            })
        })
        .collect()
}

fn vrrp(cluster: &Cluster, facts: &Facts, node: &Node) -> Result<Option<Vrrp>, Error> {
    let Some(vip) = cluster.balancing.vip else {
        return Ok(None);
    };
    let peers = cluster
        .role(Role::LoadBalancer)
        .filter(|other| other.name != node.name)
        .map(|other| Ok(facts_of(facts, other)?.ip))
        .collect::<Result<_, Error>>()?;
    Ok(Some(Vrrp {
        vip,
        router_id: cluster.balancing.virtual_router_id,
        address: facts_of(facts, node)?.ip,
        interface: interface(&cluster.guest.interface)?,
        priority: node.priority.ok_or_else(|| Error::NoPriority {
            node: node.name.clone(),
        })?,
        peers,
    }))
}

/// An interface's name, checked: at most 15 bytes, as the kernel has it, and of characters that mean nothing in keepalived's file.
/// All other values in the rendered files are of checked types.
fn interface(name: &str) -> Result<String, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=15).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(Error::Interface {
            name: name.to_owned(),
        })
    }
}

fn facts_of<'a>(facts: &'a Facts, node: &Node) -> Result<&'a NodeFacts, Error> {
    facts.node(&node.name).ok_or_else(|| Error::NoFacts {
        node: node.name.clone(),
    })
}
