//! Checks a [`Tree`] against the JSON Schema: unknown keys, types, ranges and allowed words, all in one go.
//!
//! The schema is made from the raw types, so what passes here deserialises into them. What does not pass is reported
//! and left out, and the rest goes on to validation.

use std::cell::OnceCell;

use crate::yaml::{Mapping, Value};
use serde_json::Value as Schema;

use crate::problem::Severity;
use crate::report::{At, Report, nearest, quote};
use crate::tree::{Kind, Tree};

mod hints;
mod stranger;

use hints::Places;
pub(crate) use stranger::stranger;

/// The value of `tree` as far as it fits the schema.
pub(crate) fn check(tree: &Tree, schema: &Schema, report: &mut Report) -> Value {
    let checker = Checker {
        root: schema,
        places: OnceCell::new(),
    };
    checker
        .value(tree, schema, &At::Root, report)
        .unwrap_or_default()
}

struct Checker<'a> {
    root: &'a Schema,
    /// Gathered when the first key has no place.
    places: OnceCell<Places>,
}

impl<'a> Checker<'a> {
    fn resolve(&self, schema: &'a Schema) -> &'a Schema {
        resolve(self.root, schema)
    }

    fn value(
        &self,
        tree: &Tree,
        schema: &'a Schema,
        at: &At,
        report: &mut Report,
    ) -> Option<Value> {
        let schema = self.resolve(schema);
        let types = types(schema);
        if types.is_empty() && allowed(schema).is_empty() {
            return Some(tree.value());
        }
        match &tree.kind {
            Kind::Map(entries) if types.contains(&"object") => {
                Some(self.map(entries, schema, at, report))
            }
            Kind::List(items) if types.contains(&"array") => {
                Some(self.list(items, &schema["items"], at, report))
            }
            Kind::Scalar { text, plain } => {
                scalar(tree, (text, *plain), schema, &types, at, report)
            }
            _ if types.is_empty() => wrong_type(tree, &["string"], at, report),
            _ => wrong_type(tree, &types, at, report),
        }
    }

    fn map(
        &self,
        entries: &[(Tree, Tree)],
        schema: &'a Schema,
        at: &At,
        report: &mut Report,
    ) -> Value {
        let mut map = Mapping::new();
        for (key, tree) in entries {
            let name = key.text();
            let at = at.key(name);
            let value = if let Some(property) = schema["properties"].get(name) {
                if property["deprecated"] == true {
                    report.at_key(
                        &at,
                        key,
                        Severity::Warning,
                        "deprecated",
                        format!("`{name}` no longer means anything"),
                        "remove it",
                    );
                }
                // A key without a value is the same as no key.
                match tree.value() {
                    Value::Null => None,
                    _ => self.value(tree, property, &at, report),
                }
            } else {
                match &schema["additionalProperties"] {
                    Schema::Bool(false) if is_extension(name, &at) => None,
                    Schema::Bool(false) => {
                        let places = self.places.get_or_init(|| hints::places(self.root));
                        unknown(key, entries, (places, schema), &at, report);
                        None
                    }
                    other => self.value(tree, other, &at, report),
                }
            };
            if let Some(value) = value {
                map.insert(Value::String(name.to_owned()), value);
            }
        }
        Value::Mapping(map)
    }

    /// Items that do not fit become empty ones, so that the others keep their places.
    fn list(&self, items: &[Tree], schema: &'a Schema, at: &At, report: &mut Report) -> Value {
        let empty = || match types(self.resolve(schema)).as_slice() {
            types if types.contains(&"object") => Value::Mapping(Mapping::new()),
            _ => Value::String(String::new()),
        };
        items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                self.value(item, schema, &at.index(index), report)
                    .unwrap_or_else(empty)
            })
            .collect()
    }
}

/// Follows references, and `anyOf` with null, to the schema that says the type.
fn resolve<'a>(root: &'a Schema, mut schema: &'a Schema) -> &'a Schema {
    loop {
        if let Some(pointer) = schema["$ref"].as_str() {
            schema = root
                .pointer(pointer.trim_start_matches('#'))
                .unwrap_or(&Schema::Null);
        } else if let Some(choice) = schema["anyOf"].as_array() {
            schema = choice
                .iter()
                .find(|one| one["type"] != "null")
                .unwrap_or(&Schema::Null);
        } else {
            return schema;
        }
    }
}

/// Keys at the top that hold what a file repeats (`&name`), or name its schema for editors.
fn is_extension(name: &str, at: &At) -> bool {
    matches!(at, At::Key(At::Root, _)) && (name.starts_with("x-") || name == "$schema")
}

fn types(schema: &Schema) -> Vec<&str> {
    match &schema["type"] {
        Schema::String(one) => vec![one],
        Schema::Array(several) => several.iter().filter_map(Schema::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The words of an enumeration.
fn allowed(schema: &Schema) -> Vec<&str> {
    let own = schema["enum"].as_array().into_iter().flatten();
    let documented = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| {
            let several = one["enum"].as_array().into_iter().flatten();
            several.chain(one.get("const"))
        });
    own.chain(documented).filter_map(Schema::as_str).collect()
}

fn scalar(
    tree: &Tree,
    (text, plain): (&str, bool),
    schema: &Schema,
    types: &[&str],
    at: &At,
    report: &mut Report,
) -> Option<Value> {
    let words = allowed(schema);
    if !words.is_empty() {
        if words.contains(&text) {
            return Some(Value::String(text.to_owned()));
        }
        let help = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? Possible: {}", words.join(", ")),
            None => format!("use one of: {}", words.join(", ")),
        };
        report.error(
            at,
            "not-allowed",
            format!("{} is not possible here", quote(text)),
            help,
        );
        report.leave_out(at);
        return None;
    }
    let accepts = |wanted: &str| types.contains(&wanted);
    match tree.value() {
        Value::String(value) if accepts("string") => Some(Value::String(value)),
        // YAML 1.1, and so the Go program, took these words for truth values.
        Value::String(_) if plain && accepts("boolean") && yes_or_no(text).is_some() => {
            yes_or_no(text).map(Value::Bool)
        }
        Value::Bool(value) if accepts("boolean") && !accepts("string") => Some(Value::Bool(value)),
        // Where text and numbers are both possible, both mean their text: 1 is "1", and 1.10 stays "1.10".
        Value::Number(_) if accepts("string") && (accepts("number") || accepts("integer")) => {
            Some(Value::String(text.to_owned()))
        }
        Value::Bool(_) if accepts("string") && accepts("boolean") => {
            Some(Value::String(text.to_owned()))
        }
        Value::Null if accepts("string") && accepts("null") => Some(Value::String(String::new())),
        Value::Number(number) if accepts("integer") => {
            let value = number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from));
            let Some(value) = value else {
                return wrong_type(tree, types, at, report);
            };
            let low = schema["minimum"].as_i64().map_or(i128::MIN, i128::from);
            let high = schema["maximum"].as_i64().map_or(i128::MAX, i128::from);
            if (low..=high).contains(&value) {
                return Some(Value::Number(number));
            }
            report.error(
                at,
                "out-of-range",
                format!("{value} is out of range"),
                format!("use a whole number from {low} to {high}"),
            );
            report.leave_out(at);
            None
        }
        _ => wrong_type(tree, types, at, report),
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

fn wrong_type(tree: &Tree, types: &[&str], at: &At, report: &mut Report) -> Option<Value> {
    let wanted: Vec<&str> = types
        .iter()
        .filter_map(|kind| match *kind {
            "object" => Some("a mapping (`key: value` lines)"),
            "array" => Some("a list (lines that begin with `- `)"),
            "string" => Some("text"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "boolean" => Some("true or false"),
            _ => None,
        })
        .collect();
    let wanted = wanted.join(" or ");
    let gib = match tree.value() {
        Value::String(text) => in_gib(&text, at),
        _ => None,
    };
    let (found, help) = match tree.value() {
        Value::Null => (
            "empty".to_owned(),
            format!("give it {wanted}, or remove it"),
        ),
        Value::Bool(value) => (value.to_string(), format!("write {wanted}")),
        Value::Number(_) if types.contains(&"string") => (
            tree.text().to_owned(),
            format!("put it into quotes: \"{}\"", tree.text()),
        ),
        Value::Number(_) => (tree.text().to_owned(), format!("write {wanted}")),
        Value::String(text) if matches!(tree.kind, Kind::Scalar { plain: false, .. }) => (
            format!("the text {}", quote(&text)),
            format!("write {wanted}, without quotes"),
        ),
        Value::String(text) => (quote(&text), format!("write {wanted}")),
        Value::Sequence(_) => ("a list".to_owned(), format!("write {wanted}")),
        _ => ("a mapping".to_owned(), format!("write {wanted}")),
    };
    report.error(
        at,
        "wrong-type",
        format!("must be {wanted}, but is {found}"),
        gib.or_else(|| hints::shape(tree, types, at))
            .unwrap_or(help),
    );
    report.leave_out(at);
    None
}

/// A size with its unit, as `4GiB`: the number alone, where it is GiB.
fn in_gib(text: &str, at: &At) -> Option<String> {
    let At::Key(_, key @ ("ram" | "mainDiskSize" | "size")) = at else {
        return None;
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u32 = digits.parse().ok()?;
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let number = match unit.as_str() {
        "" | "g" | "gb" | "gi" | "gib" => number,
        "m" | "mb" | "mi" | "mib" => number.div_ceil(1024),
        "t" | "tb" | "ti" | "tib" => number.checked_mul(1024)?,
        _ => return None,
    };
    Some(format!("write `{key}: {number}`: it is in GiB"))
}

fn unknown(
    key: &Tree,
    entries: &[(Tree, Tree)],
    (places, schema): (&Places, &Schema),
    at: &At,
    report: &mut Report,
) {
    // What no longer means anything is proposed to nobody.
    let known: Vec<&str> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["deprecated"] != true)
        .map(|(name, _)| name.as_str())
        .collect();
    let (guess, help) = hints::mended(key.text(), &known, places, at);
    report.at_key(
        at,
        key,
        Severity::Error,
        "unknown-key",
        format!("unknown key {}", quote(key.text())),
        help,
    );
    // If a misspelt key is missed later, that is the same mistake.
    if let (Some(guess), At::Key(parent, _)) = (guess, at)
        && !entries.iter().any(|(key, _)| key.text() == guess)
    {
        report.leave_out(&parent.key(guess));
    }
}
