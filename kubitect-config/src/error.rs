//! [`Error`]: why a file can't be used as a configuration.

use std::io;

use crate::problem::Problem;

/// Why a file can't be used as a configuration; fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("read {file}")]
    Read {
        /// The file, as the caller named it.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file was read and is not valid.
    #[error("use {file}: {}", count(problems))]
    Invalid {
        /// The file, as the caller named it.
        file: String,
        /// Its text, for excerpts; empty if it is not text.
        text: String,
        /// All errors and warnings, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Error {
    /// The problems of the file, in its order.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }
}

fn count(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|p| p.is_error()).count();
    match errors {
        1 => "it has 1 error".to_owned(),
        _ => format!("it has {errors} errors"),
    }
}

/// An error with all its causes, separated by colons: a person needs all of them to find the reason.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The kinds of failures. By these, a program decides whether to try again, to ask a person, or to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Kind {
    /// The configuration, or its use, is not valid.
    Invalid,
    /// The file asks for something that is not possible.
    Refused,
    /// A saved plan differs from the current one.
    Stale,
    /// The command is ambiguous or incomplete.
    Usage,
    /// The state of a host prevents the run.
    Unfit,
    /// Another run is active.
    Busy,
    /// The person declined.
    Declined,
    /// The run was asked to stop.
    Interrupted,
    /// A host can't be reached. It may be later.
    HostAway,
    /// A deadline has passed. The same command continues from there.
    TimedOut,
    /// A machine, a file or a repository is not the expected one: a person has to check it before the command is repeated.
    Untrusted,
    /// A playbook of Kubespray's failed. The same command continues from there.
    Playbook,
    /// Anything else.
    Other,
}
