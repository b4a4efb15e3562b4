//! [`Error`]: why a file gives no cluster.

use std::io;

use crate::problem::Problem;

/// Why a file gives no cluster; fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("read {file}")]
    Read {
        /// The file, as the caller named it.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is not valid.
    #[error("use {file}: {}", count(problems))]
    Invalid {
        /// The file, as the caller named it.
        file: String,
        /// Its text, for excerpts; empty where it is not text at all.
        text: String,
        /// All errors and warnings, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Error {
    /// What is to be mended in the file, in its order.
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

/// An error with all its causes, in one line of text each separated by a colon: what a person needs to find the reason.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The kinds of failures: what a program goes by that tries again, asks a person, or gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Kind {
    /// The configuration, or its use, is not valid.
    Invalid,
    /// The file asks for what can't be done.
    Refused,
    /// A plan that was saved is not what would be done now.
    Stale,
    /// It is left open what is meant.
    Usage,
    /// Something on the hosts stands in the way.
    Unfit,
    /// Another run is at work.
    Busy,
    /// The person said no.
    Declined,
    /// The run was asked to stop.
    Interrupted,
    /// A host can't be reached. It may be later.
    HostAway,
    /// Something did not happen in its time. The same again goes on from there.
    TimedOut,
    /// A machine, a file or a repository is not what it should be: a person has to look before anything is tried again.
    Untrusted,
    /// A playbook of Kubespray's failed. The same again goes on from there.
    Playbook,
    /// Anything else.
    Other,
}
