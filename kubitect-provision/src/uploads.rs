//! [`Uploads`]: the base images that this run uploads, of all hosts: of those that share a folder one uploads, and the others wait.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubitect_config::value::Name;

/// Between two looks whether who waits is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// Which host uploads to volumes of which name.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    now: Mutex<BTreeSet<(String, Name)>>,
    ended: Condvar,
}

/// A host's upload, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    uploads: &'a Uploads,
    key: (String, Name),
}

/// Whether a host uploads now.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// It does.
    Now(Upload<'a>),
    /// This other one does, to the same folder.
    After(Name),
}

impl Uploads {
    fn now(&self) -> MutexGuard<'_, BTreeSet<(String, Name)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a host upload to this volume, unless another one does that shares its folder: `shares` looks for that one's mark.
    ///
    /// One host looks at a time, and makes its own mark before: of two that share a folder the second sees that of the first.
    pub(crate) fn begin<E>(
        &self,
        volume: &str,
        host: &Name,
        shares: impl FnOnce(&[Name]) -> Result<Option<Name>, E>,
    ) -> Result<Turn<'_>, E> {
        let mut now = self.now();
        let others = now
            .iter()
            .filter(|(name, other)| name == volume && other != host);
        let others: Vec<_> = others.map(|(_, other)| other.clone()).collect();
        if let Some(other) = shares(&others)? {
            return Ok(Turn::After(other));
        }
        let key = (volume.to_owned(), host.clone());
        now.insert(key.clone());
        Ok(Turn::Now(Upload { uploads: self, key }))
    }

    /// Waits until that host uploads to the volume no longer; false where `stopped` says that nothing more is wanted.
    pub(crate) fn wait(&self, volume: &str, host: &Name, stopped: &dyn Fn() -> bool) -> bool {
        let key = (volume.to_owned(), host.clone());
        let mut now = self.now();
        while now.contains(&key) {
            if stopped() {
                return false;
            }
            let waited = self.ended.wait_timeout(now, LOOK);
            now = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !stopped()
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.uploads.now().remove(&self.key);
        self.uploads.ended.notify_all();
    }
}
