//! Section `addons`.

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use super::{Texts, VERSION};

/// What is installed into Kubernetes besides.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Addons {
    /// Kubespray's variables, for addons and else (any keys but those that follow from the rest of the file), passed
    /// through as they are.
    #[schemars(schema_with = "any_keys")]
    pub kubespray: crate::yaml::Mapping,
    /// Rook, a storage operator (Ceph) on data disks.
    pub rook: Rook,
}

/// Rook, a storage operator (Ceph) on data disks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Rook {
    /// Whether it is installed. Not possible yet: true is an error.
    #[schemars(extend("default" = false))]
    pub enabled: Option<bool>,
    /// Its release, with or without `v`. Default: the newest.
    #[schemars(regex(pattern = VERSION))]
    pub version: Option<String>,
    /// Labels of the nodes on which it runs; all must match. Default: all workers.
    #[schemars(schema_with = "super::texts")]
    pub node_selector: Texts,
}

fn any_keys(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": true,
    })
}
