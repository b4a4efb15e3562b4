//! The schema for editors: each key has its type, title, description, default, examples, the meaning of its pattern, and snippets.
//!
//! Its form follows from what language servers do with a schema. In draft 07, keywords beside a reference are ignored; the
//! description of a branch of `anyOf` replaces the key's own; an enumeration of constants shows no descriptions on hover; and
//! defaults are not shown. So this schema has no references and no `anyOf`, and a default is written into the description.

use serde_json::{Map, Value, json};

use super::key_texts::{self, KeyTexts};
use super::{choices, older};

/// The schema for editors, from the one that [`schemars`] made.
pub(super) fn editor(raw: &Value, root: &str) -> Map<String, Value> {
    let editor = Editor { raw };
    let mut whole = editor.object(raw, root);
    if let Some(texts) = key_texts::of(root, key_texts::ITSELF) {
        describe(&mut whole, texts);
    }
    older::add(&mut whole);
    whole
}

struct Editor<'a> {
    raw: &'a Value,
}

impl<'a> Editor<'a> {
    /// A definition by its reference, with its name.
    fn definition(&self, reference: &'a str) -> (&'a str, &'a Value) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        (name, &self.raw["$defs"][name])
    }

    /// A schema without references, `anyOf` and null.
    fn whole(&self, schema: &'a Value) -> Map<String, Value> {
        if let Some(choice) = schema["anyOf"].as_array() {
            let option = choice.iter().find(|option| option["type"] != "null");
            return merged(self.whole(option.unwrap_or(&Value::Null)), schema);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (name, definition) = self.definition(reference);
            return merged(self.named(name, definition), schema);
        }
        self.named("", schema)
    }

    /// A type of the raw configuration.
    fn named(&self, name: &str, schema: &'a Value) -> Map<String, Value> {
        if schema["oneOf"].is_array() {
            return enumeration(schema);
        }
        let mut whole = self.object(schema, name);
        if let Some(texts) = key_texts::of(name, key_texts::ITSELF) {
            describe(&mut whole, texts);
        }
        whole
    }

    /// A schema whose keys, items and values have no references.
    fn object(&self, schema: &'a Value, name: &str) -> Map<String, Value> {
        let mut whole = Map::new();
        for (key, value) in schema.as_object().into_iter().flatten() {
            let value = match key.as_str() {
                // `format` is the width of a number, which no editor uses.
                "$schema" | "$defs" | "format" | "deprecated" => continue,
                "default" if value.is_null() || is_nothing(value) => continue,
                "type" => without_null(value),
                "description" => one_line(value),
                "items" | "additionalProperties" if value.is_object() => {
                    Value::Object(self.whole(value))
                }
                "properties" => self.properties(value, &schema["required"], name),
                _ => value.clone(),
            };
            whole.insert(key.clone(), value);
        }
        whole
    }

    fn properties(&self, properties: &'a Value, required: &Value, name: &str) -> Value {
        let is_required = |key: &str| {
            required
                .as_array()
                .is_some_and(|all| all.iter().any(|own| own == key))
        };
        let mut whole = Map::new();
        for (key, property) in properties.as_object().into_iter().flatten() {
            let mut own = self.whole(property);
            if let Some(texts) = key_texts::of(name, key) {
                choices::add(&mut own, name, key, texts);
                describe(&mut own, texts);
                let text = markdown(&own, texts, is_required(key));
                own.insert("markdownDescription".to_owned(), text.into());
            }
            whole.insert(key.clone(), Value::Object(own));
        }
        Value::Object(whole)
    }
}

/// A definition with the description and default that are beside the reference to it.
fn merged(mut whole: Map<String, Value>, reference: &Value) -> Map<String, Value> {
    if let Some(text) = reference.get("description") {
        whole.insert("description".to_owned(), one_line(text));
    }
    match reference.get("default") {
        Some(Value::Null) | None => {}
        Some(default) => drop(whole.insert("default".to_owned(), default.clone())),
    }
    whole
}

/// An enumeration of words with their meanings, from constants with descriptions.
fn enumeration(schema: &Value) -> Map<String, Value> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for option in schema["oneOf"].as_array().into_iter().flatten() {
        let about = option["description"].as_str().unwrap_or_default();
        let words = option["enum"].as_array().into_iter().flatten();
        for word in words.chain(option.get("const")).filter_map(Value::as_str) {
            pairs.push((word.to_owned(), about.replace('\n', " ")));
        }
    }
    let mut whole = choices::enumeration(&pairs);
    whole.insert("description".to_owned(), one_line(&schema["description"]));
    whole
}

/// Adds title, examples, pattern and snippets.
fn describe(schema: &mut Map<String, Value>, texts: &KeyTexts) {
    let mut put = |key: &str, value: Value| drop(schema.insert(key.to_owned(), value));
    put("title", texts.title.clone().into());
    if !texts.examples.is_empty() {
        put("examples", texts.examples.clone().into());
    }
    if let Some(pattern) = &texts.pattern {
        put("pattern", pattern.clone().into());
    }
    if let Some(reason) = &texts.hidden {
        put("deprecated", true.into());
        put("doNotSuggest", true.into());
        put("deprecationMessage", reason.clone().into());
    }
    if !texts.snippets.is_empty() {
        let snippets = texts.snippets.iter().map(|snippet| {
            json!({"label": snippet.label, "description": snippet.description, "body": key_texts::filled_in(&snippet.body)})
        });
        put("defaultSnippets", snippets.collect());
    }
    message(schema, texts.message.as_deref());
    if let Some(items) = schema.get_mut("items").and_then(Value::as_object_mut) {
        message(items, None);
    }
}

/// Adds the meaning of the pattern, as validation's messages have it.
fn message(schema: &mut Map<String, Value>, own: Option<&str>) {
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let message = own.or_else(|| key_texts::meaning(pattern?));
    if let Some(message) = message {
        let message = message.to_owned();
        schema.insert("patternErrorMessage".to_owned(), message.into());
    }
}

/// The description with the type and the default, which editors don't show by themselves.
fn markdown(schema: &Map<String, Value>, texts: &KeyTexts, required: bool) -> String {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = key_texts::kind(schema);
    let mut markdown = format!("{}\n\nType: {kind}.", text("description"));
    if required {
        markdown += " Required.";
    }
    if let Some(default) = schema.get("default") {
        let default = default.as_str().map_or(default.to_string(), str::to_owned);
        markdown += &format!(" Default: `{default}`.");
    }
    if let Some(example) = &texts.example {
        let example = key_texts::newest(example);
        markdown += &format!("\n\n```yaml\n{example}```");
    }
    markdown
}

/// Whether a default is an empty list or mapping.
fn is_nothing(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// The type without null. Null is allowed for a key without a value, but an editor should mark such a key as unfinished.
fn without_null(types: &Value) -> Value {
    match types.as_array().map(Vec::as_slice) {
        Some([kind, null]) if null == "null" => kind.clone(),
        _ => types.clone(),
    }
}

/// A description on one line: doc comments have the line breaks of the source.
fn one_line(text: &Value) -> Value {
    let text = text.as_str().unwrap_or_default();
    text.replace('\n', " ").into()
}
