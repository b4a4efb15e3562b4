//! A lock for runs that share a folder. It is a lock of the operating system, so a crash releases it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Event, OnEvent};

/// How long to wait for another run: longer than anything that is done under a lock may take.
const WAIT_LIMIT: Duration = Duration::from_secs(90 * 60);

/// Takes the lock on `path`, which is held until the returned file is dropped. `what` names, for the event, what the run that
/// holds it prepares.
pub(crate) async fn lock(path: &Path, what: &str, on_event: OnEvent<'_>) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("open", path))?;
    let started = Instant::now();
    let mut reported = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
            Err(TryLockError::WouldBlock) if started.elapsed() > WAIT_LIMIT => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    waited: WAIT_LIMIT,
                });
            }
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut reported, true) {
                    on_event(Event::Waiting {
                        what: what.to_owned(),
                    });
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
