//! `docs/configuration.md`: its tables of keys are made from the schema.

use std::fmt::Write;

use serde_json::Value;

use crate::{assert_fresh, repository};

/// One key a row: name, type, default, meaning.
fn rows(root: &Value, object: &Value, prefix: &str, out: &mut String) {
    for (key, property) in object["properties"].as_object().into_iter().flatten() {
        // Keys of older files have a section of their own.
        if property["title"]
            .as_str()
            .is_some_and(|t| t.ends_with("(older key)"))
        {
            continue;
        }
        let target = resolve(root, property);
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        let items = resolve(root, &target["items"]);
        let values = resolve(root, &target["additionalProperties"]);
        let required = object["required"]
            .as_array()
            .is_some_and(|keys| keys.contains(&Value::from(key.as_str())));
        let default = match (&property["default"], required) {
            (Value::Null, true) => "*required*".to_owned(),
            (Value::Null, false) => String::new(),
            (value, _) => format!(
                "`{}`",
                value.as_str().map_or(value.to_string(), str::to_owned)
            ),
        };
        let description = property["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        writeln!(
            out,
            "| `{path}` | {} | {default} | {description} |",
            kind(root, target)
        )
        .expect("a String takes all");
        if items["properties"].is_object() {
            rows(root, items, &format!("{path}[]"), out);
        } else if values["properties"].is_object() {
            rows(root, values, &format!("{path}.NAME"), out);
        } else {
            rows(root, target, &path, out);
        }
    }
}

/// Follows references and optional values.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(pointer) = schema["$ref"].as_str() {
        return resolve(
            root,
            root.pointer(pointer.trim_start_matches('#'))
                .expect(pointer),
        );
    }
    match schema["anyOf"].as_array() {
        Some(choice) => resolve(
            root,
            choice
                .iter()
                .find(|one| one["type"] != "null")
                .expect("a type"),
        ),
        None => schema,
    }
}

fn kind(root: &Value, schema: &Value) -> String {
    let words: Vec<String> = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(
            schema["oneOf"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| &one["const"]),
        )
        .filter_map(|word| Some(format!("`{}`", word.as_str()?)))
        .collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .collect(),
        _ => vec![],
    };
    let names: Vec<String> = types
        .iter()
        .map(|kind| match *kind {
            "object" => "mapping".to_owned(),
            "array" => format!(
                "list of {}",
                plural(&self::kind(root, resolve(root, &schema["items"])))
            ),
            "string" => "text".to_owned(),
            "boolean" => "true or false".to_owned(),
            "integer" => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                (Some(low), Some(high)) => format!("number, {low} to {high}"),
                _ => "number".to_owned(),
            },
            other => other.to_owned(),
        })
        .collect();
    names.join(" or ")
}

fn plural(kind: &str) -> &str {
    match kind {
        "mapping" => "mappings",
        "text" => "texts",
        other => other,
    }
}

/// The page with its tables made anew: what stands between `<!-- keys NAME -->` and `<!-- end -->`.
fn page(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(index) = rest.find("<!-- keys ") {
        let (before, after) = rest.split_at(index);
        let name = after["<!-- keys ".len()..]
            .split(" -->")
            .next()
            .expect("a name");
        let end = after.find("<!-- end -->").expect("an end");
        let (root, key) = match name.strip_prefix("site") {
            Some(_) => (kubitect_config::site_schema(), ""),
            None => (kubitect_config::schema(), name),
        };
        let mut table = String::new();
        if key.is_empty() {
            rows(&root, &root, "", &mut table);
        } else {
            let property = &root["properties"][key];
            let target = resolve(&root, property);
            let items = resolve(&root, &target["items"]);
            let (object, prefix) = match items["properties"].is_object() {
                true => (items, format!("{key}[]")),
                false => (target, key.to_owned()),
            };
            rows(&root, object, &prefix, &mut table);
        }
        assert!(!table.is_empty(), "no keys in {name}");
        write!(result, "{before}<!-- keys {name} -->\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n{table}")
        .expect("a String takes all");
        rest = &after[end..];
    }
    result + rest
}

#[test]
fn the_tables_of_keys_are_fresh_and_whole() {
    let text = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    assert_fresh("docs/configuration.md", &page(&text));
    for key in kubitect_config::schema()["properties"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            text.contains(&format!("<!-- keys {key} -->")),
            "{key} has no table"
        );
    }
    assert!(text.contains("<!-- keys site -->"));
}

/// The examples on the page are valid.
#[test]
fn the_examples_on_the_page_are_valid() {
    let text = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let mut seen = 0;
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let site = block.starts_with("# site.yaml");
        let problems = match site {
            true => kubitect_config::Site::parse(block, "page").map(|_| Vec::new()),
            false => kubitect_config::parse(block, "page", &Default::default())
                .map(|parsed| parsed.warnings),
        };
        match problems {
            Ok(problems) => assert_eq!(problems, []),
            Err(error) => panic!("{:?} in\n{block}", error.problems()),
        }
        seen += 1;
    }
    assert!(seen >= 2);
}
