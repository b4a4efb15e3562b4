//! [`KeyJudge`]: whoever looks at the key files that a configuration names.

use crate::problem::Severity;

/// What a key file that a configuration names is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// To log in on the machines.
    Machines,
    /// To log in on a host.
    Host,
}

/// What is wrong with a key file, or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFinding {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Whoever looks at the key files that a configuration names, as it names them: this crate does not.
pub type KeyJudge<'a> = &'a dyn Fn(KeyUse, &str) -> Option<KeyFinding>;
