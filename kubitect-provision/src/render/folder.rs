//! [`Folder`]: where the files of one cluster are rendered into, and which were: what a later rendering lacks goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use kubitect_config::file;
use kubitect_config::value::Label;

use crate::Error;
use crate::home::{create_private_dir, write_whole};
use crate::trust::{Us, named, named_with_all};

/// The file that says whose files a folder holds: the cluster's name, then their paths, a line each.
const MARK: &str = "cluster";

/// What is written into it.
const FOLDERS: [&str; 5] = ["libvirt", "cloud-init", "haproxy", "keepalived", "ansible"];

/// A folder with the files of one cluster.
#[derive(Debug)]
pub struct Folder<'a> {
    path: &'a Path,
    cluster: &'a Label,
    us: &'a Us,
    /// What was written before.
    former: BTreeSet<PathBuf>,
}

impl<'a> Folder<'a> {
    /// Takes the folder for this cluster's files, which another's there would mix with. It is ours, or nobody's yet.
    pub fn claim(path: &'a Path, cluster: &'a Label, us: &'a Us) -> Result<Self, Error> {
        is_ours(path, us)?;
        let mark = path.join(MARK);
        let other = match file::read_text(&mark) {
            Ok(text) => match text.lines().next().unwrap_or_default().trim() {
                name if name == cluster.as_str() => {
                    let former = text.lines().skip(1).map(PathBuf::from);
                    let former = former.filter(|path| is_rendered(path)).collect();
                    return Ok(Self {
                        path,
                        cluster,
                        us,
                        former,
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
                let former = BTreeSet::new();
                return Ok(Self {
                    path,
                    cluster,
                    us,
                    former,
                });
            }
        };
        Err(Error::failed(format!(
            "write the files of `{cluster}` into {}: it holds {other}; name another folder with --out, or remove this one",
            path.display()
        )))
    }

    /// Writes these files, and removes those that were written before and are none of them. Killed, the next one goes on.
    pub fn fill(&self, files: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
        let now: BTreeSet<_> = files.keys().cloned().collect();
        // Somebody else may have made it meanwhile.
        create_private_dir(self.path)?;
        is_ours(self.path, self.us)?;
        self.mark(&self.former | &now)?;
        for (path, text) in files {
            write(&self.path.join(path), text)?;
        }
        for gone in self.former.difference(&now) {
            self.remove(gone)?;
        }
        self.mark(now)
    }

    fn mark(&self, files: BTreeSet<PathBuf>) -> Result<(), Error> {
        let lines = files.iter().map(|path| format!("{}\n", path.display()));
        let text = format!("{}\n{}", self.cluster, lines.collect::<String>());
        write(&self.path.join(MARK), &text)
    }

    /// Removes a file, and the folders that it leaves empty. What is no file, or lies behind a link, is somebody else's.
    fn remove(&self, gone: &Path) -> Result<(), Error> {
        let folders = gone.ancestors().skip(1);
        let folders: Vec<_> = folders.filter(|folder| *folder != Path::new("")).collect();
        let is = |path: &Path, test: fn(&std::fs::Metadata) -> bool| {
            let there = self.path.join(path).symlink_metadata();
            there.is_ok_and(|there| test(&there))
        };
        let ours = folders
            .iter()
            .all(|folder| is(folder, std::fs::Metadata::is_dir));
        if !ours || !is(gone, std::fs::Metadata::is_file) {
            return Ok(());
        }
        let path = self.path.join(gone);
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        for folder in folders {
            // One that is not empty stays.
            let _ = std::fs::remove_dir(self.path.join(folder));
        }
        Ok(())
    }
}

/// Writes files that anybody may read, by their paths, into a folder that is ours, or is made for us.
pub fn fill_for_all(path: &Path, files: &[(String, Vec<u8>)], us: &Us) -> Result<(), Error> {
    for (name, bytes) in files {
        let file = path.join(name);
        let folder = file.parent().unwrap_or(path);
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut places = [path, folder, &file].into_iter();
        let ours = places.try_for_each(|place| named(place, us));
        ours.map_err(|e| Error::because(format!("write into {}", path.display()), e))?;
        write_whole(&file, bytes, 0o644)?;
    }
    Ok(())
}

/// An error if the folder, or what lies where its files get to, is somebody else's.
fn is_ours(path: &Path, us: &Us) -> Result<(), Error> {
    let because = |e| Error::because(format!("write into {}", path.display()), e);
    let mut parts = FOLDERS.iter().chain([&MARK]);
    named(path, us)
        .and_then(|()| parts.try_for_each(|part| named_with_all(&path.join(part), us)))
        .map_err(because)
}

/// Whether this is a path of a file that is rendered: below one of our folders, and in no way out of it.
fn is_rendered(path: &Path) -> bool {
    let mut steps = path.components();
    let first = steps.next();
    FOLDERS
        .iter()
        .any(|folder| first == Some(Component::Normal((*folder).as_ref())))
        && steps.all(|step| matches!(step, Component::Normal(_)))
}

/// For the owner only: variables may hold what a person keeps secret. Nothing is flushed: it can be rendered again.
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
