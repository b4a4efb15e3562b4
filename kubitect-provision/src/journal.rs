//! The journal of changes: a JSON line whenever one is begun, done or failed. A change is made once its first line is on disk.
//!
//! No run is resumed from it: the next one observes and plans again. It shows a person which change was interrupted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde::Serialize;

use crate::change::Change;
use crate::error::Error;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

/// The state of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry<'a> {
    /// It is about to be made.
    Begun,
    /// It was made.
    Done,
    /// It failed, with this message.
    Failed(&'a str),
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: u64,
    entry: Entry<'a>,
    change: &'a Change,
}

impl Journal {
    /// Opens the journal at `path`, to append to it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| Error::File {
                action: "open journal",
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Writes one line and waits until it is on disk.
    pub fn write(&self, change: &Change, entry: Entry<'_>) -> Result<(), Error> {
        let time = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        let line = Line {
            time,
            entry,
            change,
        };
        let write = || -> std::io::Result<()> {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            let mut file = self
                .file
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            file.write_all(&text)?;
            file.sync_data()
        };
        write().map_err(|source| Error::File {
            action: "write journal",
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        Journal::open(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
