//! [`Meeting`]: shows whether several hosts are asked in parallel.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a call waits for the others. It is reached only where a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reading calls to hosts wait here until as many as expected wait at the same time; after that, none waits any more.
#[derive(Debug)]
pub struct Meeting {
    expected: usize,
    state: Mutex<Arrivals>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Arrivals {
    now: usize,
    most: usize,
    /// Whether no call waits any more.
    is_over: bool,
}

impl Meeting {
    /// A meeting of this many hosts.
    pub fn of(expected: usize) -> Self {
        Self {
            expected,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// How many calls waited at the same time, at most.
    pub fn most(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.most
    }

    /// Waits until as many calls as expected wait.
    pub(super) fn join(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        state.most = state.most.max(state.now);
        state.is_over |= state.most >= self.expected;
        self.changed.notify_all();
        let waited = self
            .changed
            .wait_timeout_while(state, DEADLINE, |state| !state.is_over);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        state.now -= 1;
        self.changed.notify_all();
    }
}
