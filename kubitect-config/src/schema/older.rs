//! The older keys in the schema: an editor marks them with the key that replaces them, and does not suggest them.

use serde_json::{Map, Value, json};

use crate::older::{ADDONS_FILE, MOVED, ROLE_LABEL};

/// Adds all older keys to the schema of a cluster file; the site file has none.
pub(super) fn add(whole: &mut Map<String, Value>) {
    let moved = MOVED
        .iter()
        .map(|(from, to)| (*from, format!("`{from}` is called `{to}` now")));
    let others = [
        (
            ADDONS_FILE,
            "the file of addons is not read: its variables stand under `addons.kubespray`",
        ),
        (
            ROLE_LABEL,
            "`label` is called `labels` now, and names the whole label",
        ),
    ];
    let others = others.map(|(from, why)| (from, why.to_owned()));
    for (from, why) in moved.chain(others) {
        let Some((parent, key)) = from.rsplit_once('.') else {
            continue;
        };
        if let Some(properties) = properties(whole, parent) {
            properties.insert(key.to_owned(), older(key, &why));
        }
    }
}

fn older(key: &str, why: &str) -> Value {
    json!({
        "title": format!("{key} (older key)"),
        "description": why,
        "markdownDescription": why,
        "deprecated": true,
        "doNotSuggest": true,
        "deprecationMessage": why,
    })
}

/// The keys of the mapping at a path, if it has any.
fn properties<'a>(
    whole: &'a mut Map<String, Value>,
    path: &str,
) -> Option<&'a mut Map<String, Value>> {
    let mut properties = whole.get_mut("properties")?.as_object_mut()?;
    for key in path.split('.') {
        let own = properties.get_mut(key)?.get_mut("properties")?;
        properties = own.as_object_mut()?;
    }
    Some(properties)
}
