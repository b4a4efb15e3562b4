//! The JSON Schemas: checked in, and true of the fixtures.

use serde_json::Value;

use crate::{assert_fresh, stem, yaml_files};

fn pretty(schema: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(schema).expect("JSON"))
}

#[test]
fn the_schemas_that_are_checked_in_are_fresh() {
    assert_fresh("docs/schema.json", &pretty(&kubitect_config::schema()));
    assert_fresh(
        "docs/schema-draft-07.json",
        &pretty(&kubitect_config::schema_draft_07()),
    );
    assert_fresh(
        "docs/site-schema.json",
        &pretty(&kubitect_config::site_schema()),
    );
}

/// As an editor sees the file, without the keys that have no value: `validate` takes them as left out, and an editor marks them.
fn json(text: &str) -> Option<Value> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    value.apply_merge().ok()?;
    let mut value = serde_json::to_value(value).ok()?;
    without_empty(&mut value);
    Some(value)
}

fn without_empty(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_empty),
        Value::Object(keys) => {
            // The name of a label alone is the whole label.
            keys.retain(|key, value| !value.is_null() || key.contains('/'));
            keys.values_mut().for_each(without_empty);
        }
        _ => {}
    }
}

#[test]
fn every_valid_fixture_passes_the_schema_and_its_older_twin() {
    let twins = [
        kubitect_config::schema(),
        kubitect_config::schema_draft_07(),
    ];
    for twin in twins {
        let schema = jsonschema::validator_for(&twin).unwrap();
        for folder in ["tests/fixtures/valid", "examples"] {
            for path in yaml_files(folder) {
                let text = std::fs::read_to_string(&path).unwrap();
                let value = json(&text).expect("YAML");
                let errors: Vec<String> = schema
                    .iter_errors(&value)
                    .map(|error| format!("{}: {error}", error.instance_path))
                    .collect();
                assert_eq!(errors, [""; 0], "{}", path.display());
            }
        }
    }
}

#[test]
fn each_schema_has_an_address_of_its_own_and_the_twin_uses_no_newer_words() {
    let newer = kubitect_config::schema();
    let older = kubitect_config::schema_draft_07();
    let site = kubitect_config::site_schema();
    let ids: std::collections::BTreeSet<_> = [&newer, &older, &site]
        .map(|s| s["$id"].as_str().unwrap())
        .into();
    assert_eq!(ids.len(), 3);
    assert_eq!(older["$schema"], "http://json-schema.org/draft-07/schema#");
    let text = older.to_string();
    for word in [
        "$defs",
        "prefixItems",
        "dependentRequired",
        "unevaluatedProperties",
    ] {
        assert!(!text.contains(&format!("\"{word}\"")), "{word}");
    }
    // But for their names they are the same.
    let own = |schema: &Value| {
        let mut keys = schema.as_object().unwrap().clone();
        keys.retain(|key, _| !["$schema", "$id"].contains(&key.as_str()));
        keys
    };
    assert_eq!(own(&older), own(&newer));
}

/// Fixtures whose fault a schema can see.
const STRUCTURAL: [&str; 26] = [
    "yaml-list",
    "yaml-text",
    "unknown-key",
    "wrong-type",
    "out-of-range",
    "not-allowed",
    "missing",
    "missing-all",
    "many",
    "hosts-missing",
    "hosts-empty",
    "host-name",
    "name",
    "name-hyphen",
    "address",
    "user",
    "interface",
    "interface-injection",
    "user-injection",
    "id",
    "id-negative",
    "mac",
    "taints",
    "version",
    "version-injection",
    "vip-text",
];

#[test]
fn structural_faults_fail_the_schema() {
    let schema = jsonschema::validator_for(&kubitect_config::schema()).unwrap();
    let mut seen = 0;
    for path in yaml_files("tests/fixtures/invalid") {
        if STRUCTURAL.contains(&stem(&path)) {
            let value = json(&std::fs::read_to_string(&path).unwrap()).expect("YAML");
            assert!(!schema.is_valid(&value), "{} passes", stem(&path));
            seen += 1;
        }
    }
    assert_eq!(seen, STRUCTURAL.len());
}

#[test]
fn the_site_schema_knows_its_keys() {
    let schema = jsonschema::validator_for(&kubitect_config::site_schema()).unwrap();
    let good =
        json("{virtType: qemu, images: {ubuntu: {source: /x}}, pip: {findLinks: /w}}").unwrap();
    assert!(schema.is_valid(&good));
    assert!(!schema.is_valid(&json("{virtTyp: qemu}").unwrap()));
    assert!(!schema.is_valid(&json("{images: {ubuntu: {}}}").unwrap()));
}

/// All that an editor shows of a key is there, and nothing that it trips over.
#[test]
fn every_key_has_its_title_its_words_its_default_and_examples() {
    for schema in [kubitect_config::schema(), kubitect_config::site_schema()] {
        let text = schema.to_string();
        for word in ["$ref", "anyOf", "oneOf", "format"] {
            assert!(!text.contains(&format!("\"{word}\":")), "{word}");
        }
        let mut seen = 0;
        keys(&schema, "", &mut |path, key| {
            seen += 1;
            whole(path, key);
        });
        assert!(seen > 15, "{seen}");
    }
}

/// Calls for each key of a schema, with its path.
fn keys(schema: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        each(&path, property);
        keys(property, &path, each);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part]["properties"].is_object() {
            assert!(schema[part]["title"].is_string(), "an item of {path}");
            keys(&schema[part], &format!("{path}[]"), each);
        }
    }
}

fn whole(path: &str, key: &Value) {
    assert!(
        key["title"].as_str().is_some_and(|t| !t.is_empty()),
        "{path} has no title"
    );
    let shown = key["markdownDescription"].as_str().unwrap_or_default();
    let described = key["description"].as_str().unwrap_or_default();
    assert!(
        !described.is_empty() && shown.contains(described),
        "{path} is not described"
    );
    if key["deprecated"] == true {
        assert!(
            key["deprecationMessage"].is_string() && key["doNotSuggest"] == true,
            "{path}"
        );
        return;
    }
    assert!(
        shown.contains("Type: "),
        "{path} has no type in its description"
    );
    if let Some(default) = key.get("default") {
        let default = default.as_str().map_or(default.to_string(), str::to_owned);
        assert!(
            shown.contains(&format!("Default: `{default}`")),
            "{path} does not show its default"
        );
    }
    assert!(
        key["type"].is_string() || key["type"].is_array(),
        "{path} has no type"
    );
    if let Some(words) = key["enum"].as_array() {
        assert_eq!(
            words.len(),
            key["markdownEnumDescriptions"].as_array().unwrap().len(),
            "{path}"
        );
    } else if key["type"] != "boolean" {
        let examples = key["examples"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        assert!(
            examples || shown.contains("```yaml"),
            "{path} has no example"
        );
    }
    for pattern in [key, &key["items"]] {
        let both = pattern["pattern"].is_string() == pattern["patternErrorMessage"].is_string();
        assert!(both, "{path}: a pattern is not said in words");
    }
    if key["properties"].is_object() {
        assert_eq!(key["additionalProperties"], false, "{path}");
    }
}

/// What is offered is possible.
#[test]
fn every_default_and_example_fits_its_key() {
    for schema in [kubitect_config::schema(), kubitect_config::site_schema()] {
        keys(&schema, "", &mut |path, key| {
            let judge = jsonschema::validator_for(key).unwrap();
            let examples = key["examples"].as_array().into_iter().flatten();
            for value in examples.chain(key.get("default")) {
                assert!(judge.is_valid(value), "{path}: {value}");
            }
            let shown = key["markdownDescription"].as_str().unwrap_or_default();
            if let Some((_, example)) = shown.split_once("```yaml\n") {
                let value = json(example.trim_end_matches('`')).expect(path);
                let errors: Vec<_> = judge.iter_errors(&value).map(|e| e.to_string()).collect();
                assert_eq!(errors, [""; 0], "{path}");
            }
        });
    }
}
