//! kube-proxy: a network plugin must replace it if it is turned off, and must understand its mode.

use super::{Context, Variables, cilium};
use crate::report::Report;
use crate::yaml::Value;

const REMOVE: &str = "kube_proxy_remove";
const MODE: &str = "kube_proxy_mode";

pub(super) fn kube_proxy(context: &Context, variables: &Variables, report: &mut Report) {
    missing(context, variables, report);
    nftables(context, variables, report);
}

/// If kube-proxy is turned off, the network plugin must replace it. Otherwise no pod reaches a service, not even the API's: so
/// the network plugin itself would not start.
fn missing(context: &Context, variables: &Variables, report: &mut Report) {
    if !variables.is_on(REMOVE) {
        return;
    }
    let on = |name: &str| variables.is_on(name) || variables.is_expression(name);
    let replaces = match variables.get(cilium::REPLACEMENT) {
        // Of the words that releases before v2.28 take, only this one replaces kube-proxy.
        Some(Value::String(text)) => text == "strict" || on(cilium::REPLACEMENT),
        _ => on(cilium::REPLACEMENT),
    };
    let by_values = variables.get("cilium_extra_values").is_some();
    let (is_served, how) = match context.kubernetes.network_plugin.as_str() {
        "cilium" if context.release.is_from(28) => (
            replaces || by_values,
            "set `cilium_kube_proxy_replacement: true`, too",
        ),
        "cilium" => (replaces, "set `cilium_kube_proxy_replacement: strict`, too"),
        "calico" => (
            on("calico_bpf_enabled"),
            "set `calico_bpf_enabled: true`, too",
        ),
        "kube-router" => (
            on("kube_router_run_service_proxy"),
            "set `kube_router_run_service_proxy: true`, too",
        ),
        // Nothing is known about a network plugin that a person installs.
        "cni" | "custom_cni" | "none" | "cloud" => return,
        _ => (false, "take a network plugin that does its work, as cilium"),
    };
    let beside = variables.is_on("cilium_deploy_additionally");
    if !is_served && !beside {
        let message =
            "without kube-proxy nobody leads to services, and no network plugin reaches the API";
        let help = format!("leave it out, or {how}");
        variables.error(REMOVE, message, help, report);
    }
}

/// The mode nftables needs a feature gate before Kubernetes v1.31, and a setting of calico's, whose rules would otherwise be
/// iptables'.
fn nftables(context: &Context, variables: &Variables, report: &mut Report) {
    // Earlier releases refuse the mode itself, which `rules` reports.
    if variables.text(MODE) != Some("nftables") || !context.release.is_from(28) {
        return;
    }
    let kubernetes = context.kubernetes;
    let gates = ["kube_proxy_feature_gates", "kube_feature_gates"];
    let is_gated = |name: &str| {
        let gates = variables.get(name).and_then(Value::as_sequence);
        gates.is_some_and(|gates| gates.iter().any(|gate| gate == "NFTablesProxyMode=true"))
    };
    if kubernetes.version.minor() < (1, 31) && !gates.into_iter().any(is_gated) {
        let message = format!(
            "kube-proxy of Kubernetes {} takes nftables behind a feature gate only",
            kubernetes.version
        );
        let help = "set `kube_proxy_feature_gates: [NFTablesProxyMode=true]`, or take Kubernetes v1.31 or later";
        variables.error(MODE, message, help, report);
    }
    let name = "calico_nftable_mode";
    let is_set = variables.text(name) == Some("Enabled") || variables.is_expression(name);
    if kubernetes.network_plugin == "calico" && !is_set {
        let message = "calico, whose own rules are of iptables, ends beside kube-proxy's of nftables (Kubespray's issue 12198)";
        let help = match context.release.is_from(29) {
            true => "set `calico_nftable_mode: Enabled`, too, or take iptables or ipvs",
            false => {
                "take iptables or ipvs, or Kubespray v2.29.0 or later and `calico_nftable_mode: Enabled`"
            }
        };
        variables.error(MODE, message, help, report);
    }
}
