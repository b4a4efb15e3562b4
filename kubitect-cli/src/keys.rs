//! Checks the key files that a configuration names, before anything is created with them.

use std::path::Path;

use kubitect_config::{KeyFinding, KeyUse, Severity};
use kubitect_provision::ssh::private_key;

use crate::environment::expand;

/// What is wrong with a key on the machine that applies the file: a missing one is an error.
pub fn needed(kind: KeyUse, path: &str) -> Option<KeyFinding> {
    check(kind, path, true)
}

/// What is wrong with a key, if this machine has it: files are validated on other machines, too.
pub fn if_present(kind: KeyUse, path: &str) -> Option<KeyFinding> {
    check(kind, path, false)
}

fn check(kind: KeyUse, written: &str, needed: bool) -> Option<KeyFinding> {
    let path = expand(Path::new(written)).ok()?;
    if !needed && !path.exists() {
        return None;
    }
    let fault = private_key::fault(&path)?;
    // With an agent a passphrase is only a warning, but only for a host's key: `ssh` asks the agent for it. The keys of machines
    // are read from their files.
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
