//! [`Contents`]: the files of a cluster's folder. A removal of the cluster removes all but the snapshots of etcd.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::value::Name;

use super::ClusterDir;
use crate::Error;

/// The contents of a cluster's folder, and which of them a removal of the cluster removes.
#[derive(Debug)]
pub struct Contents {
    /// The folder.
    pub dir: ClusterDir,
    /// What is removed, and the number of files in each.
    removed: Vec<(PathBuf, usize)>,
    /// The folder of snapshots of etcd if it stays, and the number of its files.
    retained: Option<(PathBuf, usize)>,
    /// The configurations of left-out hosts that are removed, where others of their folder stay.
    removed_left_out: Vec<PathBuf>,
}

impl Contents {
    /// Reads the folder and decides what is removed: the snapshots of etcd only `with_snapshots`; the configurations of hosts
    /// that an earlier removal left out unless this one leaves them out again (`left_out`).
    pub fn read(
        dir: ClusterDir,
        with_snapshots: bool,
        left_out: &BTreeSet<Name>,
    ) -> Result<Self, Error> {
        let snapshots = dir.backups();
        let recorded = dir.left_out()?.into_iter();
        let (again, others): (Vec<_>, Vec<_>) =
            recorded.partition(|(host, _)| left_out.contains(host));
        let files_of =
            |hosts: Vec<(Name, PathBuf)>| hosts.into_iter().map(|(_, file)| file).collect();
        let (left_out, removed_left_out): (Vec<_>, Vec<_>) = (files_of(again), files_of(others));
        let (mut removed, mut retained) = (Vec::new(), None);
        let failed = |e| Error::io("list", dir.root(), e);
        let entries = match std::fs::read_dir(dir.root()) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            other => Some(other.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(failed)?.path();
            if path == dir.left_out_dir() && !left_out.is_empty() {
                continue;
            }
            let files = files(&path);
            if path == snapshots && !with_snapshots && files > 0 {
                retained = Some((path, files));
            } else {
                removed.push((path, files));
            }
        }
        // The configuration is removed last: a removal that is interrupted still needs it to find the machines.
        removed.sort_by_key(|(path, _)| (*path == dir.config_dir(), path.clone()));
        Ok(Self {
            removed_left_out: match left_out.is_empty() {
                true => Vec::new(),
                false => removed_left_out,
            },
            dir,
            removed,
            retained,
        })
    }

    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.removed_left_out.is_empty()
    }

    /// What is removed.
    pub fn removed(&self) -> impl Iterator<Item = &Path> {
        let removed = self.removed.iter().map(|(path, _)| path);
        removed.chain(&self.removed_left_out).map(PathBuf::as_path)
    }

    /// Removes what [`Self::removed`] lists, and the folder itself if nothing stays in it.
    pub fn remove(&self) -> Result<(), Error> {
        for (path, _) in &self.removed {
            remove_all(path)?;
        }
        for file in &self.removed_left_out {
            self.dir.remove_left_out(file)?;
        }
        // Read again: by now this removal has recorded the hosts that it leaves out.
        match self.retained.is_some() || !self.dir.left_out()?.is_empty() {
            true => Ok(()),
            false => remove_all(self.dir.root()),
        }
    }

    /// A line about the snapshots of etcd that stay; none: none stay.
    pub fn retained(&self) -> Option<String> {
        let (path, files) = self.retained.as_ref()?;
        Some(format!(
            "keep {} (snapshots of etcd: {}; --with-snapshots removes them, too)",
            path.display(),
            count(*files)
        ))
    }
}

/// The number of files in a folder and all below it; 1 for a file.
fn files(path: &Path) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| files(&entry.path())).sum(),
        Err(_) => 1,
    }
}

fn remove_all(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn count(files: usize) -> String {
    match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    }
}

/// What is removed, a line each.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, files) in &self.removed {
            let what = match path.file_name().and_then(|name| name.to_str()) {
                Some("config") => "configuration, keys, kubeconfig: ",
                Some("logs") => "logs: ",
                Some("backups") => "snapshots of etcd: ",
                Some("left-out") => "what hosts had that were left out: ",
                _ => "",
            };
            writeln!(f, "  - remove {} ({what}{})", path.display(), count(*files))?;
        }
        for file in &self.removed_left_out {
            writeln!(
                f,
                "  - remove {} (what a host had that was left out)",
                file.display()
            )?;
        }
        Ok(())
    }
}
