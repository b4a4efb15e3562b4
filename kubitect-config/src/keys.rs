//! [`KeyJudge`]: the check of the key files that a configuration names. The caller provides it, as validation reads no files.

use crate::problem::Severity;

/// The use of a key file that a configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// To log in on the machines.
    Machines,
    /// To log in on a host.
    Host,
}

/// A problem of a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFinding {
    /// Whether it is an error or a warning.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Checks a key file, by its path as the configuration has it; none: nothing is wrong with it.
pub type KeyJudge<'a> = &'a dyn Fn(KeyUse, &str) -> Option<KeyFinding>;
