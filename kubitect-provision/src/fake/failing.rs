//! Reading and writing a host in memory: verbs fail on demand, and after that all of them.

use std::sync::PoisonError;

use super::{FakeHost, State};
use crate::hypervisor::Failure;

/// When a verb fails, seen from its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// A part of it has: half of an upload, a disk without its header, a pool defined and not started.
    Halfway,
    /// All of it has, but the caller never hears of it.
    After,
    /// libvirt has accepted it, and goes on with it: it happens while the next process asks for its first change.
    Late,
}

impl FakeHost {
    /// Makes the n-th writing verb from now (from 0) fail, and all verbs after it.
    pub fn fail_at(&self, n: usize, when: When) {
        let mut state = self.lock();
        state.fail = Some((state.writes + n, when));
    }

    /// Lets everything work again, as for a new process.
    pub fn revive(&self) {
        let mut state = self.lock();
        state.fail = None;
        state.dead = false;
    }

    /// Reads, unless the process is dead.
    pub(super) fn read<T>(
        &self,
        action: &str,
        read: impl FnOnce(&State) -> T,
    ) -> Result<T, Failure> {
        self.calls.made(1);
        let meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let meeting = meeting.clone();
        meeting.iter().for_each(|meeting| meeting.join());
        let state = self.lock();
        if state.dead {
            return Err(killed(action));
        }
        Ok(read(&state))
    }

    /// Writes, or fails as told. `part` is what has happened when it fails halfway.
    pub(super) fn write<T>(
        &self,
        action: String,
        part: impl FnOnce(&mut State),
        whole: impl FnOnce(&mut State) -> Result<T, String>,
    ) -> Result<T, Failure> {
        // It is looked up, and then acted on.
        self.calls.made(2);
        let mut state = self.lock();
        if state.dead {
            return Err(killed(&action));
        }
        if let Some(accepted) = state.land()
            && accepted == action
            && REFUSED_TWICE.iter().any(|verb| action.starts_with(verb))
        {
            return Err(Failure::new(action, "it is so already"));
        }
        let due = state.fail.filter(|(n, _)| *n == state.writes);
        state.writes += 1;
        // Nobody goes on with an upload whose sender is gone.
        let when = due.map(|(_, when)| match when {
            When::Late if action.starts_with("fill ") => When::Halfway,
            when => when,
        });
        state.dead = when.is_some();
        match when {
            Some(When::Before) => {}
            Some(When::Halfway) => part(&mut state),
            Some(When::After) => {
                whole(&mut state).map_err(|why| Failure::new(action.clone(), why))?;
            }
            Some(When::Late) => {
                let mut later = state.clone();
                // What libvirt refuses never happens.
                if whole(&mut later).is_ok() {
                    state.late = Some((action.clone(), Box::new(later)));
                }
            }
            None => {
                let done = whole(&mut state).map_err(|why| Failure::new(action, why));
                self.keep(&state);
                return done;
            }
        }
        Err(killed(&action))
    }

    /// Writes what has no half.
    pub(super) fn at_once<T>(
        &self,
        action: String,
        whole: impl FnOnce(&mut State) -> Result<T, String>,
    ) -> Result<T, Failure> {
        self.write(action, |_| {}, whole)
    }
}

fn killed(action: &str) -> Failure {
    Failure::new(action, "killed")
}

/// What libvirt refuses where it is so already.
const REFUSED_TWICE: [&str; 9] = [
    "start ",
    "make ",
    "remove ",
    "keep ",
    "attach ",
    "detach ",
    "power off ",
    "shut down ",
    "give ",
];

impl State {
    /// Lets what was accepted happen; what it was.
    pub(super) fn land(&mut self) -> Option<String> {
        let (accepted, mut later) = self.late.take()?;
        (later.writes, later.fail, later.dead) = (self.writes, self.fail, self.dead);
        *self = *later;
        Some(accepted)
    }
}
