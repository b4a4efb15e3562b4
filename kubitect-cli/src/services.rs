//! What is to be set up on the machines, from what is noted of it on their domains: balancers and Kubernetes.
//!
//! A machine is noted to be set up only when it is, in libvirt's own record of it; a machine that is made anew has no
//! note. So a plan needs to ask libvirt only, and the cluster's folder may be lost.

use std::collections::BTreeMap;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts};
use kubitect_lb::Rendered;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Digests of what is wanted of each machine, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(BTreeMap<Label, String>);

impl Wanted {
    /// Of masters and workers from the cluster alone, of balancers from their files where those are known already.
    pub fn new(cluster: &Cluster, balancers: &[Rendered]) -> Result<Self, Failure> {
        let mut wanted = BTreeMap::new();
        for node in cluster
            .nodes
            .iter()
            .filter(|node| node.role != Role::LoadBalancer)
        {
            wanted.insert(node.name.clone(), kubernetes(cluster, node)?);
        }
        for balancer in balancers {
            wanted.insert(
                balancer.node.clone(),
                digest(&(&balancer.haproxy, &balancer.keepalived))?,
            );
        }
        Ok(Self(wanted))
    }

    /// What is wanted of a machine, where that is known already.
    pub fn of(&self, node: &Label) -> Option<&str> {
        self.0.get(node).map(String::as_str)
    }
}

/// What Kubespray sets up on a node. Of the cluster's settings those that reach the node; neither paths of this
/// machine nor where tools come from, and no other nodes, so that a cluster may grow.
fn kubernetes(cluster: &Cluster, node: &Node) -> Result<String, Failure> {
    let kubernetes = &cluster.kubernetes;
    digest(&(
        (&kubernetes.version, &kubernetes.kubespray.version),
        (
            &kubernetes.network_plugin,
            &kubernetes.dns_mode,
            &kubernetes.container_manager,
        ),
        kubernetes.auto_renew_certificates,
        (&cluster.addons, cluster.balancing.vip),
        (node.role, &node.labels, &node.taints),
    ))
}

fn digest(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_vec(value)
        .map_err(|e| Failure::because("take a digest of the settings", e))?;
    Ok(Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// What is to be set up, and what can't be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Services {
    /// Balancers whose files are to be rolled out, and whether they serve already.
    pub balancers: Vec<(Label, bool)>,
    /// Masters and workers that Kubernetes is to be set up on.
    pub kubernetes: Vec<Label>,
    /// Changes that can't be made yet: the machine, and why not.
    pub refused: Vec<(Label, &'static str)>,
}

/// Compares what is wanted with what is `noted` of each machine that exists.
pub fn plan(
    cluster: &Cluster,
    wanted: &Wanted,
    noted: &BTreeMap<Label, Option<String>>,
) -> Services {
    let mut services = Services::default();
    let note = |node: &Node| noted.get(&node.name).and_then(Option::as_deref);
    for node in &cluster.nodes {
        let (want, have) = (wanted.of(&node.name), note(node));
        match (node.role, want, have) {
            (_, Some(want), Some(have)) if want == have => {}
            (Role::LoadBalancer, _, have) => services.balancers.push((node.name.clone(), have.is_some())),
            (_, _, None) => services.kubernetes.push(node.name.clone()),
            (_, _, Some(_)) => services.refused.push((
                node.name.clone(),
                "Kubernetes' version, settings, labels or taints of a finished cluster can't be changed yet",
            )),
        }
    }
    // A new machine in a finished cluster is more than `cluster.yml`: scaling, or repair.
    let finished = cluster
        .role(Role::Master)
        .all(|master| note(master).is_some());
    if finished {
        for node in services.kubernetes.drain(..) {
            let why = "a finished cluster can't be given another node yet";
            services.refused.push((node, why));
        }
    }
    services
}

/// What was set up on each machine: the notes to write when balancers, or Kubernetes, are done. In this order: the
/// masters last, since all masters noted means that all is finished, and a run may be killed between two notes.
pub fn notes<'a>(
    cluster: &'a Cluster,
    facts: &Facts,
    balancers: bool,
) -> Result<Vec<(&'a Node, String)>, Failure> {
    let rendered = kubitect_lb::render(cluster, facts)
        .map_err(|e| Failure::because("describe the balancers", e))?;
    let wanted = Wanted::new(cluster, &rendered)?;
    let set_up = |node: &&Node| (node.role == Role::LoadBalancer) == balancers;
    Ok(cluster
        .nodes
        .iter()
        .rev()
        .filter(set_up)
        .filter_map(|node| Some((node, wanted.of(&node.name)?.to_owned())))
        .collect())
}
