//! The ranges of pods and services: they may not overlap one another or the machines' network, and must be large enough.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Context, Variables, kubeadm};
use crate::report::{KeyPath, Report, quote};
use crate::service_ranges;
use crate::variables::{PODS, SERVICES};

/// Kubespray's defaults, the same in all releases of the table (as [`PODS`] and [`SERVICES`]).
const NODE_PREFIX: u64 = 24;
const MAX_PODS: u64 = 110;
/// The address of the name server on each node (nodelocaldns), unless `enable_nodelocaldns` is off.
const NODE_DNS: &str = "169.254.25.10";

pub(super) fn of_ipv4(
    context: &Context,
    variables: &Variables,
    path: &KeyPath,
    report: &mut Report,
) {
    let services = range("kube_service_addresses", SERVICES, variables, report);
    let pods = range("kube_pods_subnet", PODS, variables, report);
    if let Some(services) = services {
        kubeadm::services(services, variables, report);
        kubeadm::addresses(services, variables, report);
    }
    if let (Some(services), Some(pods)) = (services, pods)
        && overlap(services, pods)
    {
        let name = match variables.get("kube_pods_subnet") {
            Some(_) => "kube_pods_subnet",
            None => "kube_service_addresses",
        };
        variables.error(
            name,
            format!("the range of pods, {pods}, overlaps with that of services, {services}"),
            "set kube_pods_subnet and kube_service_addresses to ranges apart from one another",
            report,
        );
    }
    if let Some(network) = context.network {
        let cluster_path = path.key("cluster");
        let network_path = cluster_path.key("network");
        let cidr_path = network_path.key("cidr");
        machines_overlap(network.cidr, services, pods, &cidr_path, report);
        name_server(network.cidr, variables, &cidr_path, report);
    }
    assigned_ranges(variables, services, pods, report);
    if let Some(pods) = pods {
        large_enough(context, pods, variables, path, report);
        inside("calico_pool_cidr", pods, variables, report);
    }
}

/// The same conditions for IPv6, if it is on.
pub(super) fn of_ipv6(context: &Context, variables: &Variables, report: &mut Report) {
    let on = ["ipv6_stack", "enable_dual_stack_networks"];
    if !on.iter().any(|name| variables.is_on(name)) {
        return;
    }
    let mut range = |name: &'static str| {
        let text = variables.text(name)?;
        let range = text.parse::<Ipv6Net>().ok();
        let range = range.filter(|range| range.addr() == range.network());
        if range.is_none() {
            let message = format!("{} is not a range of IPv6 addresses", quote(text));
            variables.error(
                name,
                message,
                "write it as fd85:ee78:d8a6:8607::1:0/112",
                report,
            );
        }
        range
    };
    let services = range("kube_service_addresses_ipv6");
    let pods = range("kube_pods_subnet_ipv6");
    if let (Some(services), Some(pods)) = (services, pods)
        && (services.contains(&pods.network()) || pods.contains(&services.network()))
    {
        let message =
            format!("the range of pods, {pods}, overlaps with that of services, {services}");
        let help = "set it to a range apart from kube_service_addresses_ipv6";
        variables.error("kube_pods_subnet_ipv6", message, help, report);
    }
    let prefix = variables.number("kube_network_node_prefix_ipv6", 120);
    if let (Some(pods), Some(prefix)) = (pods, prefix)
        && context.kubernetes.network_plugin != "calico"
    {
        let bits = prefix.checked_sub(u64::from(pods.prefix_len()));
        let parts = bits.map_or(0, |bits| {
            1_u128.checked_shl(bits as u32).unwrap_or(u128::MAX)
        });
        if parts < context.nodes as u128 {
            let message = format!(
                "{pods} holds {parts} parts of /{prefix}, one for each node, and there are {}",
                context.nodes
            );
            let help = "set kube_pods_subnet_ipv6 to a larger range";
            let stack = match variables.get("ipv6_stack") {
                Some(_) => "ipv6_stack",
                None => "enable_dual_stack_networks",
            };
            let cause = variables.path.key(stack);
            variables.error_or("kube_pods_subnet_ipv6", &cause, message, help, report);
        }
    }
    if variables
        .text("calico_ipip_mode_ipv6")
        .is_some_and(|mode| mode != "Never")
    {
        let help = "leave it out";
        variables.error(
            "calico_ipip_mode_ipv6",
            "calico has no IP-in-IP for IPv6",
            help,
            report,
        );
    }
}

/// A variable's range; none for an expression, or if it is wrong, which is reported.
fn range(name: &str, default: &str, variables: &Variables, report: &mut Report) -> Option<Ipv4Net> {
    if variables.is_expression(name) {
        return None;
    }
    let text = match variables.get(name) {
        None => default,
        Some(value) => value.as_str().unwrap_or_default(),
    };
    let range = text.parse::<Ipv4Net>().ok();
    // Only in its plain form: some programs read leading zeros as octal, and others refuse them.
    let range = range.filter(|range| range.trunc().to_string() == text);
    if range.is_none() {
        variables.error(
            name,
            format!("{} is not a range of IPv4 addresses", quote(text)),
            match text.parse::<Ipv4Net>() {
                Ok(inside) => format!("write it as {}", inside.trunc()),
                Err(_) => format!("write it as {default}"),
            },
            report,
        );
    }
    range
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The machines' network may not overlap the pods' or services' range: a pod would not reach a machine with such an address.
fn machines_overlap(
    cidr: Ipv4Net,
    services: Option<Ipv4Net>,
    pods: Option<Ipv4Net>,
    path: &KeyPath,
    report: &mut Report,
) {
    let of = [
        (services, "services", "kube_service_addresses"),
        (pods, "pods", "kube_pods_subnet"),
    ];
    let overlapping: Vec<_> = of
        .iter()
        .filter_map(|(range, what, name)| Some(((*range)?, what, name)))
        .filter(|(range, ..)| overlap(cidr, *range))
        .collect();
    let Some((range, what, name)) = overlapping.first() else {
        return;
    };
    let more = match overlapping.get(1) {
        Some((range, what, name)) => format!(" and with {range}, the range of {what} ({name})"),
        None => String::new(),
    };
    let shown = |range: Option<Ipv4Net>| range.map_or("set".to_owned(), |range| range.to_string());
    report.error(
        path,
        "range-overlap",
        format!(
            "{cidr} overlaps with {range}, the range of {what} ({name}){more}: pods would not reach machines there"
        ),
        format!(
            "use another `cidr`, or set other ranges in addons.kubespray: kube_service_addresses (now {}) and \
             kube_pods_subnet (now {})",
            shown(services),
            shown(pods)
        ),
    );
}

/// No machine's address may be that of nodelocaldns: each node has that address itself, and would not reach the machine.
fn name_server(cidr: Ipv4Net, variables: &Variables, path: &KeyPath, report: &mut Report) {
    const NAME: &str = "nodelocaldns_ip";
    let (text, path) = match variables.get(NAME) {
        Some(_) => (variables.text(NAME), variables.path.key(NAME)),
        None => (Some(NODE_DNS), *path),
    };
    let address = text.and_then(|text| text.parse::<Ipv4Addr>().ok());
    let is_off = variables.truth("enable_nodelocaldns") == Some(false);
    let Some(address) = address.filter(|address| cidr.contains(address) && !is_off) else {
        return;
    };
    let message = format!(
        "{address}, the name server of each node ({NAME}), lies in {cidr}, and a machine may get it as its own"
    );
    let help = "use another `cidr`, or an address that no machine can have, as 169.254.25.10";
    report.warning(&path, "range-overlap", message, help);
}

/// The addresses that addons assign to services may not be in the ranges of pods and services: these exist only inside of the
/// cluster.
fn assigned_ranges(
    variables: &Variables,
    services: Option<Ipv4Net>,
    pods: Option<Ipv4Net>,
    report: &mut Report,
) {
    let of = [
        (services, "services", "kube_service_addresses"),
        (pods, "pods", "kube_pods_subnet"),
    ];
    for assigned in service_ranges::service_ranges(variables.all) {
        for (range, what, name) in of {
            let Some(range) =
                range.filter(|range| assigned.overlaps(range.network(), range.broadcast()))
            else {
                continue;
            };
            assigned.with_path(&variables.path, &mut |path| {
                let message = format!(
                    "{} to {} overlap with {range}, the range of {what} ({name}): nobody outside reaches them",
                    assigned.first, assigned.last
                );
                let help = "give out addresses that your network has for it and nothing else uses";
                report.error(path, "range-overlap", message, help);
            });
        }
    }
}

/// The pods' range must have a part for each node, and a part must have an address for each pod. calico does not need that: it
/// takes as many smaller blocks as it needs; but before v2.21.0 Kubespray asserts the number of parts for calico, too.
fn large_enough(
    context: &Context,
    pods: Ipv4Net,
    variables: &Variables,
    path: &KeyPath,
    report: &mut Report,
) {
    let plugin = &context.kubernetes.network_plugin;
    let is_calico = plugin == "calico";
    let (Some(prefix), Some(max_pods)) = (
        variables.number("kube_network_node_prefix", NODE_PREFIX),
        variables.number("kubelet_max_pods", MAX_PODS),
    ) else {
        return;
    };
    let length = u64::from(pods.prefix_len());
    let parts = match prefix.checked_sub(length) {
        Some(bits) if prefix <= 32 => 1_u64 << bits,
        _ => 0,
    };
    let nodes = context.nodes as u64;
    if parts < nodes && (!is_calico || !context.release.is_from(21)) {
        let cluster_path = path.key("cluster");
        let nodes_path = cluster_path.key("nodes");
        let workers_path = nodes_path.key("worker");
        let cause = match variables.get("kube_network_node_prefix") {
            Some(_) => variables.path.key("kube_network_node_prefix"),
            None => workers_path.key("instances"),
        };
        variables.error_or(
            "kube_pods_subnet",
            &cause,
            format!(
                "{pods}, the range of pods, holds {parts} parts of /{prefix}, one for each node, and there are {nodes} \
                 masters and workers"
            ),
            "set kube_pods_subnet to a larger range, or kube_network_node_prefix to a longer prefix, in addons.kubespray",
            report,
        );
    }
    let none = plugin == "none" && context.release.is_from(27);
    let counts = !(is_calico || none);
    if counts {
        kubeadm::parts(pods, prefix, variables, report);
    }
    let addresses = match prefix {
        0..=30 => (1_u64 << (32 - prefix)) - 2,
        _ => 0,
    };
    if counts && max_pods > addresses {
        let name = match variables.get("kubelet_max_pods") {
            Some(_) => "kubelet_max_pods",
            None => "kube_network_node_prefix",
        };
        variables.error(
            name,
            format!("a node may have {max_pods} pods, and its part of the range, a /{prefix}, has {addresses} addresses"),
            "set kube_network_node_prefix to a shorter prefix, or kubelet_max_pods to a lower number",
            report,
        );
    }
}

/// The variable's range must be inside of the pods' range.
fn inside(name: &str, pods: Ipv4Net, variables: &Variables, report: &mut Report) {
    if variables.get(name).is_none() {
        return;
    }
    let Some(pool) = range(name, PODS, variables, report) else {
        return;
    };
    if !pods.contains(&pool) {
        variables.error(
            name,
            format!("{pool} does not lie inside of {pods}, the range of pods"),
            "use a part of kube_pods_subnet",
            report,
        );
    }
}
