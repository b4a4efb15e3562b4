//! [`Check`]: one thing that was looked at on a machine, and what mends it.

use std::fmt;

use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// Not as it could be; nothing fails by it.
    Note,
    /// Something fails by it.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, as `KVM`.
    pub what: String,
    /// Whether nothing fails by it.
    pub good: bool,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// The command that mends it, or what to do; empty where nothing is wrong.
    pub cure: String,
}

/// As a person reads it: what was found, and below it what mends it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Good => ' ',
            State::Note => '-',
            State::Wrong => '!',
        };
        writeln!(f, "{mark} {:10} {}", self.what, self.found)?;
        match self.cure.as_str() {
            "" => Ok(()),
            cure => writeln!(f, "  {:10} {cure}", ""),
        }
    }
}

impl Check {
    /// Something that is as it should be.
    pub fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            good: true,
            state: State::Good,
            found: found.into(),
            cure: String::new(),
        }
    }

    /// Something by which nothing fails, and that could be better.
    pub fn note(
        what: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Note,
            cure: cure.into(),
            ..Self::good(what, found)
        }
    }

    /// Something by which work fails.
    pub fn wrong(
        what: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            good: false,
            state: State::Wrong,
            cure: cure.into(),
            ..Self::good(what, found)
        }
    }
}
