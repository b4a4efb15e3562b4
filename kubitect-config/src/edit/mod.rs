//! [`edits`]: the applied cluster against the wanted one, as typed differences.
//!
//! Nothing is decided here: [`policy`](crate::policy::policy()) says what an edit disturbs, or why it is refused. Machines,
//! hosts, pools, disks, ports, labels and taints are matched by their names or keys, so that their order in the file means
//! nothing. Every struct of [`Cluster`] is destructured in full, without `..`: a new field does not compile until it is compared.

mod change;
mod host;
mod kubernetes;
mod node;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub use change::Change;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use serde::Serialize;

use crate::cluster::{Cluster, Node, Role};

/// One difference between what was applied and what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edit {
    /// The key's path in the configuration; list items by their name, as `cluster.nodes.worker.instances[id=2].cpu`.
    pub path: String,
    /// The applied value as text; none if it was not set. Secrets are not shown.
    pub was: Option<String>,
    /// The wanted value as text; none if it is not set. Secrets are not shown.
    pub wanted: Option<String>,
    /// What kind of difference it is.
    pub change: Change,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [&self.was, &self.wanted];
        let [was, wanted] = texts.map(|text| text.as_deref().unwrap_or("(nothing)"));
        write!(f, "{}: {was} -> {wanted}", self.path)
    }
}

/// All differences between the applied cluster and the wanted one, in the order of the configuration; empty if they are equal.
///
/// Where the name differs, the name is the only edit: a cluster of another name is another cluster.
pub fn edits(applied: &Cluster, wanted: &Cluster) -> Vec<Edit> {
    let Cluster {
        name,
        hosts,
        network,
        guest,
        balancing,
        nodes,
        kubernetes,
        addons,
        proxy,
    } = applied;
    let mut edits = Edits::default();
    edits.value("cluster.name", name, &wanted.name, Change::ClusterName);
    if !edits.0.is_empty() {
        return edits.0;
    }
    host::hosts(hosts, &wanted.hosts, nodes, &mut edits);
    shared::network(network, &wanted.network, &mut edits);
    shared::guest(guest, &wanted.guest, &mut edits);
    shared::balancing(balancing, &wanted.balancing, &mut edits);
    shared::endpoint(applied, wanted, &mut edits);
    node::nodes(nodes, &wanted.nodes, &mut edits);
    kubernetes::kubernetes(
        (kubernetes, addons),
        (&wanted.kubernetes, &wanted.addons),
        &mut edits,
    );
    kubernetes::addons(addons, &wanted.addons, &mut edits);
    if !kubernetes::sets_proxy(addons) && !kubernetes::sets_proxy(&wanted.addons) {
        kubernetes::proxy(proxy.as_ref(), wanted.proxy.as_ref(), &mut edits);
    }
    edits.0
}

/// The edits that were found so far.
#[derive(Default)]
struct Edits(Vec<Edit>);

impl Edits {
    fn push(
        &mut self,
        path: impl Into<String>,
        was: Option<String>,
        wanted: Option<String>,
        change: Change,
    ) {
        self.0.push(Edit {
            path: path.into(),
            was,
            wanted,
            change,
        });
    }

    /// Adds an edit if the values differ. The values are compared, not their texts: two different secrets have the same text.
    fn field<T: PartialEq>(
        &mut self,
        path: impl Into<String>,
        was: &T,
        wanted: &T,
        text: impl Fn(&T) -> Option<String>,
        change: Change,
    ) {
        if was != wanted {
            self.push(path, text(was), text(wanted), change);
        }
    }

    /// [`Edits::field`] for a value that implements `Display`.
    fn value<T: PartialEq + fmt::Display>(
        &mut self,
        path: impl Into<String>,
        was: &T,
        wanted: &T,
        change: Change,
    ) {
        self.field(path, was, wanted, |value| Some(value.to_string()), change);
    }

    /// [`Edits::field`] for an optional value.
    fn option<T: PartialEq + fmt::Display>(
        &mut self,
        path: impl Into<String>,
        was: &Option<T>,
        wanted: &Option<T>,
        change: Change,
    ) {
        self.field(
            path,
            was,
            wanted,
            |value| value.as_ref().map(T::to_string),
            change,
        );
    }
}

/// Pairs of the applied and the wanted item with the same key: first the applied items in their order, then the new ones.
fn matched<'a, T, K: Eq + Hash>(
    was: &'a [T],
    wanted: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let old: HashSet<K> = was.iter().map(&key).collect();
    let new: HashMap<K, &T> = wanted.iter().map(|item| (key(item), item)).collect();
    let applied = was
        .iter()
        .map(|item| (Some(item), new.get(&key(item)).copied()));
    let added = wanted.iter().filter(|item| !old.contains(&key(item)));
    applied
        .chain(added.map(|item| (None, Some(item))))
        .collect()
}

/// The path of the section of the configuration that has the machines of a role.
fn section(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "cluster.nodes.loadBalancer",
        Role::Master => "cluster.nodes.master",
        Role::Worker => "cluster.nodes.worker",
    }
}

/// The path of a machine in the configuration.
fn node_path(node: &Node) -> String {
    format!("{}.instances[id={}]", section(node.role), node.id)
}
