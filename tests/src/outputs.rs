//! Checks JSON outputs against their schemas in `docs/output`.

use std::path::PathBuf;

use serde_json::Value;

/// Where the schemas are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/output")
}

/// A schema that allows no field that it does not describe: a new field has to be documented.
fn strict(name: &str) -> Value {
    fn tighten(schema: &mut Value) {
        match schema {
            Value::Object(keys) => {
                if keys.contains_key("properties") && !keys.contains_key("additionalProperties") {
                    keys.insert("additionalProperties".to_owned(), false.into());
                }
                keys.values_mut().for_each(tighten);
            }
            Value::Array(items) => items.iter_mut().for_each(tighten),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let mut schema = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    tighten(&mut schema);
    schema
}

/// Fails unless a text is valid by this schema.
#[track_caller]
pub fn judge_as(name: &str, stdout: &str) {
    let validator = jsonschema::validator_for(&strict(name)).unwrap();
    let documents: Vec<&str> = match name {
        "events" => stdout.lines().collect(),
        _ => Some(stdout)
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect(),
    };
    for text in documents {
        let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert_eq!(errors, [""; 0], "{name}: {text}");
    }
}
