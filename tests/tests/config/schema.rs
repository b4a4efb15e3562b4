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
        "docs/site-schema.json",
        &pretty(&kubitect_config::site_schema()),
    );
}

/// As an editor sees the file.
fn json(text: &str) -> Option<Value> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
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
    assert_eq!(
        older["definitions"].as_object().unwrap().len(),
        newer["$defs"].as_object().unwrap().len()
    );
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

/// Every key says what it means, so that editors can.
#[test]
fn every_property_is_described() {
    for schema in [kubitect_config::schema(), kubitect_config::site_schema()] {
        let definitions = schema["$defs"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, definition)| definition);
        for object in definitions.chain([&schema]) {
            for (key, property) in object["properties"].as_object().into_iter().flatten() {
                assert!(
                    property["description"].is_string(),
                    "{key} has no description"
                );
            }
            if object["properties"].is_object() {
                assert_eq!(
                    object["additionalProperties"], false,
                    "{}",
                    object["description"]
                );
            }
        }
    }
}
