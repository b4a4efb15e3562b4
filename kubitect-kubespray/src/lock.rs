//! One run at a time where runs share a folder. The lock is the operating system's: a crash frees it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Event, OnEvent};

/// How long another run may take for one thing: the longest of what is done under a lock, and some.
const LIMIT: Duration = Duration::from_secs(90 * 60);

/// Takes the lock on `path`, held until the file is dropped.
pub(crate) async fn lock(path: &Path, what: &str, on_event: OnEvent<'_>) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("open", path))?;
    let started = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
            Err(TryLockError::WouldBlock) if started.elapsed() > LIMIT => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    waited: LIMIT,
                });
            }
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    on_event(Event::Waiting {
                        what: what.to_owned(),
                    });
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
