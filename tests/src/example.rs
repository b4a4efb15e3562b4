//! The user's example, variants of it, and its machines.

use std::path::Path;

use kubitect_config::{Cluster, Facts, NodeFacts};

/// `examples/multi-master.yaml`.
pub const EXAMPLE: &str = include_str!("../../examples/multi-master.yaml");

/// The example with other versions.
pub fn example([kubespray, kubernetes]: [&str; 2]) -> String {
    EXAMPLE
        .replace("v2.19.0", kubespray)
        .replace("v1.23.7", kubernetes)
}

/// A text without the lines from `from` to the one before `to`.
pub fn without(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).expect(from);
    let length = text[start..].find(to).expect(to);
    format!("{}{}", &text[..start], &text[start + length..])
}

/// The example with three balancers, which share the address that its one balancer has.
pub fn three_balancers() -> String {
    let one = "        - id: 1\n          ip: 192.168.113.100\n";
    let three = "        - {id: 1, ip: 192.168.113.101}\n        - {id: 2, ip: 192.168.113.102}\n        - {id: 3, ip: 192.168.113.103}\n";
    EXAMPLE
        .replace(
            "    loadBalancer:\n",
            "    loadBalancer:\n      vip: 192.168.113.100\n",
        )
        .replacen(one, three, 1)
}

/// The example, or a variant of it, without its workers.
pub fn without_workers(text: &str) -> String {
    without(text, "    worker:\n", "\nkubernetes:")
}

/// The facts of its machines, with keys in this folder.
///
/// # Panics
/// A machine has no fixed address.
pub fn facts(cluster: &Cluster, folder: &Path) -> Facts {
    let nodes = cluster.nodes.iter().map(|node| NodeFacts {
        name: node.name.clone(),
        role: node.role,
        id: node.id.clone(),
        host: node.host.clone(),
        ip: node.ip.expect("the example's nodes have addresses"),
        mac: node.mac,
        host_key: String::new(),
    });
    Facts {
        user: cluster.guest.user.clone(),
        private_key: folder.join(".ssh/id_ed25519"),
        known_hosts: folder.join(".ssh/known_hosts"),
        nodes: nodes.collect(),
    }
}
