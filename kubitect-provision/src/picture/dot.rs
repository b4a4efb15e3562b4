//! The diagram in DOT, for Graphviz and compatible programs.

use std::fmt::Write;

use kubitect_config::cluster::Role;

use super::Picture;
use super::model::plural;

/// A graph with a subgraph for each host, and in it one for each role.
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
    for (n, host) in picture.hosts.iter().enumerate() {
        let name = [format!("host {}", host.name), host.place.clone()];
        line(format!("subgraph cluster_h{n} {{ label={};", quoted(&name)));
        for (role, machines) in host.by_role() {
            line(format!(
                "subgraph cluster_h{n}{role:?} {{ label={};",
                quoted(&[plural(role).to_owned()])
            ));
            for (index, machine) in machines {
                line(format!(
                    "h{n}m{index} [label={}];",
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

/// For each group of a role, its first machine and its name: in DOT, an edge to a group is one to a machine in it.
fn groups(picture: &Picture, role: Role) -> Vec<(String, String)> {
    let mut groups = Vec::new();
    for (n, host) in picture.hosts.iter().enumerate() {
        if let Some(first) = host
            .machines
            .iter()
            .position(|machine| machine.role == role)
        {
            groups.push((format!("h{n}m{first}"), format!("cluster_h{n}{role:?}")));
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
        let routes = picture.ways.iter().filter(|route| route.to.contains(&role));
        let ports: Vec<_> = routes
            .map(|route| format!("{} {}", route.port, route.name))
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

/// Lines as a quoted string. Characters that would end it are escaped.
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
