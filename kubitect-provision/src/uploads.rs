//! [`Uploads`]: the base images that this run uploads to all hosts. Of hosts that share a folder, only one uploads, and the
//! others wait.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubitect_config::value::Name;

/// The time between two checks whether a waiting host is to stop.
const POLL: Duration = Duration::from_millis(200);

/// The uploads that go on now, by volume name and host.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    active: Mutex<BTreeSet<(String, Name)>>,
    ended: Condvar,
}

/// A host's upload. Dropping it ends the upload.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    uploads: &'a Uploads,
    key: (String, Name),
}

/// Whether a host may upload now.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// It may; the upload has begun.
    Now(Upload<'a>),
    /// It has to wait: this other host uploads to the same folder.
    After(Name),
}

impl Uploads {
    fn active(&self) -> MutexGuard<'_, BTreeSet<(String, Name)>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a host's upload to this volume, unless a host that shares its folder uploads to it. `shares` finds such a host
    /// among the given ones, by its use mark.
    ///
    /// `shares` adds this host's own use mark first and runs under the lock: so of two hosts that share a folder, the second sees
    /// the mark of the first.
    pub(crate) fn begin<E>(
        &self,
        volume: &str,
        host: &Name,
        shares: impl FnOnce(&[Name]) -> Result<Option<Name>, E>,
    ) -> Result<Turn<'_>, E> {
        let mut active = self.active();
        let others = active
            .iter()
            .filter(|(name, other)| name == volume && other != host);
        let others: Vec<_> = others.map(|(_, other)| other.clone()).collect();
        if let Some(other) = shares(&others)? {
            return Ok(Turn::After(other));
        }
        let key = (volume.to_owned(), host.clone());
        active.insert(key.clone());
        Ok(Turn::Now(Upload { uploads: self, key }))
    }

    /// Waits until that host's upload to the volume has ended; false if `stopped` said that the run is to stop.
    pub(crate) fn wait(&self, volume: &str, host: &Name, stopped: &dyn Fn() -> bool) -> bool {
        let key = (volume.to_owned(), host.clone());
        let mut active = self.active();
        while active.contains(&key) {
            if stopped() {
                return false;
            }
            let waited = self.ended.wait_timeout(active, POLL);
            active = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !stopped()
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.uploads.active().remove(&self.key);
        self.uploads.ended.notify_all();
    }
}
