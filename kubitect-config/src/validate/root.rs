//! The whole file: the sections in order, and what holds between them.

use super::{
    addresses, balancer, conditions, forward, host, kubernetes, network, node, placing, proxy,
    sizes, template, words,
};
use crate::cluster::{Cluster, Network, NetworkMode, Proxy, Role};
use crate::keys::{KeyJudge, KeyUse};
use crate::problem::Severity;
use crate::raw;
use crate::release;
use crate::report::{At, Report};
use crate::site::Site;
use crate::value::Label;

/// The cluster that the file describes, if it has no error.
pub(crate) fn cluster(
    raw: &raw::Config,
    site: &Site,
    keys: KeyJudge,
    report: &mut Report,
) -> Option<Cluster> {
    let at = At::Root;
    let at_cluster = at.key("cluster");
    let at_nodes = at_cluster.key("nodes");

    let hosts = host::hosts(&raw.hosts, site, &at.key("hosts"), report);
    key_files(raw, keys, &at, report);
    let name = name(&raw.cluster, &at_cluster, report);
    let network = network::network(&raw.cluster.network, &at_cluster.key("network"), report);
    let kubernetes = kubernetes::kubernetes(&raw.kubernetes, site, &at.key("kubernetes"), report);
    let release = kubernetes
        .as_ref()
        .and_then(|k| release::find_or_newest(&k.kubespray.version));
    let addons = kubernetes::addons(&raw.addons, release, &at.key("addons"), report);
    let at_variables = at.key("addons");
    let at_variables = at_variables.key("kubespray");
    let proxy = proxy::proxy(&addons.kubespray, &site.proxy, &at_variables, report);
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
        least: release.map(|release| conditions::least(release, &addons.kubespray)),
    };
    let nodes = node::nodes(&raw.cluster.nodes, &context, &at_nodes, report);
    sizes::sizes(&raw.cluster.nodes, &at_nodes, report);
    if hosts.len() == raw.hosts.len() {
        host::apart(&hosts, &nodes, &at.key("hosts"), report);
    }
    one_host_per_network(network.as_ref(), &nodes, &at_cluster, report);
    if let (Some(release), Some(kubernetes)) = (release, &kubernetes) {
        let os = &raw.cluster.node_template.os;
        let context = conditions::Context {
            release,
            kubernetes,
            addons: &addons,
            network: network.as_ref(),
            image: guest
                .as_ref()
                .map(|guest| (&guest.image, os.source.is_some())),
            interface: guest
                .as_ref()
                .map_or(crate::defaults::INTERFACE, |guest| &guest.interface),
            nodes: raw.cluster.nodes.master.instances.len()
                + raw.cluster.nodes.worker.instances.len(),
        };
        conditions::conditions(&context, &at, report);
        let of_pods = nodes.iter().filter(|node| node.role != Role::LoadBalancer);
        // One that is wrong in itself may be the one that takes them.
        if context.nodes > 0 && of_pods.count() == context.nodes {
            placing::placing(&nodes, kubernetes, &addons, &at_nodes, report);
        }
    }

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

    if let (Some(network), Some(balancing)) = (&network, &balancing) {
        let addresses = addresses::Addresses {
            hosts: &hosts,
            hosts_of_file: raw.hosts.len(),
            network,
            nodes: &nodes,
            vip: balancing.vip,
            addons: &addons,
        };
        addresses.check(report);
    }

    if report.failed() {
        return None;
    }
    let mut balancing = balancing?;
    balancing.forward_ports = forward_ports;
    let network = network?;
    Some(Cluster {
        name: name?,
        hosts,
        proxy: proxy.map(|proxy| Proxy {
            own: proxy::own(&network, &nodes, balancing.vip, &addons.kubespray),
            ..proxy
        }),
        network,
        guest: guest?,
        balancing,
        nodes,
        kubernetes: kubernetes?,
        addons,
    })
}

fn name(raw: &raw::Cluster, at: &At, report: &mut Report) -> Option<Label> {
    let at = at.key("name");
    if raw.name.is_none() {
        report.missing(&at, "give the cluster a name, as `name: my-cluster`");
    }
    report.parse(&at, "name", raw.name.as_deref()?)
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

/// Has the key files looked at that the configuration names.
fn key_files(raw: &raw::Config, keys: KeyJudge, at: &At, report: &mut Report) {
    let mut judge = |at: &At, kind, path: &Option<String>| {
        let path = path.as_ref().filter(|path| words::path(path).is_ok());
        let Some(found) = path.and_then(|path| keys(kind, path)) else {
            return;
        };
        match found.severity {
            Severity::Error => report.error(at, "private-key", found.message, found.help),
            Severity::Warning => report.warning(at, "private-key", found.message, found.help),
        }
    };
    let at_hosts = at.key("hosts");
    for (index, host) in raw.hosts.iter().enumerate() {
        let at = at_hosts.index(index);
        let at = at.key("connection");
        let at = at.key("ssh");
        judge(
            &at.key("keyfile"),
            KeyUse::Host,
            &host.connection.ssh.keyfile,
        );
    }
    let at = at.key("cluster");
    let at = at.key("nodeTemplate");
    let at = at.key("ssh");
    let own = &raw.cluster.node_template.ssh.private_key_path;
    judge(&at.key("privateKeyPath"), KeyUse::Machines, own);
}
