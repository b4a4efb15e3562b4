//! [`Lock`]: one run per cluster at a time, and which run holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{ClusterDir, create_private_dir, untrusted};
use crate::{Error, file, trust};

impl ClusterDir {
    /// Whether a run of the cluster has left any file on this machine.
    pub fn exists(&self) -> bool {
        self.0.exists() || self.lock_path().exists()
    }

    /// The run that holds the lock, if one does: the number of its process, and the time since which it does.
    pub fn lock_holder(&self) -> Option<(String, SystemTime)> {
        let since = self.lock_path().metadata().and_then(|lock| lock.modified());
        let holder = kubitect_config::file::read_text(&self.lock_path()).ok()?;
        let holder = holder.trim().to_owned();
        self.is_busy().then_some((holder, since.ok()?))
    }

    /// Whether a run holds the lock.
    pub fn is_busy(&self) -> bool {
        let path = self.lock_path();
        // Only a file: opening a pipe would wait for its other end.
        let lock = path.is_file().then(|| File::open(path));
        let held = |lock: File| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
        lock.and_then(Result::ok).is_some_and(held)
    }

    fn lock_path(&self) -> PathBuf {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        self.0.with_file_name(format!(".{name}.lock"))
    }

    /// Locks the cluster for this run, until the lock is dropped or the process ends.
    ///
    /// The lock file lies beside the cluster's folder, so that it can be held while the folder is removed.
    pub fn lock(&self) -> Result<Lock, Error> {
        let parent = self.0.parent().unwrap_or(&self.0);
        create_private_dir(parent)?;
        // Checked again: where it did not exist before, another user may have created it.
        trust::folder(parent, &self.1).map_err(untrusted)?;
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let path = self.lock_path();
        let mut held = loop {
            let held = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(|e| Error::io("open", &path, e))?;
            match held.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = kubitect_config::file::read_text(&path).unwrap_or_default();
                    return Err(Error::Busy {
                        cluster: name.into_owned(),
                        holder: holder.trim().to_owned(),
                    });
                }
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
            }
            // A run that removes the cluster removes the lock file, too. Then `held` locks a file without a name, which the next
            // run would not see: so open it again.
            let same = |current: std::fs::Metadata| {
                let ours = held.metadata();
                ours.is_ok_and(|ours| (ours.dev(), ours.ino()) == (current.dev(), current.ino()))
            };
            if path.metadata().is_ok_and(same) {
                break held;
            }
        };
        // For the message above only: the lock works without it, also where the disk is full.
        let written = held
            .set_len(0)
            .and_then(|()| writeln!(held, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "holder not noted");
        }
        // A run that was killed may have left half-written files.
        file::sweep(&self.0)
            .and_then(|()| file::restrict_modes(&self.0))
            .map_err(|e| Error::because(format!("tidy {}", self.0.display()), e))?;
        Ok(Lock {
            folder: self.0.clone(),
            path,
            file: held,
        })
    }
}

/// Holds a cluster for one run. If the cluster then has no folder, as after a plan that was not approved, dropping the lock
/// removes its file, too.
#[derive(Debug)]
#[must_use = "the cluster is held only while this is"]
pub struct Lock {
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Unlocks the cluster, which was removed, and removes the lock file.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("remove", &self.path, e))
    }

    /// Whether the file at the lock's path is still the one that is locked.
    fn is_current(&self) -> bool {
        let (current, ours) = (self.path.metadata(), self.file.metadata());
        let number = |file: std::io::Result<std::fs::Metadata>| {
            file.ok().map(|file| (file.dev(), file.ino()))
        };
        number(current).is_some_and(|current| Some(current) == number(ours))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let has_nothing = matches!(self.folder.try_exists(), Ok(false));
        if has_nothing && self.is_current() {
            // If it fails, the next run uses the file that is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
