//! [`Contents`]: what lies in a cluster's folder, of which all goes with the cluster but its snapshots of etcd.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::value::Name;

use super::ClusterDir;
use crate::Error;

/// What lies in a cluster's folder.
#[derive(Debug)]
pub struct Contents {
    /// The folder.
    pub dir: ClusterDir,
    /// What goes, and how many files of it there are.
    goes: Vec<(PathBuf, usize)>,
    /// The snapshots of etcd that stay.
    stays: Option<(PathBuf, usize)>,
    /// What goes of what is known of hosts that were left out, where some of it stays.
    forgotten: Vec<PathBuf>,
}

impl Contents {
    /// Looks what there is, and what of it goes: the snapshots only `with_snapshots`, and what is known of hosts that were left out
    /// unless they are `left_out` again.
    pub fn look(
        dir: ClusterDir,
        with_snapshots: bool,
        left_out: &BTreeSet<Name>,
    ) -> Result<Self, Error> {
        let snapshots = dir.backups();
        let known = dir.left_out()?.into_iter();
        let (stay, go): (Vec<_>, Vec<_>) = known.partition(|(host, _)| left_out.contains(host));
        let files_of = |own: Vec<(Name, PathBuf)>| own.into_iter().map(|(_, file)| file).collect();
        let (left_out, forgotten): (Vec<_>, Vec<_>) = (files_of(stay), files_of(go));
        let (mut goes, mut stays) = (Vec::new(), None);
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
                stays = Some((path, files));
            } else {
                goes.push((path, files));
            }
        }
        // The configuration goes last: it says where the machines were.
        goes.sort_by_key(|(path, _)| (*path == dir.config_dir(), path.clone()));
        Ok(Self {
            forgotten: match left_out.is_empty() {
                true => Vec::new(),
                false => forgotten,
            },
            dir,
            goes,
            stays,
        })
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.goes.is_empty() && self.forgotten.is_empty()
    }

    /// What goes.
    pub fn goes(&self) -> impl Iterator<Item = &Path> {
        let goes = self.goes.iter().map(|(path, _)| path);
        goes.chain(&self.forgotten).map(PathBuf::as_path)
    }

    /// Removes what goes, and the folder if nothing stays in it.
    pub fn remove(&self) -> Result<(), Error> {
        for (path, _) in &self.goes {
            remove_all(path)?;
        }
        for file in &self.forgotten {
            self.dir.forget(file)?;
        }
        // What was left out by this removal is known by now.
        match self.stays.is_some() || !self.dir.left_out()?.is_empty() {
            true => Ok(()),
            false => remove_all(self.dir.root()),
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
                Some("left-out") => "what hosts had that were left out: ",
                _ => "",
            };
            writeln!(f, "  - remove {} ({what}{})", path.display(), count(*files))?;
        }
        for file in &self.forgotten {
            writeln!(
                f,
                "  - remove {} (what a host had that was left out)",
                file.display()
            )?;
        }
        Ok(())
    }
}
