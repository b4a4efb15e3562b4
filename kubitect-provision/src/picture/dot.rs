//! The picture in DOT, for Graphviz and its kin.

use std::fmt::Write;

use kubitect_config::cluster::Role;

use super::Picture;
use super::model::several;

/// A graph with a cluster a host, and in it one a role.
pub fn dot(picture: &Picture) -> String {
    let mut text = format!(
        "digraph {} {{\n",
        quoted(std::slice::from_ref(&picture.cluster))
    );
    let mut line = |line: String| writeln!(text, "  {line}").unwrap_or_default();
    line(
        "compound=true; rankdir=TB; node [shape=box, style=rounded, fontname=monospace];"
            .to_owned(),
    );
    let title = [picture.cluster.clone(), picture.about.clone()];
    line(format!("label={}; labelloc=t;", quoted(&title)));
    line("clients [shape=ellipse];".to_owned());
    let entry = [picture.entry.clone(), picture.entry_kind.clone()];
    line(format!("entry [shape=hexagon, label={}];", quoted(&entry)));
    line("clients -> entry;".to_owned());
    line(format!(
        "subgraph cluster_network {{ label={};",
        quoted(&picture.network)
    ));
    for (at, host) in picture.hosts.iter().enumerate() {
        let name = [format!("host {}", host.name), host.place.clone()];
        line(format!(
            "subgraph cluster_h{at} {{ label={};",
            quoted(&name)
        ));
        for (role, own) in host.by_role() {
            line(format!(
                "subgraph cluster_h{at}{role:?} {{ label={};",
                quoted(&[several(role).to_owned()])
            ));
            for (index, machine) in own {
                line(format!(
                    "h{at}m{index} [label={}];",
                    quoted(&machine.lines())
                ));
            }
            line("}".to_owned());
        }
        line("}".to_owned());
    }
    line("}".to_owned());
    for edge in edges(picture) {
        line(edge);
    }
    text + "}\n"
}

/// The first machine of each group of a role, with the name of the group: edges end at groups.
fn groups(picture: &Picture, role: Role) -> Vec<(String, String)> {
    let mut groups = Vec::new();
    for (at, host) in picture.hosts.iter().enumerate() {
        if let Some(first) = host
            .machines
            .iter()
            .position(|machine| machine.role == role)
        {
            groups.push((format!("h{at}m{first}"), format!("cluster_h{at}{role:?}")));
        }
    }
    groups
}

fn edges(picture: &Picture) -> Vec<String> {
    let balancers = groups(picture, Role::LoadBalancer);
    let mut edges = Vec::new();
    for (to, group) in &balancers {
        edges.push(format!("entry -> {to} [lhead={group}];"));
    }
    for role in [Role::Master, Role::Worker] {
        let ways = picture.ways.iter().filter(|way| way.to.contains(&role));
        let ports: Vec<_> = ways
            .map(|way| format!("{} {}", way.port, way.name))
            .collect();
        if ports.is_empty() {
            continue;
        }
        for (to, group) in groups(picture, role) {
            let label = quoted(&ports);
            if balancers.is_empty() {
                edges.push(format!("entry -> {to} [lhead={group}, label={label}];"));
            }
            for (from, tail) in &balancers {
                edges.push(format!(
                    "{from} -> {to} [ltail={tail}, lhead={group}, label={label}];"
                ));
            }
        }
    }
    edges
}

/// A quoted text of several lines, in which nothing ends the quotation.
fn quoted(lines: &[String]) -> String {
    let escape = |line: &String| {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        line.replace('\\', "\\\\").replace('"', "\\\"")
    };
    let lines: Vec<_> = lines.iter().map(escape).collect();
    format!("\"{}\"", lines.join("\\n"))
}
