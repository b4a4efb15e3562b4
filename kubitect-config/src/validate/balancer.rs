//! Section `cluster.nodes.loadBalancer`, and the allowed numbers of masters and balancers.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use sha2::Digest;

use super::network;
use super::root::key;
use crate::cluster::{Balancing, Network, Node, Role};
use crate::raw;
use crate::report::{KeyPath, Report};
use crate::value::Label;

/// The most balancers that may share a VIP.
const MAX_BALANCERS: usize = 100;

pub(super) fn balancing(
    raw: &raw::Nodes,
    cluster: Option<&Label>,
    network: Option<&Network>,
    nodes: &[Node],
    nodes_path: &KeyPath,
    report: &mut Report,
) -> Option<Balancing> {
    let path = &nodes_path.key(key(Role::LoadBalancer));
    let balancer = &raw.load_balancer;
    counts(raw, nodes_path, path, report);
    priorities(balancer, path, report);
    let vip = match &balancer.vip {
        Some(text) => {
            if balancer.instances.is_empty() && !report.is_left_out(&path.key("instances")) {
                report.warning(
                    &path.key("vip"),
                    "vip-unused",
                    "load balancers share the VIP, and there is none, so nobody answers at it",
                    "add a balancer to `cluster.nodes.loadBalancer.instances` (`- id: 1`), or remove the `vip`",
                );
            }
            vip(text, network, nodes, path, report)
        }
        None => {
            if balancer.instances.len() > 1 {
                report.missing(
                    &path.key("vip"),
                    "several balancers share one address: give a free one of the network's range",
                );
            }
            None
        }
    };
    Some(Balancing {
        vip,
        virtual_router_id: match balancer.virtual_router_id {
            Some(id) => id,
            None => derived_router_id(cluster?),
        },
        forward_ports: Vec::new(),
    })
}

/// VRRP's virtual router id, 1 to 255, from the cluster's name: it stays the same, and two clusters on one network rarely have
/// the same.
fn derived_router_id(cluster: &Label) -> u8 {
    sha2::Sha256::digest(cluster.as_str().as_bytes())[0] % 255 + 1
}

fn counts(raw: &raw::Nodes, nodes_path: &KeyPath, path: &KeyPath, report: &mut Report) {
    let master_path = nodes_path.key("master");
    let masters_path = master_path.key("instances");
    let masters = raw.master.instances.len();
    if masters == 0 {
        report.error(
            &masters_path,
            "masters-missing",
            "there is no master",
            "give `cluster.nodes.master.instances` at least one item, as `- id: 1`",
        );
    } else if masters.is_multiple_of(2) {
        report.error(
            &masters_path,
            "masters-even",
            format!("there are {masters} masters, but their number must be odd"),
            format!(
                "use {} or {}: an even number survives no more failures than one less",
                masters - 1,
                masters + 1
            ),
        );
    }
    let balancers = raw.load_balancer.instances.len();
    if masters > 1 && balancers == 0 {
        report.error(
            &path.key("instances"),
            "balancer-missing",
            format!("{masters} masters need a load balancer in front of them"),
            "give `cluster.nodes.loadBalancer.instances` at least one item, as `- id: 1`",
        );
    }
    if balancers > MAX_BALANCERS {
        report.error(
            &path.key("instances"),
            "balancers-many",
            format!("there are {balancers} balancers; at most {MAX_BALANCERS} are possible"),
            "two or three are enough: one works, the others stand by",
        );
    }
}

fn priorities(raw: &raw::LoadBalancer, path: &KeyPath, report: &mut Report) {
    let path = path.key("instances");
    let mut priorities = HashMap::new();
    for (index, instance) in raw.instances.iter().enumerate() {
        let Some(priority) = instance.priority else {
            continue;
        };
        if let Some(first) = priorities.insert(priority, index) {
            report.warning(
                &path.index(index).key("priority"),
                "priority-duplicate",
                format!("{priority} is already the priority of instances[{first}]"),
                "give each balancer a priority of its own, or leave them out; else the higher address decides",
            );
        }
    }
}

fn vip(
    text: &str,
    network: Option<&Network>,
    nodes: &[Node],
    path: &KeyPath,
    report: &mut Report,
) -> Option<Ipv4Addr> {
    let path = path.key("vip");
    let vip = network::machine_address(text, network, &path, report)?;
    if let Some(node) = nodes.iter().find(|node| node.ip == Some(vip)) {
        report.error(
            &path,
            "address-duplicate",
            format!(
                "{vip} is already the address of `{}` (cluster.nodes.{})",
                node.name,
                key(node.role)
            ),
            "the VIP moves between balancers: give it an address that no machine has",
        );
    }
    Some(vip)
}
