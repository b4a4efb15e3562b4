//! The JSON Schemas, made from the raw types: for editors, and for this crate's own check of a file's structure.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw;

pub(crate) static CLUSTER: LazyLock<Value> = LazyLock::new(generate::<raw::Config>);
pub(crate) static SITE: LazyLock<Value> = LazyLock::new(generate::<raw::Site>);

/// The JSON Schema of a cluster file (draft 2020-12).
pub fn schema() -> Value {
    CLUSTER.clone()
}

/// The JSON Schema of the site file (draft 2020-12).
pub fn site_schema() -> Value {
    SITE.clone()
}

fn generate<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}
