//! [`Folder`]: the folder into which the files of one cluster are rendered. Files of an earlier rendering that a later one lacks
//! are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use kubitect_config::file;
use kubitect_config::value::Label;

use crate::Error;
use crate::home::{create_private_dir, write_whole};
use crate::trust::{TrustedUsers, named, named_with_all};

/// The file that says which cluster's files a folder holds: the cluster's name, then their paths, a line each.
const MARK: &str = "cluster";

/// The folders that are written into it.
const FOLDERS: [&str; 5] = ["libvirt", "cloud-init", "haproxy", "keepalived", "ansible"];

/// A folder with the files of one cluster.
#[derive(Debug)]
pub struct Folder<'a> {
    path: &'a Path,
    cluster: &'a Label,
    users: &'a TrustedUsers,
    /// The files that an earlier rendering wrote.
    previous: BTreeSet<PathBuf>,
}

impl<'a> Folder<'a> {
    /// Takes a folder for this cluster's files. An error if it holds files of another cluster, or belongs to an untrusted user.
    pub fn claim(
        path: &'a Path,
        cluster: &'a Label,
        users: &'a TrustedUsers,
    ) -> Result<Self, Error> {
        check_owner(path, users)?;
        let mark = path.join(MARK);
        let other = match file::read_text(&mark) {
            Ok(text) => match text.lines().next().unwrap_or_default().trim() {
                name if name == cluster.as_str() => {
                    let previous = text.lines().skip(1).map(PathBuf::from);
                    let previous = previous.filter(|path| is_rendered(path)).collect();
                    return Ok(Self {
                        path,
                        cluster,
                        users,
                        previous,
                    });
                }
                name => format!("the files of the cluster `{name}`"),
            },
            Err(e) if e.kind() != ErrorKind::NotFound && e.kind() != ErrorKind::NotADirectory => {
                return Err(Error::io("read", &mark, e));
            }
            Err(_) if FOLDERS.iter().any(|folder| path.join(folder).exists()) => {
                "files that may be another cluster's".to_owned()
            }
            Err(_) => {
                let previous = BTreeSet::new();
                return Ok(Self {
                    path,
                    cluster,
                    users,
                    previous,
                });
            }
        };
        Err(Error::failed(format!(
            "write the files of `{cluster}` into {}: it holds {other}; name another folder with --out, or remove this one",
            path.display()
        )))
    }

    /// Writes these files, and removes those of an earlier rendering that are not among them. The list on disk covers both until
    /// the end, so that a rendering after a kill still removes them.
    pub fn fill(&self, files: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
        let current: BTreeSet<_> = files.keys().cloned().collect();
        // Checked again after it was created: another user may have created it meanwhile.
        create_private_dir(self.path)?;
        check_owner(self.path, self.users)?;
        self.mark(&self.previous | &current)?;
        for (path, text) in files {
            write(&self.path.join(path), text)?;
        }
        for file in self.previous.difference(&current) {
            self.remove(file)?;
        }
        self.mark(current)
    }

    fn mark(&self, files: BTreeSet<PathBuf>) -> Result<(), Error> {
        let lines = files.iter().map(|path| format!("{}\n", path.display()));
        let text = format!("{}\n{}", self.cluster, lines.collect::<String>());
        write(&self.path.join(MARK), &text)
    }

    /// Removes a file, and the folders that become empty. Nothing is removed if it is no file, or a folder on its path is a link:
    /// then it was not written by a rendering.
    fn remove(&self, file: &Path) -> Result<(), Error> {
        let folders = file.ancestors().skip(1);
        let folders: Vec<_> = folders.filter(|folder| *folder != Path::new("")).collect();
        let is_kind = |path: &Path, test: fn(&std::fs::Metadata) -> bool| {
            let metadata = self.path.join(path).symlink_metadata();
            metadata.is_ok_and(|metadata| test(&metadata))
        };
        let no_links = folders
            .iter()
            .all(|folder| is_kind(folder, std::fs::Metadata::is_dir));
        if !no_links || !is_kind(file, std::fs::Metadata::is_file) {
            return Ok(());
        }
        let path = self.path.join(file);
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        for folder in folders {
            // Fails, rightly, for a folder that is not empty.
            let _ = std::fs::remove_dir(self.path.join(folder));
        }
        Ok(())
    }
}

/// Writes files that everybody may read, by their paths, into a folder. An error if it, or a file in it, belongs to an untrusted
/// user.
pub fn fill_for_all(
    path: &Path,
    files: &[(String, Vec<u8>)],
    users: &TrustedUsers,
) -> Result<(), Error> {
    for (name, bytes) in files {
        let file = path.join(name);
        let folder = file.parent().unwrap_or(path);
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut places = [path, folder, &file].into_iter();
        let checked = places.try_for_each(|place| named(place, users));
        checked.map_err(|e| Error::because(format!("write into {}", path.display()), e))?;
        write_whole(&file, bytes, 0o644)?;
    }
    Ok(())
}

/// An error if the folder, or a path that will be written in it, belongs to an untrusted user.
fn check_owner(path: &Path, users: &TrustedUsers) -> Result<(), Error> {
    let because = |e| Error::because(format!("write into {}", path.display()), e);
    let mut parts = FOLDERS.iter().chain([&MARK]);
    named(path, users)
        .and_then(|()| parts.try_for_each(|part| named_with_all(&path.join(part), users)))
        .map_err(because)
}

/// Whether this can be the path of a rendered file: below one of [`FOLDERS`], without `..`.
fn is_rendered(path: &Path) -> bool {
    let mut steps = path.components();
    let first = steps.next();
    FOLDERS
        .iter()
        .any(|folder| first == Some(Component::Normal((*folder).as_ref())))
        && steps.all(|step| matches!(step, Component::Normal(_)))
}

/// Writes a file for the owner only: variables may hold secrets. It is not flushed to disk: it can be rendered again.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    create_private_dir(path.parent().unwrap_or(Path::new(".")))?;
    file::replace_unflushed(path, text.as_bytes(), 0o600).map_err(|e| Error::io("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_rendered_into_our_folders_goes() {
        for path in ["libvirt/a.xml", "ansible/group_vars/all/x.yaml"] {
            assert!(is_rendered(Path::new(path)), "{path}");
        }
        for path in [
            "",
            "a.xml",
            "/libvirt/a",
            "libvirt/../../x",
            "../libvirt/a",
            "./libvirt/a",
            "cluster",
        ] {
            assert!(!is_rendered(Path::new(path)), "{path}");
        }
    }
}
