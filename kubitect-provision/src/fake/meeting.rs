//! [`Meeting`]: hosts that are expected to be asked at the same time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long is waited for the others, in vain: only where a test fails.
const VAIN: Duration = Duration::from_secs(20);

/// Whoever looks at a host waits here until so many are looked at at the same time, once.
#[derive(Debug)]
pub struct Meeting {
    expected: usize,
    state: Mutex<Looks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Looks {
    now: usize,
    most: usize,
    /// Nobody waits any more.
    over: bool,
}

impl Meeting {
    /// Of so many hosts.
    pub fn of(expected: usize) -> Self {
        Self {
            expected,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// How many were looked at at the same time, at most.
    pub fn most(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.most
    }

    /// A look, which waits for the others.
    pub(super) fn join(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        state.most = state.most.max(state.now);
        state.over |= state.most >= self.expected;
        self.changed.notify_all();
        let waited = self
            .changed
            .wait_timeout_while(state, VAIN, |state| !state.over);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.over = true;
        state.now -= 1;
        self.changed.notify_all();
    }
}
