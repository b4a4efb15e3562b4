//! Which of Kubespray's variables hold a secret: by their names, or as URLs with a password.

use crate::address;
use crate::yaml::{Mapping, Value};

/// Words in the names of variables that hold a secret.
const SECRETS: [&str; 7] = [
    "private",
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "auth",
];

/// Whether one of these variables holds a secret, at any depth.
pub fn hold_secret(variables: &Mapping) -> bool {
    let mut entries = variables.iter();
    entries.any(|(key, value)| key.as_str().is_some_and(is_secret) || holds_secret(value))
}

pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|word| name.contains(word))
}

pub(crate) fn holds_secret(value: &Value) -> bool {
    match value {
        Value::Mapping(entries) => hold_secret(entries),
        Value::Sequence(items) => items.iter().any(holds_secret),
        Value::Tagged(tagged) => holds_secret(&tagged.value),
        Value::String(text) => address::holds_secret(text),
        _ => false,
    }
}
