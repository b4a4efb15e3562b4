//! MetalLB: what each release's tasks ask of its variables, and what its templates can't do without.

use super::{CODE, Context, Variables, is_expression};
use crate::release::Release;
use crate::report::{At, Report, nearest, quote};
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

/// Up to v2.21: variables of their own, from which one ConfigMap is made.
fn config_map(release: &Release, variables: &Variables, report: &mut Report) {
    let bgp = variables.text("metallb_protocol") == Some("bgp");
    let speaks = variables.truth("metallb_speaker_enabled") != Some(false);
    if bgp && speaks && is_empty(variables.get("metallb_peers")) {
        let help = "set metallb_peers, or leave metallb_protocol out";
        variables.error("metallb_protocol", "BGP needs peers", help, report);
    }
    for name in ["metallb_ip_range", "metallb_peers"] {
        let value = variables.get(name).filter(|value| !is_empty(Some(value)));
        list(value, &variables.at.key(name), report);
    }
    const POOLS: &str = "metallb_additional_address_pools";
    let at = variables.at.key(POOLS);
    each(variables.get(POOLS), &at, report, |pool, at, report| {
        // From v2.20.0 on, `auto_assign` is left out where it is not set.
        let needs = match release.is_from(20) {
            true => &["protocol", "ip_range"][..],
            false => &["protocol", "ip_range", "auto_assign"],
        };
        has(pool, needs, at, report);
        list(pool.get("ip_range"), &at.key("ip_range"), report);
    });
}

/// From v2.22.1 on: one variable, from which MetalLB's own resources are made.
fn resources(context: &Context, variables: &Variables, report: &mut Report) {
    const CONFIG: &str = "metallb_config";
    let at = variables.at.key(CONFIG);
    let Some(config) = mapping(variables.get(CONFIG), &at, report) else {
        return;
    };
    for key in config.keys().filter_map(Value::as_str) {
        misspelled(key, &KEYS, &at, report);
    }
    filled(config, &["address_pools", "layer2", "layer3"], &at, report);
    let pools = config.get("address_pools");
    let at_pools = at.key("address_pools");
    each(pools, &at_pools, report, |pool, at, report| {
        // From v2.24.0 on, `auto_assign` has a default.
        let needs = match context.release.is_from(24) {
            true => &["ip_range"][..],
            false => &["ip_range", "auto_assign"],
        };
        has(pool, needs, at, report);
        list(pool.get("ip_range"), &at.key("ip_range"), report);
    });
    let silent = |key: &str| config.get(key).is_none_or(|value| is_empty(Some(value)));
    if !is_empty(pools) && ["layer2", "layer3"].into_iter().all(silent) {
        let message =
            "nobody learns of these addresses: neither `layer2` nor `layer3` names a pool";
        let help = "write the pools' names beside it, as `layer2: [primary]`";
        report.warning(&at_pools, "metallb-pool", message, help);
    }
    let is_pool = |name: &str| match pools {
        Some(Value::Mapping(pools)) => pools.contains_key(name),
        // Whatever it is, it is reported, or Ansible's.
        pools => pools.is_some_and(|pools| !pools.is_null()),
    };
    let at_layer2 = at.key("layer2");
    announced(config.get("layer2"), &is_pool, &at_layer2, report);
    let at_layer3 = at.key("layer3");
    if let Some(layer3) = mapping(config.get("layer3"), &at_layer3, report) {
        peers(layer3, &is_pool, &at_layer3, report);
    }
}

/// The parts of `metallb_config`.
const KEYS: [&str; 5] = ["address_pools", "controller", "layer2", "layer3", "speaker"];

/// A part that no template reads.
fn misspelled(key: &str, known: &[&str], at: &At, report: &mut Report) {
    if known.contains(&key) {
        return;
    }
    let message = format!("{} is no part that Kubespray reads", quote(key));
    let help = match nearest(key, known.iter().copied()) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("leave it out; its parts are {}", known.join(", ")),
    };
    report.warning(&at.key(key), "addon-variable-unknown", message, help);
}

/// What a BGP router is told. Templates go through the peers, whether there are speakers or not.
fn peers(layer3: &Mapping, is_pool: &dyn Fn(&str) -> bool, at: &At, report: &mut Report) {
    has(layer3, &["metallb_peers"], at, report);
    filled(layer3, &["communities"], at, report);
    let defaults = layer3.get("defaults");
    let has_port = defaults
        .is_some_and(|defaults| defaults.get("peer_port").is_some() || is_expression(defaults));
    let at_peers = at.key("metallb_peers");
    each(
        layer3.get("metallb_peers"),
        &at_peers,
        report,
        |peer, at, report| {
            has(
                peer,
                &["my_asn", "peer_asn", "peer_address", "address_pool"],
                at,
                report,
            );
            filled(peer, &["communities", "aggregation_length"], at, report);
            announced(
                peer.get("address_pool"),
                is_pool,
                &at.key("address_pool"),
                report,
            );
            if !has_port && peer.get("peer_port").is_none() {
                let help = "write `peer_port: 179` here, or under metallb_config.layer3.defaults";
                report.error(at, CODE, "`peer_port` is missing", help);
            }
        },
    );
}

/// A list of pools. Somebody may make a pool by hand, too.
fn announced(value: Option<&Value>, is_pool: &dyn Fn(&str) -> bool, at: &At, report: &mut Report) {
    for (index, name) in list(value, at, report).into_iter().flatten().enumerate() {
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
        report.warning(&at.index(index), "metallb-pool", message, help);
    }
}

/// Does something for each mapping in a mapping.
fn each(
    value: Option<&Value>,
    at: &At,
    report: &mut Report,
    mut act: impl FnMut(&Mapping, &At, &mut Report),
) {
    for (name, value) in mapping(value, at, report).into_iter().flatten() {
        let at = at.key(name.as_str().unwrap_or_default());
        match value {
            Value::Null => empty(&at, report),
            value => {
                if let Some(inner) = mapping(Some(value), &at, report) {
                    act(inner, &at, report);
                }
            }
        }
    }
}

/// Reports what is there and empty: to templates it is set, and they find no part of it.
fn filled(mapping: &Mapping, keys: &[&str], at: &At, report: &mut Report) {
    for key in keys {
        if mapping.get(*key).is_some_and(Value::is_null) {
            empty(&at.key(key), report);
        }
    }
}

fn empty(at: &At, report: &mut Report) {
    let help = "write what belongs to it, or leave it out";
    report.error(at, CODE, "it is empty", help);
}

/// Reports what a template asks for and finds nothing.
fn has(mapping: &Mapping, keys: &[&str], at: &At, report: &mut Report) {
    let is_missing = |key: &&&str| mapping.get(**key).is_none_or(Value::is_null);
    for key in keys.iter().filter(is_missing) {
        let message = format!("`{key}` is missing");
        let help = "write it: Kubespray's template for MetalLB fails without";
        report.error(at, CODE, message, help);
    }
}

/// A mapping; none where it is not set, an expression, or something else, which is reported.
fn mapping<'v>(value: Option<&'v Value>, at: &At, report: &mut Report) -> Option<&'v Mapping> {
    let value = value.filter(|value| !value.is_null() && !is_expression(value))?;
    if !value.is_mapping() {
        let message = "it must be a mapping";
        report.error(at, CODE, message, "write it as `name: value`, a line each");
    }
    value.as_mapping()
}

/// A list; none where it is not set, an expression, or something else, which is reported.
fn list<'v>(value: Option<&'v Value>, at: &At, report: &mut Report) -> Option<&'v Vec<Value>> {
    let value = value.filter(|value| !value.is_null() && !is_expression(value))?;
    if !value.is_sequence() {
        let message = "it must be a list";
        let help = match value.as_str() {
            Some(text) => format!("write `[{}]`", crate::text::line(text)),
            None => "write it in brackets, as `[a, b]`".to_owned(),
        };
        report.error(at, CODE, message, help);
    }
    value.as_sequence()
}

/// What counts as nothing to Ansible.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Sequence(items)) => items.is_empty(),
        Some(Value::Mapping(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// kube-vip holds an address for the masters, and crashes without one.
pub(super) fn kube_vip(variables: &Variables, report: &mut Report) {
    const OF_MASTERS: &str = "kube_vip_controlplane_enabled";
    let on = variables.is_on("kube_vip_enabled") && variables.is_on(OF_MASTERS);
    if on && is_empty(variables.get("kube_vip_address")) {
        let message = "kube-vip holds an address for the masters, and none is given";
        let help = "set kube_vip_address, or leave both out: cluster.nodes.loadBalancer has a `vip` for the masters";
        report.warning(
            &variables.at.key(OF_MASTERS),
            "kube-vip-address",
            message,
            help,
        );
    }
}

/// MetalLB and kube-vip answer for addresses that kube-proxy would answer for, too. Kubitect sets `kube_proxy_strict_arp`
/// unless the file does.
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
