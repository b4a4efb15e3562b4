//! The diagram in Mermaid, which many web pages render.

use std::fmt::Write;

use kubitect_config::cluster::Role;

use super::Picture;
use super::model::plural;

/// A flow chart: clients, balancers, and the nodes of each role on each host.
pub fn mermaid(picture: &Picture) -> String {
    let mut text = String::from("flowchart TB\n");
    let mut line = |line: String| writeln!(text, "  {line}").unwrap_or_default();
    line(format!("clients([\"{}\"])", label(&["clients".to_owned()])));
    let entry = [picture.entry.clone(), picture.entry_kind.clone()];
    line(format!("entry{{{{\"{}\"}}}}", label(&entry)));
    line("clients --> entry".to_owned());
    line(format!("subgraph network[\"{}\"]", label(&picture.network)));
    for (n, host) in picture.hosts.iter().enumerate() {
        let name = [format!("host {}", host.name), host.place.clone()];
        line(format!("subgraph h{n}[\"{}\"]", label(&name)));
        for (role, machines) in host.by_role() {
            line(format!("subgraph h{n}{role:?}[\"{}\"]", plural(role)));
            for (index, machine) in machines {
                line(format!("h{n}m{index}[\"{}\"]", label(&machine.lines())));
            }
            line("end".to_owned());
        }
        line("end".to_owned());
    }
    line("end".to_owned());
    for edge in edges(picture) {
        line(edge);
    }
    text
}

/// The edges from the entry to the balancers, and from these to the nodes that a port is forwarded to. Without balancers, these
/// start at the entry.
fn edges(picture: &Picture) -> Vec<String> {
    let groups = |role: Role| {
        let hosts = picture.hosts.iter().enumerate();
        let with = hosts.filter(move |(_, host)| host.machines.iter().any(|m| m.role == role));
        with.map(move |(n, _)| format!("h{n}{role:?}"))
            .collect::<Vec<_>>()
    };
    let balancers = groups(Role::LoadBalancer);
    let mut edges: Vec<_> = balancers
        .iter()
        .map(|to| format!("entry --> {to}"))
        .collect();
    let from = match balancers.is_empty() {
        true => vec!["entry".to_owned()],
        false => balancers,
    };
    for role in [Role::Master, Role::Worker] {
        let routes = picture.ways.iter().filter(|route| route.to.contains(&role));
        let ports: Vec<_> = routes
            .map(|route| format!("{} {}", route.port, route.name))
            .collect();
        if ports.is_empty() {
            continue;
        }
        for from in &from {
            for to in groups(role) {
                edges.push(format!("{from} -->|\"{}\"| {to}", label(&ports)));
            }
        }
    }
    edges
}

/// Lines as a label. Characters that would end it, or are markup, are escaped.
fn label(lines: &[String]) -> String {
    let escape = |line: &String| {
        let mut text = String::new();
        for c in line.chars() {
            match c {
                '"' => text += "#quot;",
                '#' => text += "#35;",
                '<' => text += "#lt;",
                '>' => text += "#gt;",
                '&' => text += "#amp;",
                '`' => text += "#96;",
                c if c.is_control() => text.push(' '),
                c => text.push(c),
            }
        }
        text
    };
    let lines: Vec<_> = lines.iter().map(escape).collect();
    lines.join("<br/>")
}
