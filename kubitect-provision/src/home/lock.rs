//! [`Lock`]: one run per cluster at a time, and which one is at work.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{ClusterDir, create_private_dir, not_ours};
use crate::{Error, file, trust};

impl ClusterDir {
    /// Whether a run has begun with the cluster and left anything on this machine.
    pub fn is_known(&self) -> bool {
        self.0.exists() || self.lock_path().exists()
    }

    /// The run that is at work on it, if one is: the number of its process, and since when.
    pub fn at_work(&self) -> Option<(String, SystemTime)> {
        let since = self.lock_path().metadata().and_then(|lock| lock.modified());
        let holder = kubitect_config::file::read_text(&self.lock_path()).ok()?;
        let holder = holder.trim().to_owned();
        self.is_busy().then_some((holder, since.ok()?))
    }

    /// Whether a run is at work on it.
    pub fn is_busy(&self) -> bool {
        let path = self.lock_path();
        // What else is there, as a pipe, would be waited for.
        let lock = path.is_file().then(|| File::open(path));
        let held = |lock: File| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
        lock.and_then(Result::ok).is_some_and(held)
    }

    fn lock_path(&self) -> PathBuf {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        self.0.with_file_name(format!(".{name}.lock"))
    }

    /// Takes the cluster for this run; freed when the lock is dropped or the process dies.
    ///
    /// The file lies beside the cluster's folder, so that it can be held while the folder is removed.
    pub fn lock(&self) -> Result<Lock, Error> {
        let parent = self.0.parent().unwrap_or(&self.0);
        create_private_dir(parent)?;
        // Where it was not there before, somebody else may have made it.
        trust::folder(parent, &self.1).map_err(not_ours)?;
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
            // A run that removed the cluster removed its lock, too: who comes now needs one that the next one finds.
            let same = |there: std::fs::Metadata| {
                let ours = held.metadata();
                ours.is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            };
            if path.metadata().is_ok_and(same) {
                break held;
            }
        };
        // For the message above only: who holds it is decided by the lock, also where the disk is full.
        let noted = held
            .set_len(0)
            .and_then(|()| writeln!(held, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::debug!(%error, path = %path.display(), "holder not noted");
        }
        // Whoever held it before may have been killed while it wrote.
        file::sweep(&self.0)
            .and_then(|()| file::close(&self.0))
            .map_err(|e| Error::because(format!("tidy {}", self.0.display()), e))?;
        Ok(Lock {
            folder: self.0.clone(),
            path,
            file: held,
        })
    }
}

/// Holds a cluster for one run. Of a cluster that has no folder, as one that was not approved, the lock itself goes with it.
#[derive(Debug)]
#[must_use = "the cluster is held only while this is"]
pub struct Lock {
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Frees the cluster, of which nothing is left, and removes what it was held by.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("remove", &self.path, e))
    }

    /// Whether the lock that is there is this one: nobody else removes it while it is held.
    fn is_there(&self) -> bool {
        let (there, ours) = (self.path.metadata(), self.file.metadata());
        let number = |file: std::io::Result<std::fs::Metadata>| {
            file.ok().map(|file| (file.dev(), file.ino()))
        };
        number(there).is_some_and(|there| Some(there) == number(ours))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let has_nothing = matches!(self.folder.try_exists(), Ok(false));
        if has_nothing && self.is_there() {
            // Nobody to tell; the next run takes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
