//! The JSON Schemas, made from the raw types: for editors, and for this crate's own check of a file's structure.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::raw;

pub(crate) static CLUSTER: LazyLock<Value> =
    LazyLock::new(|| generate::<raw::Config>(SchemaSettings::draft2020_12(), "schema.json"));
pub(crate) static SITE: LazyLock<Value> =
    LazyLock::new(|| generate::<raw::Site>(SchemaSettings::draft2020_12(), "site-schema.json"));

/// The JSON Schema of a cluster file (draft 2020-12).
pub fn schema() -> Value {
    CLUSTER.clone()
}

/// The same in draft 07, for editors that know no newer one.
pub fn schema_draft_07() -> Value {
    generate::<raw::Config>(SchemaSettings::draft07(), "schema-draft-07.json")
}

/// The JSON Schema of the site file (draft 2020-12).
pub fn site_schema() -> Value {
    SITE.clone()
}

/// Where the schemas lie that have names of their own.
const HOME: &str = "https://raw.githubusercontent.com/kubitect/kubitect-rs/main/docs/";

fn generate<T: JsonSchema>(settings: SchemaSettings, name: &str) -> Value {
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut named = Map::new();
    named.insert("$id".to_owned(), format!("{HOME}{name}").into());
    if let Value::Object(keys) = schema.to_value() {
        named.extend(keys);
    }
    Value::Object(named)
}
