//! [`Problem`]: one thing in a configuration file that a person should mend.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing that is wrong, or doubtful, in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line of the value, from 1.
    pub line: usize,
    /// Column of the value in characters, from 1.
    pub column: usize,
    /// Where it stands, as `cluster.nodes.worker.instances[1].ip`; empty for the whole file.
    pub path: String,
    /// Whether it keeps the file from being used.
    pub severity: Severity,
    /// Names the rule, as `address-duplicate`; stable.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The bytes of the file's text to mark in an excerpt, all on one line; may be empty.
    #[serde(skip)]
    pub span: Range<usize>,
}

impl Problem {
    /// Whether it keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether a problem keeps a file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{}:{}:{}: {severity}[{}]: ",
            self.file, self.line, self.column, self.code
        )?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} (help: {})", self.message, self.help)
    }
}
