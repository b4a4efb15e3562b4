//! Values that kubeadm itself refuses: domains that are no DNS names, and ranges whose sizes it does not take.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{CODE, Variables, is_expression};
use crate::report::{Report, quote};
use crate::yaml::Value;

/// The domain of services (`dns_domain`, else `cluster_name`) must be a DNS name in lower case.
pub(super) fn domain(variables: &Variables, report: &mut Report) {
    let names = ["dns_domain", "cluster_name"];
    let Some((name, value)) = names
        .into_iter()
        .find_map(|name| Some((name, variables.get(name)?)))
    else {
        return;
    };
    if is_expression(value) {
        return;
    }
    let (shown, lower) = match value {
        Value::String(text) if is_subdomain(text) => return,
        Value::String(text) => (quote(text), text.trim_end_matches('.').to_ascii_lowercase()),
        Value::Number(number) => (format!("the number {number}"), String::new()),
        _ => ("this".to_owned(), String::new()),
    };
    let help = match is_subdomain(&lower) {
        true => format!("write `{lower}`"),
        false => "use lower-case letters, digits, `-` and `.`, as cluster.local".to_owned(),
    };
    let message = format!("{shown} is no domain that kubeadm takes");
    report.error(&variables.path.key(name), CODE, message, help);
}

fn is_subdomain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// The range of services must be from /28 (kubeadm needs ten addresses) to /12.
pub(super) fn services(range: Ipv4Net, variables: &Variables, report: &mut Report) {
    let length = range.prefix_len();
    let what = match length {
        0..12 => "at most a /12",
        29.. => "at least a /28",
        _ => return,
    };
    let message =
        format!("{range}, the range of services, is a /{length}, and kubeadm takes {what}");
    let help = "take another range, as 10.233.0.0/18";
    variables.error("kube_service_addresses", message, help, report);
}

/// Fixed addresses of services must be in the range of services: Kubernetes takes no others.
pub(super) fn addresses(services: Ipv4Net, variables: &Variables, report: &mut Report) {
    for name in [
        "kube_apiserver_ip",
        "skydns_server",
        "skydns_server_secondary",
    ] {
        let Some(text) = variables.text(name).filter(|text| !text.contains(':')) else {
            continue;
        };
        let address = text.parse::<Ipv4Addr>();
        if !address.is_ok_and(|address| services.contains(&address)) {
            let message = format!(
                "{} is no address of {services}, the range of services",
                quote(text)
            );
            let help = "leave it out: it follows from kube_service_addresses";
            variables.error(name, message, help, report);
        }
    }
}

/// The range of node ports must be two ports with a hyphen between them.
pub(super) fn node_ports(variables: &Variables, report: &mut Report) {
    const NAME: &str = "kube_apiserver_node_port_range";
    let Some(value) = variables.get(NAME).filter(|value| !is_expression(value)) else {
        return;
    };
    let text = value.as_str().unwrap_or_default();
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ends = text
        .split_once('-')
        .and_then(|(low, high)| Some((port(low)?, port(high)?)));
    if ends.is_none_or(|(low, high)| low > high) {
        let message = "this is no range of ports that the API server and nodes take";
        variables.error(NAME, message, "write it as 30000-32767", report);
    }
}

/// The range of pods may be divided into at most 2^16 parts, one for each node.
pub(super) fn parts(pods: Ipv4Net, prefix: u64, variables: &Variables, report: &mut Report) {
    if prefix > 32 || prefix <= u64::from(pods.prefix_len()) + 16 {
        return;
    }
    let name = match variables.get("kube_pods_subnet") {
        Some(_) => "kube_pods_subnet",
        None => "kube_network_node_prefix",
    };
    let message = format!(
        "{pods}, the range of pods, has more than 65536 parts of /{prefix}, the most that kubeadm takes"
    );
    let help =
        "set kube_pods_subnet to a smaller range, or kube_network_node_prefix to a shorter prefix";
    variables.error(name, message, help, report);
}
