//! What is noted of balancers that serve, and which of them differ from it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use kubitect_config::cluster::{API_PORT, ForwardPort, Role, Target};
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts, NodeFacts, digest};

use crate::{Error, Rendered, render};

/// What is noted of each balancer once these files are rolled out: their digest.
pub fn notes(rendered: &[Rendered]) -> Result<BTreeMap<Label, String>, Error> {
    rendered
        .iter()
        .map(|balancer| {
            let digest = digest::of(&(&balancer.haproxy, &balancer.keepalived))
                .map_err(|e| Error::Digest { source: e.into() })?;
            Ok((balancer.node.clone(), digest))
        })
        .collect()
}

/// As [`notes`], of what is `known` of the machines so far: none of a balancer whose files depend on an address that is not
/// known yet.
pub fn notes_so_far(cluster: &Cluster, known: &Facts) -> Result<BTreeMap<Label, String>, Error> {
    // What depends on an unknown address differs between two addresses that no machine has.
    let digests = |other: u8| {
        let mut facts = known.clone();
        for (node, number) in cluster.nodes.iter().zip(1_u16..) {
            if known.node(&node.name).is_none() {
                let [high, low] = number.to_be_bytes();
                facts.nodes.push(NodeFacts {
                    name: node.name.clone(),
                    role: node.role,
                    id: node.id.clone(),
                    host: node.host.clone(),
                    ip: Ipv4Addr::new(0, other, high, low),
                    mac: node.mac,
                    host_key: String::new(),
                });
            }
        }
        notes(&render(cluster, &facts)?)
    };
    let (mut files, others) = (digests(1)?, digests(2)?);
    files.retain(|name, digest| others.get(name) == Some(digest));
    Ok(files)
}

/// The balancers whose files differ from what is `noted` of them, and whether each serves already.
///
/// Of a file that depends on an address which is not known yet, nothing is `wanted` for certain, and it is rolled out.
pub fn outdated(
    cluster: &Cluster,
    wanted: &BTreeMap<Label, String>,
    noted: impl Fn(&Label) -> Option<String>,
) -> Vec<(Label, bool)> {
    let balancers = cluster.role(Role::LoadBalancer).map(|node| &node.name);
    balancers
        .map(|name| (name, noted(name)))
        .filter(|(name, have)| have.is_none() || wanted.get(name) != have.as_ref())
        .map(|(name, have)| (name.clone(), have.is_some()))
        .collect()
}

/// The row of a balancer whose file is rolled out, which `serves` already or not; `applied` is the cluster that it was made for.
pub fn row(
    cluster: &Cluster,
    applied: Option<&Cluster>,
    name: &Label,
    serves: bool,
    host: String,
) -> Row {
    let moves = applied.is_some_and(|applied| other_router(applied, cluster).is_some());
    let (action, disruption) = match serves {
        // Who has the address is not agreed upon meanwhile.
        true if moves => (Action::Update, Disruption::Outage),
        true => (Action::Update, Disruption::Reload),
        false => (Action::Create, Disruption::None),
    };
    let changes = applied
        .filter(|_| serves)
        .map(|applied| changes(applied, cluster));
    let all = match changes {
        Some(changes) if !changes.is_empty() => changes,
        _ => leads(cluster),
    };
    let row = Row::new(action, Kind::Balancer, name.as_str(), host);
    row.with(&all.join("; ")).disturbing(disruption)
}

/// Where a cluster's balancers lead.
fn leads(cluster: &Cluster) -> Vec<String> {
    let ports = cluster.balancing.forward_ports.iter();
    let ports = ports.map(|port| format!("port {}", forwarded(port)));
    let api = format!("port {API_PORT} to {}", masters(cluster));
    std::iter::once(api).chain(ports).collect()
}

fn masters(cluster: &Cluster) -> String {
    match cluster.role(Role::Master).count() {
        1 => "1 master".to_owned(),
        masters => format!("{masters} masters"),
    }
}

fn forwarded(port: &ForwardPort) -> String {
    let whom = match port.target {
        Target::Workers => "workers",
        Target::Masters => "masters",
        Target::All => "all nodes",
    };
    format!("{} to {} of {whom}", port.port, port.target_port)
}

/// What a change of the virtual router id does, where balancers share an address: those that have the new one do not hear the
/// others, and reload before these.
fn other_router(was: &Cluster, is: &Cluster) -> Option<String> {
    let vip = is
        .balancing
        .vip
        .filter(|vip| was.balancing.vip == Some(*vip))?;
    let [before, after] = [was, is].map(|cluster| cluster.balancing.virtual_router_id);
    let share = is.role(Role::LoadBalancer).count() > 1;
    (share && before != after).then(|| {
        format!(
            "virtual router id {before} -> {after}: for some seconds two balancers may have {vip}, and connections to it end"
        )
    })
}

/// What a balancer leads to otherwise than before.
fn changes(was: &Cluster, is: &Cluster) -> Vec<String> {
    let mut changes = Vec::from_iter(other_router(was, is));
    for (role, whom) in [(Role::Master, "masters"), (Role::Worker, "workers")] {
        let names = |cluster: &Cluster| {
            let names = cluster.role(role).map(|node| node.name.clone());
            names.collect::<Vec<_>>()
        };
        let (before, after) = (names(was), names(is));
        if before.len() != after.len() {
            changes.push(format!("{whom} {} -> {}", before.len(), after.len()));
        } else if before != after {
            changes.push(format!("other {whom}"));
        }
    }
    let (before, after) = (&was.balancing.forward_ports, &is.balancing.forward_ports);
    let same = |ports: &[ForwardPort], port: &ForwardPort| {
        let mut ports = ports.iter();
        ports.find(|other| other.name == port.name).cloned()
    };
    for port in before {
        let own = forwarded(port);
        match same(after, port) {
            None => changes.push(format!("- port {own}")),
            Some(other) if other != *port => {
                changes.push(format!("port {own} -> {}", forwarded(&other)));
            }
            Some(_) => {}
        }
    }
    let new = after.iter().filter(|port| same(before, port).is_none());
    changes.extend(new.map(|port| format!("+ port {}", forwarded(port))));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_virtual_router_id_is_an_outage() {
        let cluster = |id: &str, balancers: &str| {
            let text = format!(
                "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster:\n  name: c\n  network: {{mode: nat, cidr: \
                 192.168.113.0/24}}\n  nodes:\n    loadBalancer: {{vip: 192.168.113.9, {id} instances: [{balancers}]}}\n    \
                 master: {{instances: [{{id: 1}}]}}\nkubernetes: {{version: v1.34.4}}\n"
            );
            let parsed = kubitect_config::parse(&text, "c.yaml", &kubitect_config::Site::default());
            parsed.unwrap().cluster
        };
        let said = |balancers: &str| {
            let [was, is] =
                ["virtualRouterId: 7,", "virtualRouterId: 8,"].map(|id| cluster(id, balancers));
            let name = is.role(Role::LoadBalancer).next().unwrap().name.clone();
            let row = row(&is, Some(&was), &name, true, "h".to_owned());
            (row.disruption, row.details)
        };
        let (disruption, details) = said("{id: 1}, {id: 2}");
        assert_eq!(disruption, Disruption::Outage);
        assert!(
            details.contains("router id 7 -> 8: for some seconds two"),
            "{details}"
        );
        // One alone has the address before and after.
        assert_eq!(said("{id: 1}").0, Disruption::Reload);
    }

    /// Whoever changes this makes every living balancer reload once: the digests lie on people's machines.
    #[test]
    fn golden_notes_of_balancers() {
        let rendered = |keepalived: Option<&str>| Rendered {
            node: "demo-lb-1".parse().unwrap(),
            vrrp: None,
            ports: Vec::new(),
            haproxy: "h\n".to_owned(),
            keepalived: keepalived.map(str::to_owned),
        };
        for (keepalived, text) in [(Some("k"), r#"["h\n","k"]"#), (None, r#"["h\n",null]"#)] {
            let notes = notes(&[rendered(keepalived)]).unwrap();
            assert_eq!(
                notes.into_values().collect::<Vec<_>>(),
                [digest::sha256(text.as_bytes())]
            );
        }
    }
}
