//! [`KeyTexts`]: the texts that editors show for each key beside its description, from the table `data/schema-words.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::raw;
use crate::release;
use crate::yaml::{Limits, read_as};

/// The key in the table for a type's own texts.
pub(super) const ITSELF: &str = ".";

/// The texts of one key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyTexts {
    pub title: String,
    /// Example values.
    pub examples: Vec<Value>,
    /// An example of several lines, for a mapping or a list of mappings.
    pub example: Option<String>,
    pub pattern: Option<String>,
    /// The meaning of the pattern.
    pub message: Option<String>,
    /// The meaning of each value, if the values follow from Kubespray's releases.
    pub values: BTreeMap<String, String>,
    /// Why an editor does not suggest the key.
    pub hidden: Option<String>,
    pub snippets: Vec<Snippet>,
}

/// Lines that an editor inserts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snippet {
    pub label: String,
    pub description: String,
    pub body: Value,
}

static TEXTS: LazyLock<BTreeMap<String, BTreeMap<String, KeyTexts>>> = LazyLock::new(|| {
    read_as(include_str!("../../data/schema-words.yaml"), Limits::OWN)
        .expect("the table of words is well formed")
});

/// The texts of a type's key.
pub(super) fn of(name: &str, key: &str) -> Option<&'static KeyTexts> {
    TEXTS.get(name)?.get(key)
}

/// The meaning of the common patterns, as validation's messages have it.
pub(super) fn meaning(pattern: &str) -> Option<&'static str> {
    match pattern {
        raw::LABEL => Some(
            "must be 1 to 63 lower-case letters, digits or hyphens, with a letter or digit at both ends",
        ),
        raw::NAME => Some(
            "must be 1 to 63 letters, digits, `-`, `_` or `.`, and begin with a letter, a digit or `_`",
        ),
        raw::IPV4 => Some("must be four numbers from 0 to 255, as 192.168.113.10"),
        raw::MAC => Some("must be six two-digit hexadecimal bytes, as 52:54:00:12:34:56"),
        raw::VERSION => Some("must be a version of three numbers, as v1.23.7"),
        raw::TAINT => Some(
            "must be `key=value:Effect` or `key:Effect`, with the effect NoSchedule, PreferNoSchedule or NoExecute",
        ),
        raw::LOGIN => Some(
            "must be 1 to 32 lower-case letters, digits, `_` or `-`, and begin with a letter or `_`",
        ),
        raw::INTERFACE => Some(
            "must be 1 to 15 letters, digits, `-`, `_` or `.`, and begin with a letter or digit",
        ),
        _ => None,
    }
}

/// The text with the newest releases filled in.
pub(super) fn newest(text: &str) -> String {
    text.replace("NEWEST_KUBESPRAY", &release::newest().tag.to_string())
        .replace("NEWEST", &release::default_kubernetes().to_string())
}

/// A snippet's body with the newest releases filled in.
pub(super) fn filled_in(body: &Value) -> Value {
    match body {
        Value::String(text) => newest(text).into(),
        Value::Array(items) => items.iter().map(filled_in).collect(),
        Value::Object(keys) => {
            let keys = keys
                .iter()
                .map(|(key, value)| (key.clone(), filled_in(value)));
            Value::Object(keys.collect())
        }
        other => other.clone(),
    }
}

/// The name of a type for people.
pub(super) fn kind(schema: &Map<String, Value>) -> String {
    let number = |key: &str| schema.get(key).and_then(Value::as_i64);
    if schema.contains_key("enum") {
        return "one of the words below".to_owned();
    }
    let name = |kind: &str| match kind {
        "object" => "mapping".to_owned(),
        "array" => {
            let items = schema.get("items").and_then(Value::as_object);
            match items.map(kind_of_items) {
                Some(items) => format!("list of {items}"),
                None => "list".to_owned(),
            }
        }
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" | "number" => match (number("minimum"), number("maximum")) {
            (Some(low), Some(high)) => format!("number, {low} to {high}"),
            _ => "number".to_owned(),
        },
        other => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(kind)) => name(kind),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).map(name).collect();
            kinds.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn kind_of_items(items: &Map<String, Value>) -> String {
    match kind(items).as_str() {
        "mapping" => "mappings".to_owned(),
        "text" => "texts".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key has texts, and the table has no others.
    #[test]
    fn the_table_and_the_types_have_the_same_keys() {
        let mut keys_of_types = std::collections::BTreeSet::new();
        for (raw, root) in [
            (&*super::super::CLUSTER, "Config"),
            (&*super::super::SITE, "Site"),
        ] {
            let definitions = raw["$defs"].as_object().unwrap();
            let root = (root.to_owned(), raw);
            let all = definitions.iter().map(|(name, own)| (name.clone(), own));
            for (name, definition) in all.chain([root]) {
                for key in definition["properties"]
                    .as_object()
                    .into_iter()
                    .flat_map(Map::keys)
                {
                    assert!(of(&name, key).is_some(), "{name}.{key} has no texts");
                    keys_of_types.insert((name.clone(), key.clone()));
                }
                keys_of_types.insert((name, ITSELF.to_owned()));
            }
        }
        for (name, keys) in &*TEXTS {
            for (key, texts) in keys {
                assert!(
                    keys_of_types.contains(&(name.clone(), key.clone())),
                    "{name}.{key}"
                );
                assert!(!texts.title.is_empty(), "{name}.{key} has no title");
            }
        }
    }

    #[test]
    fn examples_fit_their_patterns_and_snippets_speak_of_the_newest_release() {
        assert_eq!(
            newest("NEWEST NEWEST_KUBESPRAY"),
            format!(
                "{} {}",
                release::default_kubernetes(),
                release::newest().tag
            )
        );
        let body = &of("Config", ITSELF).unwrap().snippets[0].body;
        assert!(!filled_in(body).to_string().contains("NEWEST"));
    }
}
