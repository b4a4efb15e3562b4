//! Variables that name a network interface: it must be the machines' one, which `cluster.nodeTemplate.os.networkInterface` names.

use super::{Context, Variables};
use crate::report::{Report, quote};

/// Variables that name one interface of every machine.
const NAMES: [&str; 3] = [
    "flannel_interface",
    "kube_vip_interface",
    "macvlan_interface",
];
/// How calico finds a node's address; after `interface=` it has a list of patterns.
const CALICO: &str = "calico_ip_auto_method";

pub(super) fn interfaces(context: &Context, variables: &Variables, report: &mut Report) {
    let named = NAMES
        .iter()
        .filter_map(|name| Some((*name, variables.text(name)?)));
    let calico = variables
        .text(CALICO)
        .and_then(|text| text.strip_prefix("interface="));
    for (name, text) in named.chain(calico.map(|text| (CALICO, text))) {
        let mut patterns = text.split(',').map(str::trim);
        if patterns.any(|pattern| may_match(pattern, context.interface)) {
            continue;
        }
        let own = quote(context.interface);
        report.warning(
            &variables.path.key(name),
            "interface-missing",
            format!("machines have the interface {own}, and none that is {}", quote(text)),
            format!("name {own}, or give machines another name by cluster.nodeTemplate.os.networkInterface"),
        );
    }
}

/// Whether a name or a pattern may match the interface. A pattern that is more than a prefix is not evaluated: it may match.
fn may_match(pattern: &str, own: &str) -> bool {
    let start = pattern
        .trim_start_matches('^')
        .trim_end_matches(['$', '*', '.', '+']);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_@:".contains(c);
    match start.chars().all(is_plain) {
        true if start.len() == pattern.len() => pattern == own,
        true => own.starts_with(start),
        false => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_doubted_only_where_they_are_plain() {
        for good in [
            "ens3",
            "ens.*",
            "ens*",
            "^ens3$",
            ".*",
            "(eth|ens).*",
            "e[tn].*",
        ] {
            assert!(may_match(good, "ens3"), "{good}");
        }
        for bad in ["eth0", "eth.*", "ens", "ens33", "^eth0$"] {
            assert!(!may_match(bad, "ens3"), "{bad}");
        }
    }
}
