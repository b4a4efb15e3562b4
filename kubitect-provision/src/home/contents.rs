//! [`Contents`]: what lies in a cluster's folder, of which all goes with the cluster but its snapshots of etcd.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::ClusterDir;
use crate::Error;

/// What lies in a cluster's folder.
pub struct Contents {
    /// The folder.
    pub dir: ClusterDir,
    /// What goes, and how many files of it there are.
    goes: Vec<(PathBuf, usize)>,
    /// The snapshots of etcd that stay.
    stays: Option<(PathBuf, usize)>,
}

impl Contents {
    /// Looks what there is, and what of it goes: the snapshots only `with_snapshots`.
    pub fn look(dir: ClusterDir, with_snapshots: bool) -> Result<Self, Error> {
        let snapshots = dir.backups();
        let (mut goes, mut stays) = (Vec::new(), None);
        let failed = |e| Error::io("list", dir.root(), e);
        let entries = match std::fs::read_dir(dir.root()) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            other => Some(other.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(failed)?.path();
            let files = files(&path);
            if path == snapshots && !with_snapshots && files > 0 {
                stays = Some((path, files));
            } else {
                goes.push((path, files));
            }
        }
        // The configuration goes last: it says where the machines were.
        goes.sort_by_key(|(path, _)| (*path == dir.config_dir(), path.clone()));
        Ok(Self { dir, goes, stays })
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.goes.is_empty()
    }

    /// What goes.
    pub fn goes(&self) -> impl Iterator<Item = &Path> {
        self.goes.iter().map(|(path, _)| path.as_path())
    }

    /// Removes what goes, and the folder if nothing stays in it.
    pub fn remove(&self) -> Result<(), Error> {
        for (path, _) in &self.goes {
            remove_all(path)?;
        }
        match self.stays {
            Some(_) => Ok(()),
            None => remove_all(self.dir.root()),
        }
    }

    /// What stays, in a line; none: nothing.
    pub fn stays(&self) -> Option<String> {
        let (path, files) = self.stays.as_ref()?;
        Some(format!(
            "keep {} (snapshots of etcd: {}; --with-snapshots removes them, too)",
            path.display(),
            count(*files)
        ))
    }
}

/// How many files are in a folder and all below it; 1 for a file.
fn files(path: &Path) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| files(&entry.path())).sum(),
        Err(_) => 1,
    }
}

fn remove_all(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
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

/// What goes, a line each.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, files) in &self.goes {
            let what = match path.file_name().and_then(|name| name.to_str()) {
                Some("config") => "configuration, keys, kubeconfig: ",
                Some("logs") => "logs: ",
                Some("backups") => "snapshots of etcd: ",
                _ => "",
            };
            writeln!(f, "  - remove {} ({what}{})", path.display(), count(*files))?;
        }
        Ok(())
    }
}
