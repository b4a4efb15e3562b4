//! The log of a run, in the cluster's folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use kubitect_config::address::shown;

use super::{RFC3339, time};
use crate::failure::Failure;
use crate::home::new_log;

/// The log of a run.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// Where it is.
    pub path: PathBuf,
    /// How many lines it has.
    pub lines: usize,
}

impl Log {
    /// A new log of `command` in a folder, which is created if it does not exist.
    pub fn open(folder: &Path, command: &str) -> Result<Self, Failure> {
        let (file, path) = new_log(folder, command)?;
        let mut log = Self {
            file,
            path,
            lines: 0,
        };
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let line = shown(&kubitect_config::text::line(&arguments.join(" ")));
        let (version, now) = (env!("CARGO_PKG_VERSION"), time(RFC3339));
        log.write(&format!("kubitect {version}, {now}\n$ kubitect {line}\n"));
        Ok(log)
    }

    /// Adds text.
    pub fn write(&mut self, text: &str) {
        // A log that can't be written does not stop the work.
        let _ = self.file.write_all(text.as_bytes());
        self.lines += text.matches('\n').count();
    }
}
