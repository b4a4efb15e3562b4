//! Reads and changes a host in memory: operations fail on demand, and all operations after that, as for a killed process.

use std::sync::PoisonError;

use super::{FakeHost, State};
use crate::hypervisor::Failure;

/// When an operation fails, relative to its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// A part of it has happened: half of an upload, a disk without its header, a pool that is defined and not started.
    Halfway,
    /// All of it has happened, and the caller gets an error.
    After,
    /// libvirt has accepted it and still carries it out: it happens when the next process asks for its first change.
    Late,
}

impl FakeHost {
    /// Makes the n-th changing operation from now (from 0) fail, and all operations after it.
    pub fn fail_at(&self, n: usize, when: When) {
        let mut state = self.lock();
        state.fail = Some((state.writes + n, when));
    }

    /// Lets all operations work again, as for a new process.
    pub fn revive(&self) {
        let mut state = self.lock();
        state.fail = None;
        state.dead = false;
    }

    /// Reads the state; fails after a failure.
    pub(super) fn read<T>(
        &self,
        action: &str,
        read: impl FnOnce(&State) -> T,
    ) -> Result<T, Failure> {
        self.calls.count(1);
        let meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let meeting = meeting.clone();
        meeting.iter().for_each(|meeting| meeting.join());
        let state = self.lock();
        if state.dead {
            return Err(killed(action));
        }
        Ok(read(&state))
    }

    /// Changes the state, or fails as asked. `part` is what has happened when it fails halfway.
    pub(super) fn write<T>(
        &self,
        action: String,
        part: impl FnOnce(&mut State),
        whole: impl FnOnce(&mut State) -> Result<T, String>,
    ) -> Result<T, Failure> {
        // A real libvirt is asked to look the thing up, and then to change it.
        self.calls.count(2);
        let mut state = self.lock();
        if state.dead {
            return Err(killed(&action));
        }
        if let Some(accepted) = state.complete_late()
            && accepted == action
            && REFUSED_TWICE.iter().any(|verb| action.starts_with(verb))
        {
            return Err(Failure::new(action, "it is so already"));
        }
        let due = state.fail.filter(|(n, _)| *n == state.writes);
        state.writes += 1;
        // libvirt ends an upload whose client is gone.
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
                self.persist(&state);
                return done;
            }
        }
        Err(killed(&action))
    }

    /// Changes the state in one step, which can't fail halfway.
    pub(super) fn write_whole<T>(
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

/// The operations that libvirt refuses if their effect exists already.
const REFUSED_TWICE: [&str; 9] = [
    "start ",
    "make ",
    "remove ",
    "reserve ",
    "attach ",
    "detach ",
    "power off ",
    "shut down ",
    "give ",
];

impl State {
    /// Completes an operation that was accepted late, and returns its name.
    pub(super) fn complete_late(&mut self) -> Option<String> {
        let (accepted, mut later) = self.late.take()?;
        (later.writes, later.fail, later.dead) = (self.writes, self.fail, self.dead);
        *self = *later;
        Some(accepted)
    }
}
