//! IPv4 and IPv6: Kubitect gives machines IPv4 addresses only; IPv6 addresses can only come from a router on a host's bridge.

use super::{Context, Variables};
use crate::cluster::NetworkMode;
use crate::report::Report;

pub(super) fn stack(context: &Context, variables: &Variables, report: &mut Report) {
    const CODE: &str = "ipv6";
    let by_families = context.release.is_from(28);
    if by_families && variables.truth("ipv4_stack") == Some(false) {
        let path = variables.path.key("ipv4_stack");
        let message = "machines, load balancers and certificates have IPv4 addresses only";
        report.error(&path, CODE, message, "leave it out");
        return;
    }
    let name = match by_families && variables.get("ipv6_stack").is_some() {
        true => "ipv6_stack",
        false => "enable_dual_stack_networks",
    };
    let Some(network) = context.network.filter(|_| variables.is_on(name)) else {
        return;
    };
    let path = variables.path.key(name);
    if network.mode == NetworkMode::Bridge {
        let message = "Kubitect gives machines IPv4 addresses only";
        let help =
            "make sure that a router on the bridge announces IPv6 to the machines, or leave it out";
        report.warning(&path, CODE, message, help);
    } else if by_families {
        // An error: Kubespray would give the kubelets the address ::1, with which they fail.
        let message = "machines on libvirt's own networks have no IPv6 addresses, without which Kubernetes does not start";
        let help = "leave it out, or use mode `bridge` where a router announces IPv6";
        report.error(&path, CODE, message, help);
    } else {
        let message = "machines on libvirt's own networks have no IPv6 addresses, so that pods on two of them do not reach \
                       one another by IPv6";
        report.warning(&path, CODE, message, "leave it out");
    }
}
