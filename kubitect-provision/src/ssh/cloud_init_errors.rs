//! The errors of cloud-init, read from its `result.json` and `status.json`.

use kubitect_config::text;
use serde_json::Value;

/// The most errors that are shown.
const ERRORS_MAX: usize = 20;

/// The errors in `result.json`, and the recoverable ones, which new versions of cloud-init write into `status.json` instead.
pub(super) fn cloud_init_errors(result: &[u8], status: &[u8]) -> Vec<String> {
    let parse = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap_or(Value::Null);
    let (result, status) = (parse(result), parse(status));
    let mut errors = Vec::new();
    let mut add = |list: &Value| {
        for item in list.as_array().into_iter().flatten() {
            let text = item
                .as_str()
                .map_or_else(|| text::line(&item.to_string()), text::line);
            if errors.len() < ERRORS_MAX && !errors.contains(&text) {
                errors.push(text);
            }
        }
    };
    if result["v1"]["errors"].is_array() {
        add(&result["v1"]["errors"]);
    } else {
        add(&Value::from(vec!["its result.json is not understood"]));
    }
    for stage in status["v1"]
        .as_object()
        .into_iter()
        .flat_map(|stages| stages.values())
    {
        for list in stage["recoverable_errors"]
            .as_object()
            .into_iter()
            .flat_map(|kinds| kinds.values())
        {
            add(list);
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_old_and_new_versions_are_found() {
        let result =
            br#"{"v1": {"datasource": "DataSourceNoCloud", "errors": ["('package-update', 1)"]}}"#;
        // cloud-init 22.4 has no recoverable errors.
        let old = br#"{"v1": {"datasource": "x", "init": {"errors": [], "finished": 1.5}, "stage": null}}"#;
        assert_eq!(cloud_init_errors(result, old), ["('package-update', 1)"]);
        let new = br#"{"v1": {"modules-final": {"errors": [],
            "recoverable_errors": {"WARNING": ["no mirror", "no mirror"], "ERROR": ["no package"]}}}}"#;
        let found = cloud_init_errors(br#"{"v1": {"errors": []}}"#, new);
        assert_eq!(found, ["no mirror", "no package"]);
        let many: Vec<_> = (0..1000).map(|n| format!("\u{1b}[2J{n}\nforged")).collect();
        let many = serde_json::json!({"v1": {"errors": many}}).to_string();
        let found = cloud_init_errors(many.as_bytes(), b"");
        assert_eq!(found.len(), ERRORS_MAX);
        assert_eq!(found[0], "\\u{1b}[2J0\\nforged");
    }

    #[test]
    fn a_clean_end_has_no_complaints_and_nonsense_is_one() {
        assert!(cloud_init_errors(br#"{"v1": {"errors": []}}"#, b"").is_empty());
        assert_eq!(
            cloud_init_errors(b"", b""),
            ["its result.json is not understood"]
        );
    }
}
