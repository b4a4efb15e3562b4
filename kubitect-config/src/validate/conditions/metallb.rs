//! MetalLB and kube-vip: what each release's tasks assert about their variables, and what its templates need.

use super::{CODE, Context, Variables, is_expression};
use crate::release::Release;
use crate::report::{KeyPath, Report, nearest, quote};
use crate::value::Version;
use crate::yaml::{Mapping, Value};

pub(super) fn metallb(context: &Context, variables: &Variables, report: &mut Report) {
    const ON: &str = "metallb_enabled";
    if !variables.is_on(ON) {
        return;
    }
    let release = context.release;
    if release.is_from(20) && variables.all.contains_key("matallb_auto_assign") {
        let message = format!("Kubespray {} refuses the misspelled name", release.tag);
        let help = match release.is_from(22) {
            true => "set auto_assign of the pool in metallb_config",
            false => "write `metallb_auto_assign`",
        };
        variables.error("matallb_auto_assign", message, help, report);
    }
    if release.tag == Version::new((2, 22), 0) {
        let message =
            "Kubespray v2.22.0 can't install MetalLB: it looks for a file that it does not have";
        let help = "use Kubespray v2.22.1 or v2.22.2";
        variables.error(ON, message, help, report);
    } else if release.is_from(22) {
        resources(context, variables, report);
    } else {
        if is_empty(variables.get("metallb_ip_range")) {
            let message =
                "MetalLB needs `metallb_ip_range`, the addresses that it gives to services";
            let help = "set `metallb_ip_range: [FIRST-LAST]` in addons.kubespray";
            variables.error(ON, message, help, report);
        }
        config_map(release, variables, report);
    }
}

/// Up to v2.21 MetalLB has several variables, from which Kubespray makes a ConfigMap.
fn config_map(release: &Release, variables: &Variables, report: &mut Report) {
    let bgp = variables.text("metallb_protocol") == Some("bgp");
    let speaks = variables.truth("metallb_speaker_enabled") != Some(false);
    if bgp && speaks && is_empty(variables.get("metallb_peers")) {
        let help = "set metallb_peers, or leave metallb_protocol out";
        variables.error("metallb_protocol", "BGP needs peers", help, report);
    }
    for name in ["metallb_ip_range", "metallb_peers"] {
        let value = variables.get(name).filter(|value| !is_empty(Some(value)));
        list(value, &variables.path.key(name), report);
    }
    const POOLS: &str = "metallb_additional_address_pools";
    let path = variables.path.key(POOLS);
    each(variables.get(POOLS), &path, report, |pool, path, report| {
        // From v2.20.0 on, the template leaves `auto_assign` out if it is not set.
        let needs = match release.is_from(20) {
            true => &["protocol", "ip_range"][..],
            false => &["protocol", "ip_range", "auto_assign"],
        };
        has(pool, needs, path, report);
        list(pool.get("ip_range"), &path.key("ip_range"), report);
    });
}

/// From v2.22.1 on MetalLB has one variable, from which Kubespray makes MetalLB's own resources.
fn resources(context: &Context, variables: &Variables, report: &mut Report) {
    const CONFIG: &str = "metallb_config";
    let path = variables.path.key(CONFIG);
    let Some(config) = mapping(variables.get(CONFIG), &path, report) else {
        return;
    };
    for key in config.keys().filter_map(Value::as_str) {
        misspelled(key, &KEYS, &path, report);
    }
    filled(
        config,
        &["address_pools", "layer2", "layer3"],
        &path,
        report,
    );
    let pools = config.get("address_pools");
    let pools_path = path.key("address_pools");
    each(pools, &pools_path, report, |pool, path, report| {
        // From v2.24.0 on, `auto_assign` has a default.
        let needs = match context.release.is_from(24) {
            true => &["ip_range"][..],
            false => &["ip_range", "auto_assign"],
        };
        has(pool, needs, path, report);
        list(pool.get("ip_range"), &path.key("ip_range"), report);
    });
    let announces_none = |key: &str| config.get(key).is_none_or(|value| is_empty(Some(value)));
    if !is_empty(pools) && ["layer2", "layer3"].into_iter().all(announces_none) {
        let message =
            "nobody learns of these addresses: neither `layer2` nor `layer3` names a pool";
        let help = "write the pools' names beside it, as `layer2: [primary]`";
        report.warning(&pools_path, "metallb-pool", message, help);
    }
    let is_pool = |name: &str| match pools {
        Some(Value::Mapping(pools)) => pools.contains_key(name),
        // Any other value is reported already, or is an expression.
        pools => pools.is_some_and(|pools| !pools.is_null()),
    };
    let layer2_path = path.key("layer2");
    announced(config.get("layer2"), &is_pool, &layer2_path, report);
    let layer3_path = path.key("layer3");
    if let Some(layer3) = mapping(config.get("layer3"), &layer3_path, report) {
        peers(layer3, &is_pool, &layer3_path, report);
    }
}

/// The keys of `metallb_config`.
const KEYS: [&str; 5] = ["address_pools", "controller", "layer2", "layer3", "speaker"];

/// Warns of a key that no template reads.
fn misspelled(key: &str, keys: &[&str], path: &KeyPath, report: &mut Report) {
    if keys.contains(&key) {
        return;
    }
    let message = format!("{} is no part that Kubespray reads", quote(key));
    let help = match nearest(key, keys.iter().copied()) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("leave it out; its parts are {}", keys.join(", ")),
    };
    report.warning(&path.key(key), "addon-variable-unknown", message, help);
}

/// The BGP peers. The templates read all of them, whether MetalLB's speakers are on or not.
fn peers(layer3: &Mapping, is_pool: &dyn Fn(&str) -> bool, path: &KeyPath, report: &mut Report) {
    has(layer3, &["metallb_peers"], path, report);
    filled(layer3, &["communities"], path, report);
    let defaults = layer3.get("defaults");
    let has_port = defaults
        .is_some_and(|defaults| defaults.get("peer_port").is_some() || is_expression(defaults));
    let peers_path = path.key("metallb_peers");
    each(
        layer3.get("metallb_peers"),
        &peers_path,
        report,
        |peer, path, report| {
            has(
                peer,
                &["my_asn", "peer_asn", "peer_address", "address_pool"],
                path,
                report,
            );
            filled(peer, &["communities", "aggregation_length"], path, report);
            announced(
                peer.get("address_pool"),
                is_pool,
                &path.key("address_pool"),
                report,
            );
            if !has_port && peer.get("peer_port").is_none() {
                let help = "write `peer_port: 179` here, or under metallb_config.layer3.defaults";
                report.error(path, CODE, "`peer_port` is missing", help);
            }
        },
    );
}

/// Warns of pools in a list of announced ones that `metallb_config` does not have. Only a warning: a person may make a pool by
/// hand.
fn announced(
    value: Option<&Value>,
    is_pool: &dyn Fn(&str) -> bool,
    path: &KeyPath,
    report: &mut Report,
) {
    for (index, name) in list(value, path, report).into_iter().flatten().enumerate() {
        let Some(name) = name
            .as_str()
            .filter(|name| !is_pool(name) && !name.contains("{{"))
        else {
            continue;
        };
        let message = format!(
            "there is no pool {} in metallb_config.address_pools",
            quote(name)
        );
        let help = "write the name of one, or leave it out: nobody learns of its addresses without";
        report.warning(&path.index(index), "metallb-pool", message, help);
    }
}

/// Calls `act` for each mapping in a mapping, and reports those that are empty.
fn each(
    value: Option<&Value>,
    path: &KeyPath,
    report: &mut Report,
    mut act: impl FnMut(&Mapping, &KeyPath, &mut Report),
) {
    for (name, value) in mapping(value, path, report).into_iter().flatten() {
        let path = path.key(name.as_str().unwrap_or_default());
        match value {
            Value::Null => empty(&path, report),
            value => {
                if let Some(inner) = mapping(Some(value), &path, report) {
                    act(inner, &path, report);
                }
            }
        }
    }
}

/// Reports keys without a value: for the templates they are set, and the templates fail as they find no part in them.
fn filled(mapping: &Mapping, keys: &[&str], path: &KeyPath, report: &mut Report) {
    for key in keys {
        if mapping.get(*key).is_some_and(Value::is_null) {
            empty(&path.key(key), report);
        }
    }
}

fn empty(path: &KeyPath, report: &mut Report) {
    let help = "write what belongs to it, or leave it out";
    report.error(path, CODE, "it is empty", help);
}

/// Reports missing keys without which the template fails.
fn has(mapping: &Mapping, keys: &[&str], path: &KeyPath, report: &mut Report) {
    let is_missing = |key: &&&str| mapping.get(**key).is_none_or(Value::is_null);
    for key in keys.iter().filter(is_missing) {
        let message = format!("`{key}` is missing");
        let help = "write it: Kubespray's template for MetalLB fails without";
        report.error(path, CODE, message, help);
    }
}

/// The value as a mapping; none if it is not set or an expression. Anything else is reported.
fn mapping<'v>(
    value: Option<&'v Value>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<&'v Mapping> {
    let value = value.filter(|value| !value.is_null() && !is_expression(value))?;
    if !value.is_mapping() {
        let message = "it must be a mapping";
        report.error(
            path,
            CODE,
            message,
            "write it as `name: value`, a line each",
        );
    }
    value.as_mapping()
}

/// The value as a list; none if it is not set or an expression. Anything else is reported.
fn list<'v>(
    value: Option<&'v Value>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<&'v Vec<Value>> {
    let value = value.filter(|value| !value.is_null() && !is_expression(value))?;
    if !value.is_sequence() {
        let message = "it must be a list";
        let help = match value.as_str() {
            Some(text) => format!("write `[{}]`", crate::text::line(text)),
            None => "write it in brackets, as `[a, b]`".to_owned(),
        };
        report.error(path, CODE, message, help);
    }
    value.as_sequence()
}

/// Whether Ansible takes the value as empty.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Sequence(items)) => items.is_empty(),
        Some(Value::Mapping(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// kube-vip for the control plane needs an address: it crashes without one.
pub(super) fn kube_vip(variables: &Variables, report: &mut Report) {
    const OF_MASTERS: &str = "kube_vip_controlplane_enabled";
    let on = variables.is_on("kube_vip_enabled") && variables.is_on(OF_MASTERS);
    if on && is_empty(variables.get("kube_vip_address")) {
        let message = "kube-vip holds an address for the masters, and none is given";
        let help = "set kube_vip_address, or leave both out: cluster.nodes.loadBalancer has a `vip` for the masters";
        report.warning(
            &variables.path.key(OF_MASTERS),
            "kube-vip-address",
            message,
            help,
        );
    }
}

/// With MetalLB or kube-vip (ARP), `kube_proxy_strict_arp` must be true in kube-proxy's mode ipvs: otherwise all nodes answer ARP
/// requests for the same addresses. Kubitect sets it, unless the file does.
pub(super) fn address_resolution(variables: &Variables, report: &mut Report) {
    let ipvs = match variables.get("kube_proxy_mode") {
        None => true,
        Some(_) => variables.text("kube_proxy_mode") == Some("ipvs"),
    };
    let needs = match (
        variables.is_on("metallb_enabled"),
        variables.is_on("kube_vip_enabled") && variables.is_on("kube_vip_arp_enabled"),
    ) {
        (true, _) => "metallb_enabled",
        (_, true) => "kube_vip_arp_enabled",
        _ => return,
    };
    if ipvs && variables.truth("kube_proxy_strict_arp") == Some(false) {
        variables.error(
            "kube_proxy_strict_arp",
            format!("{} needs it to be true", quote(needs)),
            "leave it out: Kubitect sets it to true",
            report,
        );
    }
}
