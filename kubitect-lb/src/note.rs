//! The note of a balancer: the digest of the files that it serves with. And the balancers whose files differ from their notes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use kubitect_config::cluster::{API_PORT, ForwardPort, Role, Target};
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts, NodeFacts, digest};

use crate::{Error, Rendered, render};

/// The note that each balancer gets once these files are rolled out: their digest.
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

/// As [`notes`], with the `facts` of only some machines, as in a plan: others have no address yet. A balancer whose files depend
/// on an address that is not known gets no note.
pub fn notes_so_far(cluster: &Cluster, facts: &Facts) -> Result<BTreeMap<Label, String>, Error> {
    // The files are rendered twice, with different addresses in place of the unknown ones: a digest that differs depends on one.
    let digests = |octet: u8| {
        let mut assumed = facts.clone();
        for (node, number) in cluster.nodes.iter().zip(1_u16..) {
            if facts.node(&node.name).is_none() {
                let [high, low] = number.to_be_bytes();
                assumed.nodes.push(NodeFacts {
                    name: node.name.clone(),
                    role: node.role,
                    id: node.id.clone(),
                    host: node.host.clone(),
                    ip: Ipv4Addr::new(0, octet, high, low),
                    mac: node.mac,
                    host_key: String::new(),
                });
            }
        }
        notes(&render(cluster, &assumed)?)
    };
    let (mut notes, others) = (digests(1)?, digests(2)?);
    notes.retain(|name, digest| others.get(name) == Some(digest));
    Ok(notes)
}

/// The balancers whose files are rolled out, and whether each serves already: those whose note differs from the `wanted` one.
///
/// A balancer without a wanted note is rolled out, too: its file depends on an address that is not known yet. One without a note
/// has never served.
pub fn outdated(
    cluster: &Cluster,
    wanted: &BTreeMap<Label, String>,
    noted: impl Fn(&Label) -> Option<String>,
) -> Vec<(Label, bool)> {
    let balancers = cluster.role(Role::LoadBalancer).map(|node| &node.name);
    balancers
        .map(|name| (name, noted(name)))
        .filter(|(name, note)| note.is_none() || wanted.get(name) != note.as_ref())
        .map(|(name, note)| (name.clone(), note.is_some()))
        .collect()
}

/// The plan's row of a balancer whose file is rolled out. `serves`: it serves already, with the file for the `applied` cluster.
pub fn row(
    cluster: &Cluster,
    applied: Option<&Cluster>,
    name: &Label,
    serves: bool,
    host: String,
) -> Row {
    let router_changes = applied.is_some_and(|applied| router_change(applied, cluster).is_some());
    let (action, disruption) = match serves {
        // During the roll-out two balancers may have the address: those with the old id and those with the new one don't hear
        // one another.
        true if router_changes => (Action::Update, Disruption::Outage),
        true => (Action::Update, Disruption::Reload),
        false => (Action::Create, Disruption::None),
    };
    let changes = applied
        .filter(|_| serves)
        .map(|applied| changes(applied, cluster));
    let details = match changes {
        Some(changes) if !changes.is_empty() => changes,
        _ => targets(cluster),
    };
    let row = Row::new(action, Kind::Balancer, name.as_str(), host);
    row.with(&details.join("; ")).disturbing(disruption)
}

/// The ports of a cluster's balancers, and where they lead.
fn targets(cluster: &Cluster) -> Vec<String> {
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
    let nodes = match port.target {
        Target::Workers => "workers",
        Target::Masters => "masters",
        Target::All => "all nodes",
    };
    format!("{} to {} of {nodes}", port.port, port.target_port)
}

/// What a change of the virtual router id does, where balancers share an address. keepalived hears only peers with its own id, and
/// balancers reload one after another: until the last one has reloaded, two may have the address.
fn router_change(applied: &Cluster, wanted: &Cluster) -> Option<String> {
    let vip = wanted
        .balancing
        .vip
        .filter(|vip| applied.balancing.vip == Some(*vip))?;
    let [before, after] = [applied, wanted].map(|cluster| cluster.balancing.virtual_router_id);
    let share = wanted.role(Role::LoadBalancer).count() > 1;
    (share && before != after).then(|| {
        format!(
            "virtual router id {before} -> {after}: for some seconds two balancers may have {vip}, and connections to it end"
        )
    })
}

/// What changes in a balancer's file between two clusters.
fn changes(applied: &Cluster, wanted: &Cluster) -> Vec<String> {
    let mut changes = Vec::from_iter(router_change(applied, wanted));
    for (role, nodes) in [(Role::Master, "masters"), (Role::Worker, "workers")] {
        let names = |cluster: &Cluster| {
            let names = cluster.role(role).map(|node| node.name.clone());
            names.collect::<Vec<_>>()
        };
        let (before, after) = (names(applied), names(wanted));
        if before.len() != after.len() {
            changes.push(format!("{nodes} {} -> {}", before.len(), after.len()));
        } else if before != after {
            changes.push(format!("other {nodes}"));
        }
    }
    let (before, after) = (
        &applied.balancing.forward_ports,
        &wanted.balancing.forward_ports,
    );
    let of_same_name = |ports: &[ForwardPort], port: &ForwardPort| {
        let mut ports = ports.iter();
        ports.find(|other| other.name == port.name).cloned()
    };
    for port in before {
        let text = forwarded(port);
        match of_same_name(after, port) {
            None => changes.push(format!("- port {text}")),
            Some(other) if other != *port => {
                changes.push(format!("port {text} -> {}", forwarded(&other)));
            }
            Some(_) => {}
        }
    }
    let new = after
        .iter()
        .filter(|port| of_same_name(before, port).is_none());
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
        let shown = |balancers: &str| {
            let [applied, wanted] =
                ["virtualRouterId: 7,", "virtualRouterId: 8,"].map(|id| cluster(id, balancers));
            let name = wanted.role(Role::LoadBalancer).next().unwrap().name.clone();
            let row = row(&wanted, Some(&applied), &name, true, "h".to_owned());
            (row.disruption, row.details)
        };
        let (disruption, details) = shown("{id: 1}, {id: 2}");
        assert_eq!(disruption, Disruption::Outage);
        assert!(
            details.contains("router id 7 -> 8: for some seconds two"),
            "{details}"
        );
        // The only balancer has the address before and after.
        assert_eq!(shown("{id: 1}").0, Disruption::Reload);
    }

    /// A change of this makes every balancer that serves reload once: the digests are stored with people's machines.
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
