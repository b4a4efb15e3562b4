//! The log of a run, and what the next run shows from this one, in the cluster's folder.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::time;
use crate::failure::Failure;
use crate::home::{ClusterDir, write_whole};

/// Where the numbers of tasks stand, for what a run shows.
const TASKS: &str = "tasks.json";

/// A new log of `command` in the cluster's folder, which is made if need be, with its path.
pub fn open(dir: &ClusterDir, command: &str) -> Result<(File, PathBuf), Failure> {
    dir.create()?;
    let name = format!("{}-{command}.log", time("%Y%m%dT%H%M%SZ"));
    let path = dir.logs().join(name);
    let failed = |e| Failure::io("open", &path, e);
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let line = kubitect_config::text::line(&arguments.join(" "));
    writeln!(
        log,
        "kubitect {}, {}\n$ kubitect {line}",
        env!("CARGO_PKG_VERSION"),
        time("%Y-%m-%dT%H:%M:%SZ")
    )
    .map_err(failed)?;
    Ok((log, path))
}

/// How many tasks each playbook had when it last ran on this cluster; nothing where that is not known.
pub fn tasks(dir: &ClusterDir) -> BTreeMap<String, usize> {
    let text = std::fs::read(dir.logs().join(TASKS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Remembers it for the next run.
pub fn remember(dir: &ClusterDir, tasks: &BTreeMap<String, usize>) {
    let text = serde_json::json!(tasks).to_string();
    // Without it, the next run shows no total.
    if let Err(error) = write_whole(&dir.logs().join(TASKS), text.as_bytes(), 0o600) {
        tracing::debug!(%error, "totals of tasks not remembered");
    }
}
