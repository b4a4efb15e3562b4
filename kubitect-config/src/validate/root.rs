//! The whole file: its sections in order, and the rules between them.

use super::{
    addresses, balancer, conditions, formats, forward, host, kubernetes, network, node, placing,
    proxy, sizes, template,
};
use crate::cluster::{Cluster, Network, NetworkMode, Proxy, Role};
use crate::keys::{KeyJudge, KeyUse};
use crate::problem::Severity;
use crate::raw;
use crate::release;
use crate::report::{KeyPath, Report};
use crate::site::Site;
use crate::value::Label;

/// The cluster that the file describes, if it has no error.
pub(crate) fn cluster(
    raw: &raw::Config,
    site: &Site,
    keys: KeyJudge,
    report: &mut Report,
) -> Option<Cluster> {
    let path = KeyPath::Root;
    let cluster_path = path.key("cluster");
    let nodes_path = cluster_path.key("nodes");

    let hosts = host::hosts(&raw.hosts, site, &path.key("hosts"), report);
    key_files(raw, keys, &path, report);
    let name = name(&raw.cluster, &cluster_path, report);
    let network = network::network(&raw.cluster.network, &cluster_path.key("network"), report);
    let kubernetes = kubernetes::kubernetes(&raw.kubernetes, site, &path.key("kubernetes"), report);
    let release = kubernetes
        .as_ref()
        .and_then(|k| release::find_or_newest(&k.kubespray.version));
    let addons = kubernetes::addons(&raw.addons, release, &path.key("addons"), report);
    let variables_path = path.key("addons");
    let variables_path = variables_path.key("kubespray");
    let proxy = proxy::proxy(&addons.kubespray, &site.proxy, &variables_path, report);
    let guest = template::guest(
        &raw.cluster.node_template,
        site,
        release,
        &cluster_path.key("nodeTemplate"),
        report,
    );
    let context = node::Context {
        cluster: name.as_ref(),
        network: network.as_ref(),
        hosts: &raw.hosts,
        least: release.map(|release| conditions::least(release, &addons.kubespray)),
    };
    let nodes = node::nodes(&raw.cluster.nodes, &context, &nodes_path, report);
    sizes::sizes(&raw.cluster.nodes, &nodes_path, report);
    if hosts.len() == raw.hosts.len() {
        host::distinct(&hosts, &nodes, &path.key("hosts"), report);
    }
    one_host_per_network(network.as_ref(), &nodes, &cluster_path, report);
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
        conditions::conditions(&context, &path, report);
        let of_pods = nodes.iter().filter(|node| node.role != Role::LoadBalancer);
        // Only if all nodes are valid: a faulty one may be the one that takes cluster DNS.
        if context.nodes > 0 && of_pods.count() == context.nodes {
            placing::placing(&nodes, kubernetes, &addons, &nodes_path, report);
        }
    }

    let balancer_path = nodes_path.key("loadBalancer");
    let balancing = balancer::balancing(
        &raw.cluster.nodes,
        name.as_ref(),
        network.as_ref(),
        &nodes,
        &nodes_path,
        report,
    );
    let forward_ports = forward::ports(
        &raw.cluster.nodes,
        &balancer_path.key("forwardPorts"),
        report,
    );

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

fn name(raw: &raw::Cluster, path: &KeyPath, report: &mut Report) -> Option<Label> {
    let path = path.key("name");
    if raw.name.is_none() {
        report.missing(&path, "give the cluster a name, as `name: my-cluster`");
    }
    report.parse(&path, "name", raw.name.as_deref()?)
}

/// In modes `nat` and `route`, all nodes must be on one host: libvirt's own networks end at their host, and nodes on two hosts
/// could not reach one another.
fn one_host_per_network(
    network: Option<&Network>,
    nodes: &[crate::cluster::Node],
    path: &KeyPath,
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
        &path.key("network").key("mode"),
        "network-hosts",
        format!(
            "a `{mode}` network ends at its host, but nodes are placed on `{}` and on `{}`",
            first.host, other.host
        ),
        "use mode `bridge`, or place all nodes on one host",
    );
}

/// The key of a role in the file.
pub(super) fn key(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "loadBalancer",
        Role::Master => "master",
        Role::Worker => "worker",
    }
}

/// Has the caller judge the key files that the configuration names: validation reads no files.
fn key_files(raw: &raw::Config, keys: KeyJudge, path: &KeyPath, report: &mut Report) {
    let mut judge = |path: &KeyPath, kind, file: &Option<String>| {
        let file = file.as_ref().filter(|file| formats::path(file).is_ok());
        let Some(found) = file.and_then(|file| keys(kind, file)) else {
            return;
        };
        match found.severity {
            Severity::Error => report.error(path, "private-key", found.message, found.help),
            Severity::Warning => report.warning(path, "private-key", found.message, found.help),
        }
    };
    let hosts_path = path.key("hosts");
    for (index, host) in raw.hosts.iter().enumerate() {
        let path = hosts_path.index(index);
        let path = path.key("connection");
        let path = path.key("ssh");
        judge(
            &path.key("keyfile"),
            KeyUse::Host,
            &host.connection.ssh.keyfile,
        );
    }
    let path = path.key("cluster");
    let path = path.key("nodeTemplate");
    let path = path.key("ssh");
    let own = &raw.cluster.node_template.ssh.private_key_path;
    judge(&path.key("privateKeyPath"), KeyUse::Machines, own);
}
