//! YAML as values: read by this crate's own reader, within limits, and written so that readers of YAML 1.1 understand it, too.
//!
//! Values become YAML only here, and text becomes values only by this crate's reader: the parser of serde_yaml is used on nothing.
//! Ansible and kubectl read YAML 1.1, in which `yes`, `0644`, `1_000` and `2020-01-01` are text only if quoted.

use std::fmt::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_yaml::{Mapping, Number, Value};

use crate::tree::{self, Kind, Tree};

/// The limits of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub bytes: usize,
    /// Whether aliases (`*name`) are allowed, which multiply values.
    pub aliases: bool,
}

impl Limits {
    /// For files of this machine's own user.
    pub const OWN: Self = Self {
        bytes: 4 << 20,
        aliases: true,
    };
    /// For text from a guest.
    pub const GUEST: Self = Self {
        bytes: 256 << 10,
        aliases: false,
    };
}

/// Why a text can't be read as YAML, or a value can't be written. It may quote keys. If it is from [`read_as`] or [`from_value`],
/// it may also quote values, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// The value of a YAML text; an empty text is null. A text that readers could understand in two ways (a key twice, tags) is
/// refused.
pub fn read(text: &str, limits: Limits) -> Result<Value, Fault> {
    if text.len() > limits.bytes {
        return Err(Fault(format!(
            "it is longer than {} KiB",
            limits.bytes >> 10
        )));
    }
    let (tree, faults) = tree::read(text, limits.aliases);
    match faults.first() {
        Some(fault) => Err(Fault(format!(
            "line {}, column {}: {}",
            fault.start.line,
            fault.start.column,
            crate::text::line(&fault.message)
        ))),
        None => Ok(tree.map_or(Value::Null, |tree| tree.value())),
    }
}

impl Tree {
    /// The value without positions, as serde_yaml would read it.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain } => scalar(text, *plain),
            Kind::List(items) => Value::Sequence(items.iter().map(Self::value).collect()),
            Kind::Map(entries) => Value::Mapping(
                entries
                    .iter()
                    .map(|(key, value)| (key.value(), value.value()))
                    .collect::<Mapping>(),
            ),
        }
    }

    /// Whether it is null, which is the same as no value.
    pub fn is_nothing(&self) -> bool {
        self.value() == Value::Null
    }
}

/// A scalar by YAML 1.2's core schema, with serde_yaml's own reading of numbers.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => text
            .parse::<Number>()
            .map_or_else(|_| Value::String(text.to_owned()), Value::Number),
        _ => Value::String(text.to_owned()),
    }
}

/// A YAML text as typed data. An error may quote the text: so it must have no secrets.
pub fn read_as<T: DeserializeOwned>(text: &str, limits: Limits) -> Result<T, Fault> {
    from_value(read(text, limits)?)
}

/// A value as typed data. An error may quote the value.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_yaml::from_value(value).map_err(|e| Fault(e.to_string()))
}

/// Typed data as a value.
pub fn to_value(value: &impl Serialize) -> Result<Value, Fault> {
    serde_yaml::to_value(value).map_err(|e| Fault(e.to_string()))
}

/// `value` as a YAML document: mappings in their order, and text quoted wherever a reader could take it for something else.
pub fn write(value: &impl Serialize) -> Result<String, Fault> {
    let value = to_value(value)?;
    let mut text = String::new();
    match &value {
        Value::Mapping(map) if !map.is_empty() => block_map(&mut text, map, 0),
        Value::Sequence(items) if !items.is_empty() => block_list(&mut text, items, 0),
        other => {
            flow(&mut text, other);
            text.push('\n');
        }
    }
    Ok(text)
}

fn block_map(text: &mut String, map: &Mapping, indent: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        // The first entry of a mapping in a list is on the line of the item's hyphen.
        if index > 0 || !text.ends_with("- ") {
            push_indent(text, indent);
        }
        flow(text, key);
        text.push(':');
        match value {
            Value::Mapping(map) if !map.is_empty() => {
                text.push('\n');
                block_map(text, map, indent + 2);
            }
            Value::Sequence(items) if !items.is_empty() => {
                text.push('\n');
                block_list(text, items, indent);
            }
            scalar => {
                text.push(' ');
                flow(text, scalar);
                text.push('\n');
            }
        }
    }
}

fn block_list(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        push_indent(text, indent);
        text.push_str("- ");
        match item {
            Value::Mapping(map) if !map.is_empty() => block_map(text, map, indent + 2),
            other => {
                flow(text, other);
                text.push('\n');
            }
        }
    }
}

fn push_indent(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// A value on one line.
fn flow(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => number(text, value),
        Value::String(value) => string(text, value),
        Value::Sequence(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                flow(text, item);
            }
            text.push(']');
        }
        Value::Mapping(map) => {
            text.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                flow(text, key);
                text.push_str(": ");
                flow(text, value);
            }
            text.push('}');
        }
        Value::Tagged(tagged) => {
            push(text, format_args!("{} ", tagged.tag));
            flow(text, &tagged.value);
        }
    }
}

/// A number. In YAML 1.1 a float must have a dot, and its exponent a sign.
fn number(text: &mut String, value: &Number) {
    match value.as_f64() {
        Some(float) if value.is_f64() && float.is_finite() => {
            let digits = format!("{float:?}");
            match digits.split_once('e') {
                Some((mantissa, exponent)) => {
                    let dot = if mantissa.contains('.') { "" } else { ".0" };
                    let sign = if exponent.starts_with('-') { "" } else { "+" };
                    push(text, format_args!("{mantissa}{dot}e{sign}{exponent}"));
                }
                None => text.push_str(&digits),
            }
        }
        _ => push(text, format_args!("{value}")),
    }
}

/// Text: plain if a reader can only take it for text, else in double quotes.
fn string(text: &mut String, value: &str) {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let word = value.to_ascii_lowercase();
    let plain = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !WORDS.contains(&word.as_str());
    if plain {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(c),
            c if u32::from(c) <= 0xFFFF => push(text, format_args!("\\u{:04X}", u32::from(c))),
            c => push(text, format_args!("\\U{:08X}", u32::from(c))),
        }
    }
    text.push('"');
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300..1e300).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-+.0-9a-fxoe_:=<~ yesnoYN#{}\\[\\]*&!|>%@`'\"\\\\]{0,8}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|entries| entries
                    .into_iter()
                    .map(|(k, v)| (Value::from(k), v))
                    .collect::<Mapping>()
                    .into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in values()) {
            let text = write(&value).unwrap();
            let other: Value = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(&other, &value, "{}", text);
            prop_assert_eq!(read(&text, Limits::OWN).unwrap(), value, "{}", text);
        }
    }

    #[test]
    fn what_yaml_1_1_would_misread_is_quoted() {
        for value in [
            "yes",
            "Off",
            "0644",
            "1_000",
            "2020-01-01",
            "12:30",
            "=",
            "<<",
            "1.5",
            "",
        ] {
            assert_eq!(write(&value).unwrap(), format!("\"{value}\"\n"));
        }
        assert_eq!(write(&1e16).unwrap(), "1.0e+16\n");
        assert_eq!(write(&"a/b-c.d").unwrap(), "a/b-c.d\n");
    }
}
