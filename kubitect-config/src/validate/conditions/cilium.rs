//! The conditions for cilium's variables: allowed values, and variables that depend on one another.

use super::{Context, Variables};
use crate::report::{Report, quote};
use crate::yaml::Value;

/// The variable that says whether cilium replaces kube-proxy.
pub(super) const REPLACEMENT: &str = "cilium_kube_proxy_replacement";
const TUNNEL: &str = "cilium_tunnel_mode";
const DIRECT: &str = "cilium_auto_direct_node_routes";

pub(super) fn cilium(context: &Context, variables: &Variables, report: &mut Report) {
    let is_plugin = context.kubernetes.network_plugin == "cilium";
    if !is_plugin && !variables.is_on("cilium_deploy_additionally") {
        return;
    }
    encryption(variables, report);
    let id = variables.number("cilium_cluster_id", 0);
    if id.is_some_and(|id| id > 255) {
        let message = "it is a number from 0 to 255";
        variables.error("cilium_cluster_id", message, "use a lower number", report);
    }
    let capacity = variables.number("cilium_hubble_event_buffer_capacity", 4095);
    if capacity.is_some_and(|n| !(1..=65535).contains(&n) || !(n + 1).is_power_of_two()) {
        let message = "it is one less than a power of two, at most 65535";
        variables.error(
            "cilium_hubble_event_buffer_capacity",
            message,
            "use 4095",
            report,
        );
    }
    // Before v2.28, the allowed words are those of the release's own cilium; another version takes others.
    if context.release.is_from(28) || variables.get("cilium_version").is_none() {
        replacement(context, variables, report);
    }
    if is_plugin {
        routing(context, variables, report);
    }
}

fn encryption(variables: &Variables, report: &mut Report) {
    let tunnel = variables.get(TUNNEL).is_none() || variables.text(TUNNEL) == Some("vxlan");
    let by = variables.text("cilium_encryption_type").unwrap_or("ipsec");
    let name = "cilium_encryption_enabled";
    let has_key = variables.get("cilium_ipsec_key").is_some();
    if variables.is_on(name) && tunnel && by == "ipsec" && !has_key {
        let help = "set cilium_ipsec_key, or `cilium_encryption_type: wireguard`";
        variables.error(name, "encryption by IPsec needs a key", help, report);
    }
    let name = "cilium_ipsec_enabled";
    if variables.is_on(name) && by != "ipsec" {
        let message = "it needs `cilium_encryption_type: ipsec`";
        variables.error(name, message, "leave it out", report);
    }
}

/// The value must be one that cilium takes: its agents (from v2.28 on, its chart) fail with any other. Before v2.28, Kubespray
/// writes a truth value as `True`, which cilium does not take.
fn replacement(context: &Context, variables: &Variables, report: &mut Report) {
    let Some(value) = variables.get(REPLACEMENT) else {
        return;
    };
    if variables.is_expression(REPLACEMENT) {
        return;
    }
    let release = context.release;
    let words: &[&str] = match () {
        () if release.is_from(28) => &[],
        () if release.is_from(25) => &["partial", "strict", "disabled", "\"true\"", "\"false\""],
        () if release.is_from(22) => &["partial", "strict", "disabled"],
        () => &["probe", "partial", "strict", "disabled"],
    };
    let is_word = |text: &str| words.iter().any(|word| word.trim_matches('"') == text);
    let (fits, shown) = match value {
        Value::Bool(is) => (words.is_empty(), is.to_string()),
        Value::String(text) => (is_word(text), text.clone()),
        _ => (false, "this".to_owned()),
    };
    if fits {
        return;
    }
    let message = format!(
        "cilium of Kubespray {} ends at {}",
        release.tag,
        quote(&shown)
    );
    let help = match words {
        [] => "write true or false: true for what was `strict`, false for `partial`".to_owned(),
        words => format!(
            "use one of {}; `strict` does without kube-proxy",
            words.join(", ")
        ),
    };
    variables.error(REPLACEMENT, message, help, report);
}

/// Routing between nodes: without a tunnel, cilium or the network's routers must make the routes; with a tunnel, cilium's agents
/// fail if they are also to make routes.
fn routing(context: &Context, variables: &Variables, report: &mut Report) {
    let release = context.release;
    let values = variables.get("cilium_extra_values");
    let sets = |key: &str| values.is_some_and(|values| values.get(key).is_some());
    let own = sets("routingMode") || sets("tunnelProtocol");
    let is_disabled = variables.text(TUNNEL) == Some("disabled");
    // Releases after v2.31.0 will have the fix (Kubespray's pull request 13427), so one that is newer than the table is left out.
    let is_of_table = context.kubernetes.kubespray.version == release.tag;
    if is_disabled && release.is_from(28) && is_of_table && !own {
        let message = format!(
            "Kubespray {} hands it on as the name of a tunnel, at which cilium's agents end (its issue 13267)",
            release.tag
        );
        let help = match release.is_from(29) {
            true => {
                "leave it out for VXLAN; for routes without a tunnel write `cilium_tunnel_mode: vxlan` and `cilium_extra_values: \
                 {routingMode: native}`"
            }
            false => {
                "leave it out for VXLAN, or take Kubespray v2.29.0 or later for routes without a tunnel"
            }
        };
        variables.error(TUNNEL, message, help, report);
        return;
    }
    if own || variables.is_expression(TUNNEL) || variables.is_expression(DIRECT) {
        return;
    }
    let direct = variables.is_on(DIRECT);
    if direct && !is_disabled {
        let message = "it needs routing without a tunnel: cilium's agents end where they have both";
        let help = match release.is_from(28) {
            true => "set `cilium_extra_values: {routingMode: native}`, too, or leave it out",
            false => "set `cilium_tunnel_mode: disabled`, too, or leave it out",
        };
        variables.error(DIRECT, message, help, report);
    }
    if is_disabled && !direct && context.nodes > 1 {
        report.warning(
            &variables.path.key(TUNNEL),
            "cilium-routes",
            "without a tunnel cilium makes no routes between nodes by itself: pods reach none on other nodes, unless routers know \
             the way",
            "set `cilium_auto_direct_node_routes: true`, or leave both out for VXLAN",
        );
    }
}
