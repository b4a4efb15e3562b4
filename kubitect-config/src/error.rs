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
