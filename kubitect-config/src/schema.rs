//! The JSON Schemas, made from the raw types: one form for this crate's own check of a file's structure, and one for editors,
//! with all the texts that they show.

mod choices;
mod editor;
mod key_texts;
mod older;

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::raw;

/// The schema against which a cluster file is checked.
pub(crate) static CLUSTER: LazyLock<Value> = LazyLock::new(generate::<raw::Config>);
/// The schema against which a site file is checked.
pub(crate) static SITE: LazyLock<Value> = LazyLock::new(generate::<raw::Site>);

/// The JSON Schema of a cluster file (draft 2020-12).
pub fn schema() -> Value {
    let draft = "https://json-schema.org/draft/2020-12/schema";
    named(&CLUSTER, "Config", draft, "schema.json")
}

/// The same schema in draft 07, for editors that support no newer draft.
pub fn schema_draft_07() -> Value {
    let draft = "http://json-schema.org/draft-07/schema#";
    named(&CLUSTER, "Config", draft, "schema-draft-07.json")
}

/// The JSON Schema of the site file (draft 2020-12).
pub fn site_schema() -> Value {
    let draft = "https://json-schema.org/draft/2020-12/schema";
    named(&SITE, "Site", draft, "site-schema.json")
}

/// The address of the folder with the published schemas.
const HOME: &str = "https://raw.githubusercontent.com/kubitect/kubitect-rs/main/docs/";

fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// A schema for editors, with its draft and its own address.
fn named(raw: &Value, root: &str, draft: &str, name: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), draft.into());
    schema.insert("$id".to_owned(), format!("{HOME}{name}").into());
    schema.extend(editor::editor(raw, root));
    Value::Object(schema)
}
