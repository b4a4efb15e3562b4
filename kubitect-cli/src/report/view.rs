//! [`View`]: how much of a run is shown, and in which form; set once, by the command line.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

/// How much is shown, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Errors, warnings and the end only.
    pub quiet: bool,
    /// Every step and every task.
    pub verbose: bool,
    /// Events for programs, one a line, on stdout, and nothing else.
    pub json: bool,
    /// Every call and command, on stderr.
    pub debug: bool,
}

static VIEW: Mutex<View> = Mutex::new(View {
    quiet: false,
    verbose: false,
    json: false,
    debug: false,
});

impl View {
    /// Puts it in force.
    pub fn set(self) {
        *VIEW.lock().unwrap_or_else(PoisonError::into_inner) = self;
    }

    /// The one in force.
    pub fn current() -> Self {
        *VIEW.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether lines may be redrawn: stderr is a terminal that can do it, and no option asks for another form.
    pub fn redraws(self) -> bool {
        let is_able = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        is_able && !self.quiet && !self.json && !self.debug && std::io::stderr().is_terminal()
    }
}
