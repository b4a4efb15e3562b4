//! Hosts in memory that share folders: what one writes to a folder, the others see.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FakeHost, File, State};

/// Folders and the files in them.
pub(super) type Folders = BTreeMap<PathBuf, BTreeMap<String, File>>;

/// A host's locked state. For as long as it is locked, the shared folders are in it.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    shared: Option<MutexGuard<'a, Folders>>,
}

impl FakeHost {
    /// Makes this host and the other one share their folders from now on, with the files of both.
    ///
    /// # Panics
    ///
    /// If this host shares its folders with another one already.
    pub fn share_with(&self, other: &Self) {
        let mut own = std::mem::take(&mut self.lock().folders);
        for (path, files) in std::mem::take(&mut other.lock().folders) {
            own.entry(path).or_default().extend(files);
        }
        let shared = other.shared.get_or_init(Arc::default);
        self.shared
            .set(Arc::clone(shared))
            .expect("it shares its folders with one host at most");
        self.lock().folders = own;
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared.get();
        let mut shared = shared.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(shared) = &mut shared {
            std::mem::swap(&mut state.folders, shared);
        }
        Locked { state, shared }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(shared) = &mut self.shared {
            std::mem::swap(&mut self.state.folders, shared);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

/// Folders that hosts may share.
pub(super) type Shared = std::sync::OnceLock<Arc<Mutex<Folders>>>;
