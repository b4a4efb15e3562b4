//! The whole file: the sections in order, and what holds between them.

use super::{balancer, forward, host, kubernetes, network, node, template};
use crate::cluster::{Cluster, Network, NetworkMode, Role};
use crate::raw;
use crate::release;
use crate::report::{At, Report};
use crate::site::Site;
use crate::value::Label;

/// The cluster that the file describes, if it has no error.
pub(crate) fn cluster(raw: &raw::Config, site: &Site, report: &mut Report) -> Option<Cluster> {
    let at = At::Root;
    let at_cluster = at.key("cluster");
    let at_nodes = at_cluster.key("nodes");

    let hosts = host::hosts(&raw.hosts, site, &at.key("hosts"), report);
    let name = name(&raw.cluster, &at_cluster, report);
    let network = network::network(&raw.cluster.network, &at_cluster.key("network"), report);
    let kubernetes = kubernetes::kubernetes(&raw.kubernetes, site, &at.key("kubernetes"), report);
    let addons = kubernetes::addons(&raw.addons, &at.key("addons"), report);
    let release = kubernetes
        .as_ref()
        .and_then(|k| release::find_or_newest(&k.kubespray.version));
    let guest = template::guest(
        &raw.cluster.node_template,
        site,
        release,
        &at_cluster.key("nodeTemplate"),
        report,
    );
    let context = node::Context {
        cluster: name.as_ref(),
        network: network.as_ref(),
        hosts: &raw.hosts,
        memory_mb: release.map(|release| release.memory_mb),
    };
    let nodes = node::nodes(&raw.cluster.nodes, &context, &at_nodes, report);
    one_host_per_network(network.as_ref(), &nodes, &at_cluster, report);

    let at_balancer = at_nodes.key("loadBalancer");
    let balancing = balancer::balancing(
        &raw.cluster.nodes,
        name.as_ref(),
        network.as_ref(),
        &nodes,
        &at_nodes,
        report,
    );
    let forward_ports =
        forward::ports(&raw.cluster.nodes, &at_balancer.key("forwardPorts"), report);

    if report.failed() {
        return None;
    }
    let mut balancing = balancing?;
    balancing.forward_ports = forward_ports;
    Some(Cluster {
        name: name?,
        hosts,
        network: network?,
        guest: guest?,
        balancing,
        nodes,
        kubernetes: kubernetes?,
        addons,
    })
}

fn name(raw: &raw::Cluster, at: &At, report: &mut Report) -> Option<Label> {
    let at = at.key("name");
    match &raw.name {
        Some(name) => report.parse(&at, "name", name),
        None => {
            report.missing(&at, "give the cluster a name, as `name: my-cluster`");
            None
        }
    }
}

/// libvirt's own networks end at their host: nodes on two hosts could not reach one another.
fn one_host_per_network(
    network: Option<&Network>,
    nodes: &[crate::cluster::Node],
    at: &At,
    report: &mut Report,
) {
    let (Some(mode @ (NetworkMode::Nat | NetworkMode::Route)), Some(first)) =
        (network.map(|network| network.mode), nodes.first())
    else {
        return;
    };
    let Some(other) = nodes.iter().find(|node| node.host != first.host) else {
        return;
    };
    let mode = match mode {
        NetworkMode::Nat => "nat",
        _ => "route",
    };
    report.error(
        &at.key("network").key("mode"),
        "network-hosts",
        format!(
            "a `{mode}` network ends at its host, but nodes are placed on `{}` and on `{}`",
            first.host, other.host
        ),
        "use mode `bridge`, or place all nodes on one host",
    );
}

/// How a role is called in the file.
pub(super) fn key(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "loadBalancer",
        Role::Master => "master",
        Role::Worker => "worker",
    }
}
