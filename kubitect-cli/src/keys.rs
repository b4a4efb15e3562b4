//! The keys that a configuration names: looked at before anything is made with them.

use std::path::Path;

use kubitect_config::{KeyFinding, KeyUse, Severity};
use kubitect_provision::ssh::private_key;

use crate::environment::expand;

/// What is wrong with a key on the machine that makes the cluster: there it has to be.
pub fn needed(kind: KeyUse, path: &str) -> Option<KeyFinding> {
    judged(kind, path, true)
}

/// What is wrong with a key where it is; files are validated on other machines, too.
pub fn there(kind: KeyUse, path: &str) -> Option<KeyFinding> {
    judged(kind, path, false)
}

fn judged(kind: KeyUse, written: &str, needed: bool) -> Option<KeyFinding> {
    let path = expand(Path::new(written)).ok()?;
    if !needed && !path.exists() {
        return None;
    }
    let fault = private_key::fault(&path)?;
    // `ssh` asks an agent for the keys of hosts; on the machines, nobody does.
    let agent = kind == KeyUse::Host && std::env::var_os("SSH_AUTH_SOCK").is_some();
    let severity = match fault.passphrase && agent {
        true => Severity::Warning,
        false => Severity::Error,
    };
    let (message, help) = match severity {
        Severity::Error => (format!("the key can't be used: {}", fault.what), fault.help),
        Severity::Warning => (
            "the key has a passphrase, so it works while an agent holds it".to_owned(),
            format!(
                "`ssh-add {written}` gives it to the agent; or {}",
                fault.help
            ),
        ),
    };
    Some(KeyFinding {
        severity,
        message,
        help,
    })
}
