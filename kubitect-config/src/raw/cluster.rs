//! Section `cluster`, its network and what all machines have in common.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{INTERFACE, IPV4, LABEL, LOGIN, Nodes};
use crate::cluster::{CpuMode, NetworkMode};
use crate::defaults;

/// The machines and what they share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "network", "nodes"]))]
pub(crate) struct Cluster {
    /// Name of the cluster: prefix of the names of machines, networks and pools. Lower-case letters, digits, hyphens.
    #[schemars(regex(pattern = LABEL), extend("examples" = ["local-k8s-cluster"]))]
    pub name: Option<String>,
    /// The network that all machines share.
    pub network: Network,
    /// What all machines have in common.
    pub node_template: NodeTemplate,
    /// The machines.
    pub nodes: Nodes,
}

/// The network that all machines share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["cidr"]))]
pub(crate) struct Network {
    /// Who provides the network.
    #[schemars(extend("default" = "nat"))]
    pub mode: Option<NetworkMode>,
    /// Range of addresses, as `192.168.113.0/24`. Addresses of machines and the VIP lie inside.
    #[schemars(extend("examples" = ["192.168.113.0/24"]))]
    pub cidr: Option<String>,
    /// Address of the router. Default: the first address of `cidr`.
    #[schemars(regex(pattern = IPV4))]
    pub gateway: Option<String>,
    /// Name of the Linux bridge. In mode `bridge` an existing one, required; else what libvirt's own bridge is called
    /// (default: libvirt chooses).
    #[schemars(extend("examples" = ["br0"]))]
    pub bridge: Option<String>,
}

/// What all machines have in common.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NodeTemplate {
    /// Account that is made on each machine, with sudo; not root.
    #[schemars(regex(pattern = LOGIN), extend("default" = defaults::USER))]
    pub user: Option<String>,
    /// Operating system of the machines.
    pub os: Os,
    /// SSH keys.
    pub ssh: NodeTemplateSsh,
    /// libvirt's CPU mode of the machines.
    #[schemars(extend("default" = "custom"))]
    pub cpu_mode: Option<CpuMode>,
    /// Name servers of the machines, IPv4. Default: the gateway.
    #[schemars(inner(regex(pattern = IPV4)))]
    pub dns: Vec<String>,
    /// Whether packages are brought up to date at the first boot.
    #[schemars(extend("default" = defaults::UPDATE_ON_BOOT))]
    pub update_on_boot: Option<bool>,
}

/// Operating system of the machines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Os {
    /// Distro: `ubuntu` (= `ubuntu22`), `ubuntu20`, `ubuntu22`, `ubuntu24`, `debian11`, `debian12`, `debian13`, `centos9`,
    /// `rocky9`, or any name with `source`. `debian` is `debian11` with a Kubespray before v2.23, as in files of that time,
    /// else `debian12`, with a warning.
    #[schemars(extend("default" = defaults::DISTRO))]
    pub distro: Option<String>,
    /// Cloud image: an absolute path on this machine or an http(s) address. Default: the distro's own.
    pub source: Option<String>,
    /// What the image must hash to: `sha256:<digits>`, `sha512:<digits>`, or the http(s) address of a list of digests.
    /// Default: the distro's own list; an image of `source` is not checked without it.
    pub checksum: Option<String>,
    /// Name of the machines' network interface, at most 15 characters.
    #[schemars(regex(pattern = INTERFACE), extend("default" = defaults::INTERFACE))]
    pub network_interface: Option<String>,
}

/// SSH keys of the machines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NodeTemplateSsh {
    /// Private key that opens the machines, absolute or beginning with `~/`: RSA of 2048 bits or more, ECDSA or ed25519,
    /// without a passphrase, in OpenSSH's form, PEM or PKCS#8. Default: a pair is made for the cluster.
    pub private_key_path: Option<String>,
    /// Whether the machines' keys are added to this machine's `~/.ssh/known_hosts` (and removed on destroy).
    #[schemars(extend("default" = defaults::ADD_TO_KNOWN_HOSTS))]
    pub add_to_known_hosts: Option<bool>,
}
