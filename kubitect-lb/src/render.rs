//! Cluster + Facts → the files of every balancer. Pure: the same input gives the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts};
use serde::Serialize;

use crate::{Error, Vrrp, balancers, haproxy, keepalived};

/// The files of one balancer, and what its roll-out checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendered {
    /// Its machine.
    pub node: Label,
    /// Its `haproxy.cfg`.
    pub haproxy: String,
    /// Its `keepalived.conf`, where there is a virtual address.
    pub keepalived: Option<String>,
    /// Its part in the group that shares the virtual address, if there is one.
    pub vrrp: Option<Vrrp>,
    /// The ports that it serves: the API's, then the forwarded ones.
    pub ports: Vec<u16>,
}

/// The files of all balancers, by their names in a folder: `haproxy/<node>.cfg`, `keepalived/<node>.conf`.
pub fn files(cluster: &Cluster, facts: &Facts) -> Result<BTreeMap<PathBuf, String>, Error> {
    let mut files = BTreeMap::new();
    for balancer in render(cluster, facts)? {
        files.insert(
            format!("haproxy/{}.cfg", balancer.node).into(),
            balancer.haproxy,
        );
        if let Some(text) = balancer.keepalived {
            files.insert(format!("keepalived/{}.conf", balancer.node).into(), text);
        }
    }
    Ok(files)
}

/// The files of all balancers, in the order of the cluster's nodes.
pub fn render(cluster: &Cluster, facts: &Facts) -> Result<Vec<Rendered>, Error> {
    balancers(cluster, facts)?
        .iter()
        .map(|balancer| {
            Ok(Rendered {
                node: balancer.node.clone(),
                haproxy: haproxy::render(balancer)?,
                keepalived: balancer
                    .vrrp
                    .as_ref()
                    .map(|vrrp| keepalived::render(&balancer.node, vrrp))
                    .transpose()?,
                vrrp: balancer.vrrp.clone(),
                ports: balancer.frontends.iter().map(|f| f.port).collect(),
            })
        })
        .collect()
}
