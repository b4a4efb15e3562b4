//! Edits of what all machines share: the network, the guests' template, the balancers' common settings.

use super::{Change, Edits, matched, section, text};
use crate::cluster::{Balancing, Cluster, Guest, Image, Network, Role};

pub(super) fn network(was: &Network, wanted: &Network, edits: &mut Edits) {
    let Network {
        mode,
        cidr,
        gateway,
        bridge,
    } = was;
    let path = |key: &str| format!("cluster.network.{key}");
    edits.field(
        path("mode"),
        mode,
        &wanted.mode,
        |mode| Some(text::word(mode)),
        Change::Network,
    );
    edits.value(path("cidr"), cidr, &wanted.cidr, Change::Network);
    edits.value(path("gateway"), gateway, &wanted.gateway, Change::Network);
    edits.option(path("bridge"), bridge, &wanted.bridge, Change::Network);
}

pub(super) fn guest(was: &Guest, wanted: &Guest, edits: &mut Edits) {
    let Guest {
        user,
        image,
        interface,
        private_key,
        add_to_known_hosts,
        cpu_mode,
        dns,
        update_on_boot,
    } = was;
    let path = |key: &str| format!("cluster.nodeTemplate.{key}");
    edits.value(path("user"), user, &wanted.user, Change::User);
    let Image {
        distro,
        source,
        checksum,
    } = image;
    let new = &wanted.image;
    edits.value(path("os.distro"), distro, &new.distro, Change::Image);
    edits.field(
        path("os.source"),
        source,
        &new.source,
        |source| Some(crate::address::shown(source)),
        Change::Image,
    );
    edits.option(path("os.checksum"), checksum, &new.checksum, Change::Image);
    edits.value(
        path("os.networkInterface"),
        interface,
        &wanted.interface,
        Change::Interface,
    );
    edits.field(
        path("ssh.privateKeyPath"),
        private_key,
        &wanted.private_key,
        |path| path.as_ref().map(|path| path.display().to_string()),
        Change::PrivateKey,
    );
    edits.value(
        path("ssh.addToKnownHosts"),
        add_to_known_hosts,
        &wanted.add_to_known_hosts,
        Change::KnownHosts,
    );
    edits.field(
        path("cpuMode"),
        cpu_mode,
        &wanted.cpu_mode,
        |mode| Some(text::word(mode)),
        Change::CpuMode,
    );
    edits.field(
        path("dns"),
        dns,
        &wanted.dns,
        |dns| {
            let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
            (!dns.is_empty()).then(|| dns.join(", "))
        },
        Change::Dns,
    );
    edits.value(
        path("updateOnBoot"),
        update_on_boot,
        &wanted.update_on_boot,
        Change::UpdateOnBoot,
    );
}

pub(super) fn balancing(was: &Balancing, wanted: &Balancing, edits: &mut Edits) {
    let Balancing {
        vip,
        virtual_router_id,
        forward_ports,
    } = was;
    let path = |key: &str| format!("{}.{key}", section(Role::LoadBalancer));
    edits.option(path("vip"), vip, &wanted.vip, Change::Vip);
    edits.value(
        path("virtualRouterId"),
        virtual_router_id,
        &wanted.virtual_router_id,
        Change::RouterId {
            vip: vip.is_some() && wanted.vip.is_some(),
        },
    );
    for (was, wanted) in matched(forward_ports, &wanted.forward_ports, |port| &port.name) {
        let Some(name) = was.or(wanted).map(|port| port.name.clone()) else {
            continue;
        };
        edits.field(
            format!("{}[name={name}]", path("forwardPorts")),
            &was,
            &wanted,
            |port| port.map(text::port),
            Change::ForwardPort { name },
        );
    }
}

/// An edit if another machine has the address at which nodes reach the API. Where the VIP differs, [`balancing`] has that edit
/// already.
pub(super) fn endpoint(applied: &Cluster, wanted: &Cluster, edits: &mut Edits) {
    if applied.balancing.vip != wanted.balancing.vip {
        return;
    }
    edits.field(
        section(Role::LoadBalancer),
        &api_address_owner(applied),
        &api_address_owner(wanted),
        |owner| Some(format!("the API is known by the address of {owner}")),
        Change::Endpoint,
    );
}

/// Who has the address at which nodes reach the API: all balancers, if they share a VIP, else the only balancer, else the only
/// master.
fn api_address_owner(cluster: &Cluster) -> String {
    let first = |role| cluster.role(role).next().map(|node| node.name.to_string());
    match (first(Role::LoadBalancer), cluster.balancing.vip) {
        (Some(_), Some(vip)) => format!("all balancers ({vip})"),
        (Some(balancer), None) => balancer,
        (None, _) => first(Role::Master).unwrap_or_default(),
    }
}
