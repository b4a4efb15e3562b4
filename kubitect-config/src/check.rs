//! [`Check`]: the result of one check of this machine or a host (`doctor`), with what to do.

use std::fmt;

use serde::Serialize;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is wrong.
    Good,
    /// It could be better, but nothing fails because of it.
    Note,
    /// Something fails because of it.
    Wrong,
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, as `KVM`.
    pub what: String,
    /// Whether nothing fails because of it: true for [`State::Good`] and [`State::Note`].
    pub good: bool,
    /// The result.
    pub state: State,
    /// What was found.
    pub found: String,
    /// The command that repairs it, or what to do; empty if nothing is wrong.
    pub cure: String,
}

/// For a person: a line with what was found, and below it what to do.
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
    /// A check with nothing wrong.
    pub fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            good: true,
            state: State::Good,
            found: found.into(),
            cure: String::new(),
        }
    }

    /// A check whose result could be better, but makes nothing fail.
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

    /// A check whose result makes something fail.
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
