//! The network of a machine: one interface, found by its Ethernet address and given the configured name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use kubitect_config::Cluster;
use kubitect_config::cluster::{NetworkMode, Node};
use kubitect_config::value::Mac;
use serde::Serialize;

/// A network configuration, version 2 (netplan's).
#[derive(Serialize)]
pub(super) struct NetworkConfig<'a> {
    version: u8,
    ethernets: BTreeMap<&'a str, Ethernet<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Ethernet<'a> {
    r#match: Match,
    set_name: &'a str,
    /// Off on libvirt's networks: no router sends advertisements there, and a guest would wait 12 s for one at each boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_ra: Option<bool>,
    #[serde(flatten)]
    addresses: Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    nameservers: Option<Nameservers>,
}

#[derive(Serialize)]
struct Match {
    macaddress: Mac,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "kebab-case")]
enum Addresses {
    Fixed {
        dhcp4: bool,
        addresses: [String; 1],
        routes: [Route; 1],
    },
    Leased {
        dhcp4: bool,
        /// The lease is for the Ethernet address, as is its reservation, and not for a machine id.
        dhcp_identifier: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        dhcp4_overrides: Option<Overrides>,
    },
}

#[derive(Serialize)]
struct Route {
    to: &'static str,
    via: Ipv4Addr,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Overrides {
    use_dns: bool,
}

#[derive(Serialize)]
struct Nameservers {
    addresses: Vec<Ipv4Addr>,
}

pub(super) fn of<'a>(cluster: &'a Cluster, node: &Node) -> NetworkConfig<'a> {
    let dns = &cluster.guest.dns;
    let (addresses, nameservers) = match node.ip {
        Some(ip) => (
            Addresses::Fixed {
                dhcp4: false,
                addresses: [format!("{ip}/{}", cluster.network.cidr.prefix_len())],
                routes: [Route {
                    // cloud-init 22.4 rejects `default`.
                    to: "0.0.0.0/0",
                    via: cluster.network.gateway,
                }],
            },
            if dns.is_empty() {
                vec![cluster.network.gateway]
            } else {
                dns.clone()
            },
        ),
        None => (
            Addresses::Leased {
                dhcp4: true,
                dhcp_identifier: "mac",
                dhcp4_overrides: (!dns.is_empty()).then_some(Overrides { use_dns: false }),
            },
            dns.clone(),
        ),
    };
    let interface = cluster.guest.interface.as_str();
    NetworkConfig {
        version: 2,
        ethernets: BTreeMap::from([(
            interface,
            Ethernet {
                r#match: Match {
                    macaddress: node.mac,
                },
                set_name: interface,
                accept_ra: (cluster.network.mode != NetworkMode::Bridge).then_some(false),
                addresses,
                nameservers: (!nameservers.is_empty()).then_some(Nameservers {
                    addresses: nameservers,
                }),
            },
        )]),
    }
}
