//! Checks a [`Tree`] against the JSON Schema: unknown keys, types, ranges and allowed words, all in one pass.
//!
//! The schema is made from the raw types: so what passes here deserialises into them. What does not pass is reported and left
//! out, and the rest is still validated: a person gets all problems at once.

use std::cell::OnceCell;

use crate::yaml::{Mapping, Value};
use serde_json::Value as Schema;

use crate::problem::Severity;
use crate::report::{KeyPath, Report, nearest, quote};
use crate::tree::{Kind, Tree};

mod foreign;
mod hints;

pub(crate) use foreign::foreign_file;
use hints::KeyParents;

/// The value of `tree` without the parts that do not fit the schema.
pub(crate) fn check(tree: &Tree, schema: &Schema, report: &mut Report) -> Value {
    let checker = Checker {
        root: schema,
        parents: OnceCell::new(),
    };
    checker
        .value(tree, schema, &KeyPath::Root, report)
        .unwrap_or_default()
}

struct Checker<'a> {
    root: &'a Schema,
    /// Made at the first unknown key.
    parents: OnceCell<KeyParents>,
}

impl<'a> Checker<'a> {
    fn resolve(&self, schema: &'a Schema) -> &'a Schema {
        resolve(self.root, schema)
    }

    fn value(
        &self,
        tree: &Tree,
        schema: &'a Schema,
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<Value> {
        let schema = self.resolve(schema);
        let types = types(schema);
        if types.is_empty() && allowed(schema).is_empty() {
            return Some(tree.value());
        }
        match &tree.kind {
            Kind::Map(entries) if types.contains(&"object") => {
                Some(self.map(entries, schema, path, report))
            }
            Kind::List(items) if types.contains(&"array") => {
                Some(self.list(items, &schema["items"], path, report))
            }
            Kind::Scalar { text, plain } => {
                scalar(tree, (text, *plain), schema, &types, path, report)
            }
            _ if types.is_empty() => wrong_type(tree, &["string"], path, report),
            _ => wrong_type(tree, &types, path, report),
        }
    }

    fn map(
        &self,
        entries: &[(Tree, Tree)],
        schema: &'a Schema,
        path: &KeyPath,
        report: &mut Report,
    ) -> Value {
        let mut map = Mapping::new();
        for (key, tree) in entries {
            let name = key.text();
            let path = path.key(name);
            let value = if let Some(property) = schema["properties"].get(name) {
                if property["deprecated"] == true {
                    report.at_key(
                        &path,
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
                    _ => self.value(tree, property, &path, report),
                }
            } else {
                match &schema["additionalProperties"] {
                    Schema::Bool(false) if is_extension(name, &path) => None,
                    Schema::Bool(false) => {
                        let parents = self.parents.get_or_init(|| hints::key_parents(self.root));
                        unknown(key, entries, (parents, schema), &path, report);
                        None
                    }
                    other => self.value(tree, other, &path, report),
                }
            };
            if let Some(value) = value {
                map.insert(Value::String(name.to_owned()), value);
            }
        }
        Value::Mapping(map)
    }

    /// Items that do not fit are replaced by empty ones, so that the others keep their indices.
    fn list(
        &self,
        items: &[Tree],
        schema: &'a Schema,
        path: &KeyPath,
        report: &mut Report,
    ) -> Value {
        let empty = || match types(self.resolve(schema)).as_slice() {
            types if types.contains(&"object") => Value::Mapping(Mapping::new()),
            _ => Value::String(String::new()),
        };
        items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                self.value(item, schema, &path.index(index), report)
                    .unwrap_or_else(empty)
            })
            .collect()
    }
}

/// The schema that has the type: `$ref` is followed, and of `anyOf` the choice that is not null.
fn resolve<'a>(root: &'a Schema, mut schema: &'a Schema) -> &'a Schema {
    loop {
        if let Some(pointer) = schema["$ref"].as_str() {
            schema = root
                .pointer(pointer.trim_start_matches('#'))
                .unwrap_or(&Schema::Null);
        } else if let Some(choice) = schema["anyOf"].as_array() {
            schema = choice
                .iter()
                .find(|option| option["type"] != "null")
                .unwrap_or(&Schema::Null);
        } else {
            return schema;
        }
    }
}

/// Whether a key at the top of the file is free for its author: `x-…` for values that are repeated by anchors (`&name`), and
/// `$schema`, which editors read.
fn is_extension(name: &str, path: &KeyPath) -> bool {
    matches!(path, KeyPath::Key(KeyPath::Root, _)) && (name.starts_with("x-") || name == "$schema")
}

fn types(schema: &Schema) -> Vec<&str> {
    match &schema["type"] {
        Schema::String(name) => vec![name],
        Schema::Array(names) => names.iter().filter_map(Schema::as_str).collect(),
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
        .flat_map(|option| {
            let words = option["enum"].as_array().into_iter().flatten();
            words.chain(option.get("const"))
        });
    own.chain(documented).filter_map(Schema::as_str).collect()
}

fn scalar(
    tree: &Tree,
    (text, plain): (&str, bool),
    schema: &Schema,
    types: &[&str],
    path: &KeyPath,
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
            path,
            "not-allowed",
            format!("{} is not possible here", quote(text)),
            help,
        );
        report.leave_out(path);
        return None;
    }
    let accepts = |wanted: &str| types.contains(&wanted);
    match tree.value() {
        Value::String(value) if accepts("string") => Some(Value::String(value)),
        // In YAML 1.1, which the Go program read, these words are truth values.
        Value::String(_) if plain && accepts("boolean") && yes_or_no(text).is_some() => {
            yes_or_no(text).map(Value::Bool)
        }
        Value::Bool(value) if accepts("boolean") && !accepts("string") => Some(Value::Bool(value)),
        // Where text and numbers are allowed, a number means its text: 1 is "1", and 1.10 stays "1.10".
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
                return wrong_type(tree, types, path, report);
            };
            let low = schema["minimum"].as_i64().map_or(i128::MIN, i128::from);
            let high = schema["maximum"].as_i64().map_or(i128::MAX, i128::from);
            if (low..=high).contains(&value) {
                return Some(Value::Number(number));
            }
            report.error(
                path,
                "out-of-range",
                format!("{value} is out of range"),
                format!("use a whole number from {low} to {high}"),
            );
            report.leave_out(path);
            None
        }
        _ => wrong_type(tree, types, path, report),
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

fn wrong_type(tree: &Tree, types: &[&str], path: &KeyPath, report: &mut Report) -> Option<Value> {
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
        Value::String(text) => in_gib(&text, path),
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
        path,
        "wrong-type",
        format!("must be {wanted}, but is {found}"),
        gib.or_else(|| hints::shape(tree, types, path))
            .unwrap_or(help),
    );
    report.leave_out(path);
    None
}

/// The help for a size that is written with its unit, as `4GiB`: the number in GiB, which the key takes.
fn in_gib(text: &str, path: &KeyPath) -> Option<String> {
    let KeyPath::Key(_, key @ ("ram" | "mainDiskSize" | "size")) = path else {
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
    (parents, schema): (&KeyParents, &Schema),
    path: &KeyPath,
    report: &mut Report,
) {
    // A deprecated key is never suggested.
    let allowed: Vec<&str> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["deprecated"] != true)
        .map(|(name, _)| name.as_str())
        .collect();
    let (guess, help) = hints::unknown_key(key.text(), &allowed, parents, path);
    report.at_key(
        path,
        key,
        Severity::Error,
        "unknown-key",
        format!("unknown key {}", quote(key.text())),
        help,
    );
    // If the key is misspelt, validation must not report the right one as missing: that is the same mistake.
    if let (Some(guess), KeyPath::Key(parent, _)) = (guess, path)
        && !entries.iter().any(|(key, _)| key.text() == guess)
    {
        report.leave_out(&parent.key(guess));
    }
}
