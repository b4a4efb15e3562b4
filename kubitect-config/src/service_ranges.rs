//! [`service_ranges`]: the addresses that addons (MetalLB, kube-vip, cilium) assign to services, which no machine may have.

use std::net::Ipv4Addr;

use crate::yaml::{Mapping, Value};
use ipnet::Ipv4Net;

use crate::report::KeyPath;

/// A range of addresses that an addon assigns to services, or uses itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRange {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address, which is in the range.
    pub last: Ipv4Addr,
    /// The steps of its path below Kubespray's variables.
    steps: Vec<Step>,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl ServiceRange {
    /// Whether it has an address in common with another range.
    pub fn overlaps(&self, first: Ipv4Addr, last: Ipv4Addr) -> bool {
        self.first <= last && first <= self.last
    }

    /// Calls `act` with the range's path in the file.
    pub(crate) fn with_path(&self, kubespray: &KeyPath, act: &mut dyn FnMut(&KeyPath)) {
        descend(kubespray, &self.steps, act);
    }
}

fn descend(path: &KeyPath, steps: &[Step], act: &mut dyn FnMut(&KeyPath)) {
    match steps.split_first() {
        None => act(path),
        Some((Step::Key(key), rest)) => descend(&path.key(key), rest, act),
        Some((Step::Index(index), rest)) => descend(&path.index(*index), rest, act),
    }
}

/// The ranges of all addons that are on, in every form that a release of Kubespray has for them. Texts that are no IPv4 ranges
/// are left out.
pub fn service_ranges(variables: &Mapping) -> Vec<ServiceRange> {
    entries(variables)
        .into_iter()
        .filter_map(|(steps, text)| {
            let (first, last) = range(&text).ok()??;
            Some(ServiceRange { first, last, steps })
        })
        .collect()
}

/// Calls `act` for each text that should be a range and is none: with its path, the text and the reason.
pub(crate) fn faulty(
    variables: &Mapping,
    kubespray: &KeyPath,
    act: &mut dyn FnMut(&KeyPath, &str, &str),
) {
    for (steps, text) in entries(variables) {
        if let Err(reason) = range(&text) {
            descend(kubespray, &steps, &mut |path| act(path, &text, reason));
        }
    }
}

/// Every text that should be a range, with its path.
fn entries(variables: &Mapping) -> Vec<(Vec<Step>, String)> {
    let mut found = Vec::new();
    let mut list = |path: &[&str], value: Option<&Value>| {
        let steps = path.iter().map(|key| Step::Key((*key).to_owned()));
        let steps: Vec<_> = steps.collect();
        match value {
            Some(Value::String(text)) => found.push((steps, text.clone())),
            Some(Value::Sequence(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::String(text) = item {
                        let path = [&steps[..], &[Step::Index(index)]].concat();
                        found.push((path, text.clone()));
                    }
                }
            }
            _ => {}
        }
    };
    if is_on(variables, "metallb_enabled") {
        // Up to v2.21.
        list(&["metallb_ip_range"], variables.get("metallb_ip_range"));
        // Up to v2.21, and from v2.22 on.
        for path in [
            &["metallb_additional_address_pools"][..],
            &["metallb_config", "address_pools"],
        ] {
            let pools = path.iter().try_fold(None, |value: Option<&Value>, key| {
                value
                    .map_or_else(|| variables.get(*key), |value| value.get(*key))
                    .map(Some)
            });
            let Some(Some(Value::Mapping(pools))) = pools else {
                continue;
            };
            for (name, pool) in pools {
                let Some(name) = name.as_str() else { continue };
                list(&[path, &[name, "ip_range"]].concat(), pool.get("ip_range"));
            }
        }
    }
    if is_on(variables, "kube_vip_enabled") {
        list(&["kube_vip_address"], variables.get("kube_vip_address"));
    }
    // From v2.28 on.
    let pools = variables.get("cilium_loadbalancer_ip_pools");
    for (index, pool) in pools
        .and_then(Value::as_sequence)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let pool_steps = |key: &str| {
            vec![
                Step::Key("cilium_loadbalancer_ip_pools".to_owned()),
                Step::Index(index),
                Step::Key(key.to_owned()),
            ]
        };
        let items = |key: &str| {
            let items = pool.get(key).and_then(Value::as_sequence);
            items.cloned().unwrap_or_default().into_iter().enumerate()
        };
        for (index, cidr) in items("cidrs") {
            let text = cidr.as_str().or_else(|| cidr.get("cidr")?.as_str());
            if let Some(text) = text {
                found.push((
                    [pool_steps("cidrs"), vec![Step::Index(index)]].concat(),
                    text.to_owned(),
                ));
            }
        }
        for (index, range) in items("ranges") {
            let end = |key: &str| range.get(key).and_then(Value::as_str);
            if let Some(start) = end("start") {
                let text = end("stop").map_or(start.to_owned(), |stop| format!("{start}-{stop}"));
                found.push((
                    [pool_steps("ranges"), vec![Step::Index(index)]].concat(),
                    text,
                ));
            }
        }
    }
    found
}

fn is_on(variables: &Mapping, key: &str) -> bool {
    match variables.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => {
            ["true", "yes", "on", "1"].contains(&text.to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

/// Reads `first-last`, a range in CIDR notation, or a single address; none for IPv6 and for a template of Ansible's.
fn range(text: &str) -> Result<Option<(Ipv4Addr, Ipv4Addr)>, &'static str> {
    if text.contains("{{") || text.contains(':') {
        return Ok(None);
    }
    const FORM: &str = "must be written as 192.168.113.200-192.168.113.220 or 192.168.113.192/27";
    let address = |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| FORM);
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (address(first)?, address(last)?);
        if last < first {
            return Err("must begin with its lower address");
        }
        return Ok(Some((first, last)));
    }
    if text.contains('/') {
        let net: Ipv4Net = text.trim().parse().map_err(|_| FORM)?;
        return Ok(Some((net.network(), net.broadcast())));
    }
    let single = address(text)?;
    Ok(Some((single, single)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_its_form() {
        let ranges = |yaml: &str| -> Vec<String> {
            let variables: Mapping = crate::yaml::read_as(yaml, crate::yaml::Limits::OWN).unwrap();
            service_ranges(&variables)
                .iter()
                .map(|range| format!("{}-{}", range.first, range.last))
                .collect()
        };
        let on = "metallb_enabled: true\n";
        for (yaml, wanted) in [
            (
                "metallb_ip_range: [10.9.0.5-10.9.0.9, 10.9.1.0/30]",
                "10.9.0.5-10.9.0.9 10.9.1.0-10.9.1.3",
            ),
            ("metallb_ip_range: 10.9.0.5-10.9.0.9", "10.9.0.5-10.9.0.9"),
            (
                "metallb_additional_address_pools: {a: {ip_range: [10.9.0.5/32]}}",
                "10.9.0.5-10.9.0.5",
            ),
            (
                "metallb_config: {address_pools: {a: {ip_range: [10.9.0.5 - 10.9.0.6]}, b: {ip_range: ['fd00::/64']}}}",
                "10.9.0.5-10.9.0.6",
            ),
            (
                "{kube_vip_enabled: true, kube_vip_address: 10.9.0.4}",
                "10.9.0.4-10.9.0.4",
            ),
            (
                "cilium_loadbalancer_ip_pools: [{name: a, cidrs: [10.9.0.8/30], ranges: [{start: 10.9.0.1, stop: 10.9.0.2}, {start: 10.9.0.3}]}]",
                "10.9.0.8-10.9.0.11 10.9.0.1-10.9.0.2 10.9.0.3-10.9.0.3",
            ),
        ] {
            let with = match yaml.starts_with("metallb") {
                true => format!("{on}{yaml}"),
                false => yaml.to_owned(),
            };
            assert_eq!(ranges(&with).join(" "), wanted, "{yaml}");
        }
        assert_eq!(ranges("metallb_ip_range: [10.9.0.5-10.9.0.9]"), [""; 0]);
        assert_eq!(
            ranges(&format!("{on}metallb_ip_range: [10.9.0.9-10.9.0.5]")),
            [""; 0]
        );
    }
}
