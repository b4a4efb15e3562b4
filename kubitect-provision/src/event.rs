//! [`Event`]: what provisioning reports while it works.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, headline};

/// One thing that happened. Events of steps are never lost; progress events may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A plan is about to be carried out, with this number of steps.
    Planned {
        /// How many.
        total: usize,
    },
    /// A step begins.
    Started {
        /// What is done, as "create domain demo-master-1 on localhost".
        what: String,
    },
    /// A step makes progress.
    Progress {
        /// The step, as in [`Event::Started`].
        what: String,
        /// How much is done, in bytes or in things.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
    },
    /// A step waits.
    Waiting {
        /// The step, as in [`Event::Started`].
        what: String,
        /// What it waits for, or why.
        why: String,
    },
    /// A step ended well.
    Finished {
        /// The step, as in [`Event::Started`].
        what: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// A step failed; the error that is returned says why.
    Failed {
        /// The step, as in [`Event::Started`].
        what: String,
        /// The error in one line.
        error: String,
    },
}

/// How a step without a failure ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// As planned.
    Done,
    /// There was nothing to do, because of this.
    Skipped(String),
    /// It is usable, but a person should know this.
    Warned(String),
}

impl Event {
    /// The event for the end of a step with this result.
    pub(crate) fn ended<T>(what: String, result: &Result<T, Error>) -> Self {
        match result {
            Ok(_) => Self::Finished {
                what,
                outcome: Outcome::Done,
            },
            Err(error) => Self::Failed {
                what,
                error: headline(error),
            },
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned { total: 1 } => f.write_str("1 step"),
            Self::Planned { total } => write!(f, "{total} steps"),
            Self::Started { what } => write!(f, "{what} …"),
            Self::Progress {
                what,
                done,
                total: Some(total),
            } if *total > 0 => write!(f, "{what}: {} %", done.saturating_mul(100) / total),
            Self::Progress { what, done, .. } => write!(f, "{what}: {done}"),
            Self::Waiting { what, why } => write!(f, "{what}: {why}"),
            Self::Finished { what, outcome } => match outcome {
                Outcome::Done => write!(f, "{what}: done"),
                Outcome::Skipped(why) => write!(f, "{what}: nothing to do, {why}"),
                Outcome::Warned(why) => write!(f, "{what}: done, but {why}"),
            },
            Self::Failed { what, error } => write!(f, "{what}: failed: {error}"),
        }
    }
}
