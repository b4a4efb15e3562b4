//! Where pods can run: taints that keep what every cluster needs away from all machines.

use crate::cluster::{Addons, Effect, Kubernetes, Node, Role, Taint};
use crate::report::{At, Report};

/// What cluster DNS tolerates, with the effect `NoSchedule`.
const OF_MASTERS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// A warning where cluster DNS finds no machine to run on.
pub(super) fn placing(
    nodes: &[Node],
    kubernetes: &Kubernetes,
    addons: &Addons,
    at: &At,
    report: &mut Report,
) {
    let is_own = kubernetes.dns_mode.starts_with("coredns");
    let tolerates = addons.kubespray.contains_key("dns_extra_tolerations");
    let is_free = |node: &Node| !node.taints.iter().any(keeps_away);
    let mut of_pods = nodes.iter().filter(|node| node.role != Role::LoadBalancer);
    if !is_own || tolerates || of_pods.any(is_free) {
        return;
    }
    report.warning(
        at,
        "taints-everywhere",
        "every master and worker has a taint that cluster DNS does not tolerate: it runs nowhere, and no name is resolved",
        "leave a machine without it, or set `dns_extra_tolerations: [{operator: Exists}]` in addons.kubespray",
    );
}

fn keeps_away(taint: &Taint) -> bool {
    match taint.effect {
        Effect::NoSchedule => !OF_MASTERS.contains(&taint.key.as_str()),
        Effect::NoExecute => true,
        Effect::PreferNoSchedule => false,
    }
}
