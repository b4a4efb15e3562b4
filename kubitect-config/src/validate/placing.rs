//! Taints that leave no node for cluster DNS.

use crate::cluster::{Addons, Effect, Kubernetes, Node, Role, Taint};
use crate::report::{KeyPath, Report};

/// The taints (with the effect `NoSchedule`) that cluster DNS tolerates.
const OF_MASTERS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// Warns if cluster DNS can run on no node.
pub(super) fn placing(
    nodes: &[Node],
    kubernetes: &Kubernetes,
    addons: &Addons,
    path: &KeyPath,
    report: &mut Report,
) {
    let is_own = kubernetes.dns_mode.starts_with("coredns");
    let tolerates = addons.kubespray.contains_key("dns_extra_tolerations");
    let takes_dns = |node: &Node| !node.taints.iter().any(repels_dns);
    let mut of_pods = nodes.iter().filter(|node| node.role != Role::LoadBalancer);
    if !is_own || tolerates || of_pods.any(takes_dns) {
        return;
    }
    report.warning(
        path,
        "taints-everywhere",
        "every master and worker has a taint that cluster DNS does not tolerate: it runs nowhere, and no name is resolved",
        "leave a machine without it, or set `dns_extra_tolerations: [{operator: Exists}]` in addons.kubespray",
    );
}

fn repels_dns(taint: &Taint) -> bool {
    match taint.effect {
        Effect::NoSchedule => !OF_MASTERS.contains(&taint.key.as_str()),
        Effect::NoExecute => true,
        Effect::PreferNoSchedule => false,
    }
}
