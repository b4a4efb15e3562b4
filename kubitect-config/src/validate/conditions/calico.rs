//! The conditions for calico's variables: allowed values, and variables that depend on one another.

use ipnet::Ipv4Net;

use super::rules::one_of;
use super::{Context, Variables};
use crate::report::{Report, quote};
use crate::variables::PODS;

/// The values that the releases' assertions allow.
pub(super) const VALUES: [(&str, &[&str]); 4] = [
    ("calico_network_backend", &["bird", "vxlan", "none"]),
    ("calico_ipip_mode", &["Always", "CrossSubnet", "Never"]),
    ("calico_vxlan_mode", &["Always", "CrossSubnet", "Never"]),
    ("calico_datastore", &["kdd", "etcd"]),
];

/// The network backend must make routes for the chosen encapsulation: only BIRD makes them for IP-in-IP and for no encapsulation.
fn routes(
    ipip: Option<&str>,
    vxlan: Option<&str>,
    context: &Context,
    variables: &Variables,
    report: &mut Report,
) {
    const BACKEND: &str = "calico_network_backend";
    let backend = match variables.get(BACKEND) {
        Some(_) => variables.text(BACKEND),
        None => Some("vxlan"),
    };
    let by_ipip = matches!(ipip, Some("Always" | "CrossSubnet"));
    // With the backend `none` and no IP-in-IP, routes are made outside of calico.
    let lacks_routes = match backend {
        Some("vxlan") => by_ipip || (ipip == Some("Never") && vxlan == Some("Never")),
        Some("none") => by_ipip,
        _ => false,
    };
    if !lacks_routes {
        return;
    }
    let names = [BACKEND, "calico_ipip_mode", "calico_vxlan_mode"];
    let set = |name: &&str| variables.get(name).is_some();
    let name = names.into_iter().find(set).unwrap_or(BACKEND);
    let how = if by_ipip {
        "IP-in-IP"
    } else {
        "no encapsulation"
    };
    let message = format!(
        "calico's network backend is {}, which makes no routes with {how}: pods reach none on other nodes",
        backend.unwrap_or_default()
    );
    let help = "set `calico_network_backend: bird`, or leave all three out for VXLAN";
    let path = variables.path.key(name);
    // With one node this works, and none of the three variables can be changed in an existing cluster: so it is only a warning.
    match context.nodes > 1 {
        true => report.error(&path, "calico-routes", message, help),
        false => report.warning(&path, "calico-routes", message, help),
    }
}

/// calico divides the pods' range into blocks: the block size must be allowed, and the range must have at least one block.
fn blocks(variables: &Variables, report: &mut Report) {
    const SIZE: &str = "calico_pool_blocksize";
    let Some(size) = variables.number(SIZE, 26) else {
        return;
    };
    if !(20..=32).contains(&size) {
        let message = format!("calico has no blocks of /{size}");
        variables.error(
            SIZE,
            message,
            "use a number from 20 to 32, or leave it out",
            report,
        );
        return;
    }
    let pool = ["calico_pool_cidr", "kube_pods_subnet"]
        .into_iter()
        .find(|name| variables.get(name).is_some());
    let text = |name: &str| variables.text(name)?.parse::<Ipv4Net>().ok();
    let range = match pool {
        Some(name) => text(name),
        None => PODS.parse().ok(),
    };
    if let Some(range) = range.filter(|range| u64::from(range.prefix_len()) > size) {
        let message = format!("{range}, the range of pods, holds no block of /{size}, calico's");
        let help = "take a larger range, or set calico_pool_blocksize to a number up to 32";
        variables.error(pool.unwrap_or(SIZE), message, help, report);
    }
}

pub(super) fn calico(context: &Context, variables: &Variables, report: &mut Report) {
    for (name, values) in VALUES {
        one_of(name, values, context, variables, report);
    }
    let mode = |name: &str, default: &'static str| match variables.get(name) {
        Some(_) => variables.text(name),
        None => Some(default),
    };
    let (ipip, vxlan) = (
        mode("calico_ipip_mode", "Never"),
        mode("calico_vxlan_mode", "Always"),
    );
    if let (Some(ipip @ ("Always" | "CrossSubnet")), Some(vxlan @ ("Always" | "CrossSubnet"))) =
        (ipip, vxlan)
    {
        let name = match variables.get("calico_ipip_mode") {
            Some(_) => "calico_ipip_mode",
            None => "calico_vxlan_mode",
        };
        variables.error(
            name,
            format!("calico takes one of IP-in-IP ({ipip}) and VXLAN ({vxlan}), not both"),
            "set the other mode to Never: with IP-in-IP, `calico_vxlan_mode: Never` and `calico_network_backend: bird`",
            report,
        );
    } else {
        routes(ipip, vxlan, context, variables, report);
    }
    blocks(variables, report);
    if let Some(name) = variables.text("calico_pool_name") {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(2..=63).contains(&name.len()) || !name.chars().all(fits) {
            variables.error(
                "calico_pool_name",
                format!("{} is not a name of a pool", quote(name)),
                "use 2 to 63 letters, digits, `-`, `_` and `.`",
                report,
            );
        }
    }
    for name in ["calico_apiserver_enabled", "typha_enabled"] {
        if variables.is_on(name) && variables.text("calico_datastore") == Some("etcd") {
            variables.error(
                name,
                "it needs `calico_datastore: kdd`",
                "leave calico_datastore out, or this",
                report,
            );
        }
    }
    if variables.is_on("peer_with_calico_rr") && variables.get("cluster_id").is_none() {
        variables.error(
            "peer_with_calico_rr",
            "route reflectors need `cluster_id`, an IPv4 address",
            "set cluster_id, or leave this out",
            report,
        );
    }
}
