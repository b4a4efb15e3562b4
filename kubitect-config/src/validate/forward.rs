//! `cluster.nodes.loadBalancer.forwardPorts`: the ports that balancers forward to nodes.

use std::collections::HashMap;

use super::host::name;
use crate::cluster::{API_FRONTEND, API_PORT, ForwardPort, OWN_FRONTEND, Target};
use crate::raw;
use crate::report::{KeyPath, Report};

/// Ports that the balancer itself listens on, with their use.
const RESERVED: [(u16, &str); 3] = [
    (API_PORT, "the Kubernetes API"),
    (22, "SSH"),
    (8404, "its own monitoring"),
];

pub(super) fn ports(raw: &raw::Nodes, path: &KeyPath, report: &mut Report) -> Vec<ForwardPort> {
    let balancer = &raw.load_balancer;
    if !balancer.forward_ports.is_empty() && balancer.instances.is_empty() {
        report.warning(
            path,
            "forward-ports-unused",
            "ports are forwarded by load balancers, but there is none",
            "add a balancer to `cluster.nodes.loadBalancer.instances`, or remove the ports",
        );
    }
    let mut names = HashMap::new();
    let mut ports = HashMap::new();
    let mut result = Vec::new();
    for (index, raw_port) in balancer.forward_ports.iter().enumerate() {
        let path = path.index(index);
        let name = name(
            raw_port.name.as_deref(),
            &path.key("name"),
            "port-name",
            report,
        );
        if let Some(name) = &name
            && [API_FRONTEND, OWN_FRONTEND].contains(&name.as_str())
        {
            report.error(
                &path.key("name"),
                "port-name-reserved",
                format!("the balancer's own part of its file has the name `{name}`"),
                "give the forwarded port another name",
            );
        }
        if let Some(name) = &name
            && let Some(first) = names.insert(name.clone(), index)
        {
            report.error(
                &path.key("name"),
                "port-name-duplicate",
                format!("`{name}` is already the name of forwardPorts[{first}]"),
                "give each forwarded port a name of its own",
            );
        }
        let Some(port) = raw_port.port else {
            report.missing(&path.key("port"), "give the balancer's port, 1 to 65535");
            continue;
        };
        if let Some((_, what)) = RESERVED.iter().find(|(reserved, _)| *reserved == port) {
            report.error(
                &path.key("port"),
                "port-reserved",
                format!("the balancer uses port {port} for {what}"),
                "forward another port",
            );
        }
        if let Some(first) = ports.insert(port, index) {
            report.error(
                &path.key("port"),
                "port-duplicate",
                format!("port {port} is already forwarded by forwardPorts[{first}]"),
                "forward each port once",
            );
        }
        let target = raw_port.target.unwrap_or(Target::Workers);
        if target == Target::Workers && raw.worker.instances.is_empty() {
            report.warning(
                &path.key("target"),
                "port-target-empty",
                "there are no workers that could receive this port",
                "use `target: masters`, which carry the workload here",
            );
        }
        if let Some(name) = name {
            result.push(ForwardPort {
                name,
                port,
                target_port: raw_port.target_port.unwrap_or(port),
                target,
            });
        }
    }
    result
}
