//! The types of the YAML files before validation. The JSON Schema is made from them, with their doc comments as descriptions.
//!
//! An omitted section is empty, an omitted single value is `None`. Values with a checked type of their own (names, addresses,
//! versions) are still text here, so that validation can report all faulty ones at once.

mod addons;
mod balancer;
mod cluster;
mod host;
mod kubernetes;
mod node;
mod site;

pub(crate) use addons::{Addons, Rook};
pub(crate) use balancer::{LoadBalancer, LoadBalancerInstance};
pub(crate) use cluster::{Cluster, Network, NodeTemplate, Os};
pub(crate) use host::{Connection, ConnectionType, DataResourcePool, Host};
pub(crate) use kubernetes::Kubernetes;
pub(crate) use node::{DataDisk, NodeDefault, Nodes, Size};
pub(crate) use site::{Site, SiteImage, SiteTimeouts};

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

/// A Kubernetes cluster on libvirt hosts, as Kubitect reads it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "Kubitect cluster")]
#[schemars(extend("required" = ["hosts", "cluster"]))]
// Keys for values that a file repeats by anchors (`&name`), and the schema's address for editors.
#[schemars(extend("patternProperties" = {"^x-": true, "^[$]schema$": true}))]
pub(crate) struct Config {
    /// The libvirt hosts that carry the machines; at least one.
    #[schemars(length(min = 1))]
    pub hosts: Vec<Host>,
    /// The machines and what they share.
    pub cluster: Cluster,
    /// Which Kubernetes, and how it is set up.
    pub kubernetes: Kubernetes,
    /// What is installed into Kubernetes besides.
    pub addons: Addons,
    /// Of older programs; no longer means anything.
    pub kubitect: Kubitect,
}

/// The program's own version and source, in files of older programs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Kubitect {
    /// No longer means anything.
    #[schemars(extend("deprecated" = true))]
    pub url: Option<String>,
    /// No longer means anything.
    #[schemars(extend("deprecated" = true))]
    pub version: Option<String>,
}

/// Texts by name; a truth value, a number or nothing means its text.
pub(crate) type Texts = BTreeMap<String, String>;

/// The schema of [`Texts`].
pub(crate) fn texts(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
    })
}

/// The schema of an id: a number or a text.
pub(crate) fn id(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "integer"],
        "pattern": LABEL,
        "minimum": 0,
        "examples": [1, "one"],
    })
}

/// The pattern of names (RFC 1123 labels).
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// The pattern of names of hosts, pools, disks and forwarded ports.
pub(crate) const NAME: &str = "^[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,62}$";
/// The pattern of IPv4 addresses.
pub(crate) const IPV4: &str = r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$";
/// The pattern of Ethernet addresses.
pub(crate) const MAC: &str = "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$";
/// The pattern of release numbers.
pub(crate) const VERSION: &str = r"^v?[0-9]+\.[0-9]+\.[0-9]+$";
/// The pattern of taints.
pub(crate) const TAINT: &str = "^[^=:]+(=[^=:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$";
/// The pattern of accounts that are made on machines.
pub(crate) const LOGIN: &str = "^[a-z_][-a-z0-9_]{0,31}$";
/// The pattern of names of network interfaces and bridges.
pub(crate) const INTERFACE: &str = "^[a-zA-Z0-9][-a-zA-Z0-9_.]{0,14}$";
