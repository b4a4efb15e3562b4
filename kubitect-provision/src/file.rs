//! Files that are replaced whole or not at all: written under a temporary name, flushed, renamed.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::Error;

pub use kubitect_config::file::TEMPORARY;
use kubitect_config::file::remove_temporary;

/// Locks a folder, so that other runs do not change files in it: see [`kubitect_config::file::lock_folder`].
pub fn lock(folder: &Path) -> Result<File, Error> {
    kubitect_config::file::lock_folder(folder).map_err(error("lock", folder))
}

/// Removes the half-written files of killed runs in a folder and all below it. The caller must hold a lock that keeps other runs
/// away.
pub fn sweep(folder: &Path) -> Result<(), Error> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(error("list", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(error("list", folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path())?;
        } else {
            remove_temporary(&entry).map_err(error("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Takes access to a folder and all below it from group and others, except for public keys (`.pub`). Modes may be too wide after a
/// copy, or from an older release.
pub fn restrict_modes(folder: &Path) -> Result<(), Error> {
    let metadata = match folder.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(error("look at", folder))?,
    };
    let is_public = folder
        .extension()
        .is_some_and(|extension| extension == "pub");
    if metadata.permissions().mode() & 0o077 != 0 && !metadata.is_symlink() && !is_public {
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(folder, Permissions::from_mode(mode))
            .map_err(error("close to others", folder))?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(folder).map_err(error("list", folder))? {
            restrict_modes(&entry.map_err(error("list", folder))?.path())?;
        }
    }
    Ok(())
}

/// Writes `bytes` to `path`, in the place of any earlier file. The file is created with this mode, so that it never has a wider
/// one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write_temporary(path, bytes, mode)
        .and_then(|file| file.persist(path).map_err(|e| e.error))
        .and_then(|_| flush_folder(path))
        .map_err(error("write", path))
}

/// Writes `bytes` to `path` unless there is a file already; returns whether it did.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Error> {
    let file = write_temporary(path, bytes, mode).map_err(error("write", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => flush_folder(path)
            .map(|()| true)
            .map_err(error("write", path)),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(error("write", path)(e.error)),
    }
}

/// Creates a folder for secrets, with its parents; an existing one gets the mode 0700.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    make_private(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(error("close to others", path))
}

/// Creates a folder, with its parents, for the owner only, whatever the umask; an existing one keeps its mode.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(error("create folder", path))
}

/// The error of an action on a file.
pub(crate) fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    fail::fail_point!("provision::file-aside");
    Ok(file)
}

/// Flushes the folder of a file: without that, a crash may undo the rename.
fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn replace_sets_the_mode_and_leaves_nothing_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn create_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(create(&path, b"first", 0o600).unwrap());
        assert!(!create(&path, b"second", 0o600).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_run_left_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        for folder in [dir.path(), &deep] {
            for name in [".kubitect-new-x1y2z3", ".kubitect-mine", "config"] {
                std::fs::write(folder.join(name), "").unwrap();
            }
        }
        std::os::unix::fs::symlink("/", deep.join("link")).unwrap();
        let left = |folder: &Path| {
            let names = std::fs::read_dir(folder).unwrap();
            let mut names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let held = lock(dir.path()).unwrap();
        assert_eq!(left(dir.path()), [".kubitect-mine", "a", "config"]);
        assert_eq!(left(&deep).len(), 4, "a lock looks at its folder only");
        assert!(File::open(dir.path()).unwrap().try_lock().is_err());
        drop(held);
        sweep(dir.path()).unwrap();
        assert_eq!(left(&deep), [".kubitect-mine", "config", "link"]);
        sweep(&dir.path().join("none")).unwrap();
    }

    #[test]
    fn folders_of_secrets_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_folder(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        private_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = replace(Path::new("/nonexistent/x"), b"", 0o600).unwrap_err();
        assert_eq!(error.to_string(), "write /nonexistent/x");
    }
}
