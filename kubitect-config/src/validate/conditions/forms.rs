//! Variables that Kubespray passes on unchecked, and that programs on the machines take in one form only.

use super::{Context, Variables};
use crate::report::{Report, quote};
use crate::yaml::Value;

/// Lists of feature gates, each `Name=true` or `Name=false`.
pub(super) const GATES: [&str; 7] = [
    "kube_feature_gates",
    "kube_apiserver_feature_gates",
    "kube_controller_feature_gates",
    "kube_scheduler_feature_gates",
    "kube_proxy_feature_gates",
    "kubelet_feature_gates",
    "kubeadm_feature_gates",
];

/// Settings of etcd's that are numbers without units.
const NUMBERS: [&str; 5] = [
    "etcd_election_timeout",
    "etcd_heartbeat_interval",
    "etcd_max_request_bytes",
    "etcd_quota_backend_bytes",
    "etcd_snapshot_count",
];

pub(super) fn forms(context: &Context, variables: &Variables, report: &mut Report) {
    for name in GATES {
        gates(name, variables, report);
    }
    for name in NUMBERS {
        number(name, variables, report);
    }
    if context.kubernetes.container_manager == "docker" {
        docker(variables, report);
    }
    policies(context, variables, report);
}

/// Docker's version must have two numbers: by these Kubespray looks up its packages.
fn docker(variables: &Variables, report: &mut Report) {
    let name = "docker_version";
    let Some(text) = variables.text(name) else {
        return;
    };
    let plain = text.trim_start_matches('v');
    let parts: Vec<&str> = plain.split('.').collect();
    let is_number = |part: &&str| part.parse::<u16>().is_ok();
    if parts.len() > 2 && parts[..2].iter().all(is_number) {
        let message = "Kubespray knows Docker's versions by two numbers, and stops at a third";
        let help = format!("write `{name}: \"{}.{}\"`", parts[0], parts[1]);
        variables.error(name, message, help, report);
    }
}

/// Feature gates must be a list of `Name=true` or `Name=false`: Kubernetes' programs fail with any other form.
fn gates(name: &str, variables: &Variables, report: &mut Report) {
    let Some(value) = variables.get(name) else {
        return;
    };
    if variables.is_expression(name) {
        return;
    }
    let is_gate = |gate: &Value| {
        let text = gate.as_str().unwrap_or_default();
        let (key, is) = text.split_once('=').unwrap_or_default();
        let is_name = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
        text.contains("{{") || (is_name && ["true", "false"].contains(&is))
    };
    if !value
        .as_sequence()
        .is_some_and(|gates| gates.iter().all(is_gate))
    {
        let message = format!("{} is a list of gates with their values", quote(name));
        let help = match value.as_mapping().and_then(|gates| gates.iter().next()) {
            Some((Value::String(gate), Value::Bool(is))) => format!("{name}: [{gate}={is}]"),
            _ => format!("{name}: [NAME=true]"),
        };
        variables.error(name, message, format!("write {}", quote(&help)), report);
    }
}

fn number(name: &str, variables: &Variables, report: &mut Report) {
    let has = variables.get(name).is_some() && !variables.is_expression(name);
    if has && variables.number(name, 0).is_none() {
        let help = match name.ends_with("bytes") {
            true => format!("write bytes, as `{name}: 8589934592`"),
            false => "write a whole number".to_owned(),
        };
        variables.error(name, "etcd takes a number without a unit", help, report);
    }
}

/// PodSecurityPolicy may not be turned on from Kubernetes v1.25 on, which no longer has it: the API server would fail.
fn policies(context: &Context, variables: &Variables, report: &mut Report) {
    if context.kubernetes.version.minor() < (1, 25) {
        return;
    }
    const GONE: &str =
        "Kubernetes has no PodSecurityPolicy since v1.25, and the API server ends at it";
    let name = "podsecuritypolicy_enabled";
    // Later releases do not read it.
    if variables.is_on(name) && !context.release.is_from(24) {
        variables.error(name, GONE, "leave it out", report);
    }
    let name = "kube_apiserver_enable_admission_plugins";
    let plugins = variables.get(name).and_then(Value::as_sequence);
    if plugins.is_some_and(|plugins| plugins.iter().any(|name| name == "PodSecurityPolicy")) {
        variables.error(
            name,
            GONE,
            "take PodSecurityPolicy out of it; PodSecurity has taken its place",
            report,
        );
    }
}
