//! `docs/configuration.md`: its tables of keys are made from the schema. The files on all pages are valid.

use std::collections::BTreeSet;
use std::fmt::Write;

use kubitect_config::Problem;
use serde_json::Value;
use tests::pages::{self, File};

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

/// The page with its tables of today: what stands between `<!-- keys NAME -->` and `<!-- end -->`.
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

/// The files on all pages are valid, and so are parts of files over a small cluster's: without a warning but those that stand
/// before them.
#[test]
fn the_files_on_the_pages_are_valid() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for page in pages::all() {
        for block in page.blocks() {
            let Some(file) = block.file() else { continue };
            let parsed = match file {
                File::Site => kubitect_config::Site::parse(&block.text, "page").map(|_| Vec::new()),
                File::Whole => warned(&block.text),
                File::Part => warned(&pages::laid_over(pages::SMALL, &block.text)),
            };
            let place = format!("{}:{}", page.path, block.line);
            match parsed {
                Ok(warnings) => {
                    let codes: BTreeSet<_> = warnings.iter().map(|one| one.code).collect();
                    let said = block.warned.iter().map(String::as_str).collect();
                    if codes != said {
                        faults.push(format!("{place}: {warnings:#?}"));
                    }
                }
                Err(error) => faults.push(format!("{place}: {:#?}", error.problems())),
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} files were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn warned(text: &str) -> Result<Vec<Problem>, kubitect_config::Error> {
    kubitect_config::parse(text, "page", &Default::default()).map(|parsed| parsed.warnings)
}
