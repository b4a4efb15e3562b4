//! The JSON Schemas, made from the raw types: for editors, with all that they show, and for this crate's own check of a file's
//! structure.

mod choices;
mod editor;
mod older;
mod words;

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::raw;

/// What a cluster file is checked by.
pub(crate) static CLUSTER: LazyLock<Value> = LazyLock::new(generate::<raw::Config>);
/// What a site file is checked by.
pub(crate) static SITE: LazyLock<Value> = LazyLock::new(generate::<raw::Site>);

/// The JSON Schema of a cluster file (draft 2020-12).
pub fn schema() -> Value {
    let draft = "https://json-schema.org/draft/2020-12/schema";
    named(&CLUSTER, "Config", draft, "schema.json")
}

/// The same in draft 07, for editors that know no newer one.
pub fn schema_draft_07() -> Value {
    let draft = "http://json-schema.org/draft-07/schema#";
    named(&CLUSTER, "Config", draft, "schema-draft-07.json")
}

/// The JSON Schema of the site file (draft 2020-12).
pub fn site_schema() -> Value {
    let draft = "https://json-schema.org/draft/2020-12/schema";
    named(&SITE, "Site", draft, "site-schema.json")
}

/// Where the schemas lie that have names of their own.
const HOME: &str = "https://raw.githubusercontent.com/kubitect/kubitect-rs/main/docs/";

fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// A schema for editors, with its draft and its address.
fn named(raw: &Value, root: &str, draft: &str, name: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), draft.into());
    schema.insert("$id".to_owned(), format!("{HOME}{name}").into());
    schema.extend(editor::editor(raw, root));
    Value::Object(schema)
}
