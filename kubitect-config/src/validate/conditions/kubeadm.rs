//! What kubeadm itself refuses: names that are none of DNS, and ranges of a size that it can't share out.

use ipnet::Ipv4Net;

use super::{CODE, Variables, is_expression};
use crate::report::{Report, quote};
use crate::yaml::Value;

/// The domain of services: `dns_domain`, and where that is not set, `cluster_name`.
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
    report.error(&variables.at.key(name), CODE, message, help);
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

/// A /12 is the largest range of services, and one of ten addresses the smallest.
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

/// The range of pods has at most 2^16 parts.
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
