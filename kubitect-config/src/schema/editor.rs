//! The schema as editors want it: each reference resolved, so that a key's own words stand beside its type, and its title, its
//! default, examples, patterns in words and snippets with it.
//!
//! What language servers do with a schema decides its form. A reference loses what stands beside it in draft 07; a branch of
//! `anyOf` speaks over the key's own description; an enumeration of constants has no words on hover; defaults are not shown at
//! all. So there is no reference and no `anyOf` here, and the default stands in the description.

use serde_json::{Map, Value, json};

use super::words::{self, Words};
use super::{choices, older};

/// The schema that [`schemars`] made, as editors want it.
pub(super) fn editor(raw: &Value, root: &str) -> Map<String, Value> {
    let editor = Editor { raw };
    let mut whole = editor.object(raw, root);
    if let Some(words) = words::of(root, words::ITSELF) {
        describe(&mut whole, words);
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
            let one = choice.iter().find(|one| one["type"] != "null");
            return beside(self.whole(one.unwrap_or(&Value::Null)), schema);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (name, definition) = self.definition(reference);
            return beside(self.named(name, definition), schema);
        }
        self.named("", schema)
    }

    /// A type of the raw configuration.
    fn named(&self, name: &str, schema: &'a Value) -> Map<String, Value> {
        if schema["oneOf"].is_array() {
            return enumeration(schema);
        }
        let mut whole = self.object(schema, name);
        if let Some(words) = words::of(name, words::ITSELF) {
            describe(&mut whole, words);
        }
        whole
    }

    /// The same with its keys, items and values whole.
    fn object(&self, schema: &'a Value, name: &str) -> Map<String, Value> {
        let mut whole = Map::new();
        for (key, value) in schema.as_object().into_iter().flatten() {
            let value = match key.as_str() {
                // Kinds of numbers, which no editor has a use for.
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
                .is_some_and(|all| all.iter().any(|one| one == key))
        };
        let mut whole = Map::new();
        for (key, property) in properties.as_object().into_iter().flatten() {
            let mut own = self.whole(property);
            if let Some(words) = words::of(name, key) {
                choices::add(&mut own, name, key, words);
                describe(&mut own, words);
                let text = markdown(&own, words, is_required(key));
                own.insert("markdownDescription".to_owned(), text.into());
            }
            whole.insert(key.clone(), Value::Object(own));
        }
        Value::Object(whole)
    }
}

/// A definition with the words that stand beside the reference to it.
fn beside(mut whole: Map<String, Value>, reference: &Value) -> Map<String, Value> {
    if let Some(text) = reference.get("description") {
        whole.insert("description".to_owned(), one_line(text));
    }
    match reference.get("default") {
        Some(Value::Null) | None => {}
        Some(default) => drop(whole.insert("default".to_owned(), default.clone())),
    }
    whole
}

/// A list of words with what each means, from constants with descriptions.
fn enumeration(schema: &Value) -> Map<String, Value> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for one in schema["oneOf"].as_array().into_iter().flatten() {
        let about = one["description"].as_str().unwrap_or_default();
        let several = one["enum"].as_array().into_iter().flatten();
        for word in several.chain(one.get("const")).filter_map(Value::as_str) {
            pairs.push((word.to_owned(), about.replace('\n', " ")));
        }
    }
    let mut whole = choices::enumeration(&pairs);
    whole.insert("description".to_owned(), one_line(&schema["description"]));
    whole
}

/// Title, examples, pattern and snippets.
fn describe(schema: &mut Map<String, Value>, words: &Words) {
    let mut put = |key: &str, value: Value| drop(schema.insert(key.to_owned(), value));
    put("title", words.title.clone().into());
    if !words.examples.is_empty() {
        put("examples", words.examples.clone().into());
    }
    if let Some(pattern) = &words.pattern {
        put("pattern", pattern.clone().into());
    }
    if let Some(reason) = &words.hidden {
        put("deprecated", true.into());
        put("doNotSuggest", true.into());
        put("deprecationMessage", reason.clone().into());
    }
    if !words.snippets.is_empty() {
        let snippets = words.snippets.iter().map(|snippet| {
            json!({"label": snippet.label, "description": snippet.description, "body": words::settled(&snippet.body)})
        });
        put("defaultSnippets", snippets.collect());
    }
    message(schema, words.message.as_deref());
    if let Some(items) = schema.get_mut("items").and_then(Value::as_object_mut) {
        message(items, None);
    }
}

/// What a pattern means, in the words of `validate`.
fn message(schema: &mut Map<String, Value>, own: Option<&str>) {
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let message = own.or_else(|| words::meaning(pattern?));
    if let Some(message) = message {
        let message = message.to_owned();
        schema.insert("patternErrorMessage".to_owned(), message.into());
    }
}

/// The description with the type and the default, which editors don't show.
fn markdown(schema: &Map<String, Value>, words: &Words, required: bool) -> String {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = words::kind(schema);
    let mut markdown = format!("{}\n\nType: {kind}.", text("description"));
    if required {
        markdown += " Required.";
    }
    if let Some(default) = schema.get("default") {
        let default = default.as_str().map_or(default.to_string(), str::to_owned);
        markdown += &format!(" Default: `{default}`.");
    }
    if let Some(example) = &words.example {
        let example = words::newest(example);
        markdown += &format!("\n\n```yaml\n{example}```");
    }
    markdown
}

/// Whether a default says no more than that nothing is there.
fn is_nothing(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// One type, where null is the only other: what a key without a value means, which an editor should mark as unfinished.
fn without_null(types: &Value) -> Value {
    match types.as_array().map(Vec::as_slice) {
        Some([one, null]) if null == "null" => one.clone(),
        _ => types.clone(),
    }
}

/// A doc comment is wrapped where the source's lines end.
fn one_line(text: &Value) -> Value {
    let text = text.as_str().unwrap_or_default();
    text.replace('\n', " ").into()
}
