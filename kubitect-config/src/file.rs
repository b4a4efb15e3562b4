//! [`AtomicFile`]: replaces a file whole or not at all: it is written as a temporary file, flushed and renamed.

use std::fs::{DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The prefix of the names of temporary files, which are in the folder of the file that they will replace. What killed runs left is
/// removed by [`lock_folder`], and by the next [`AtomicFile::new`] of the same user in that folder.
pub const TEMPORARY: &str = ".kubitect-new-";

/// The content of a regular file. Anything else is an error and is not opened: reading a pipe could block for ever.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    std::fs::read(path)
}

/// As [`read`], as text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        let why = "it is broken: it is no text; mend it, or move it away";
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

/// An error if the path is not that of a regular file.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file; move it away",
        )),
    }
}

/// Replaces a file whole; its folder is made if it does not exist. A link stays a link, and the file keeps its owner: it may be a
/// person's own while Kubitect runs as root. At no time is it readable by more users than `mode` allows.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::new(path)?;
    file.write(content)?;
    file.publish(mode)
}

/// Makes a new file whole; its folder is made if it does not exist. A file that another program has made there since is an error.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::new(path)?;
    file.write(content)?;
    file.publish_new(mode)
}

/// As [`replace`], but not flushed to the disk: after a loss of power the file may be empty. For files that can be generated again.
pub fn replace_unflushed(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::begin(replaceable(path)?)?;
    file.write(content)?;
    file.set_access(mode)?;
    std::fs::rename(&file.path, &file.real)
}

/// Makes a folder and its parents, for the owner only (mode 0700). An existing folder stays as it is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How long to wait for a folder that another run has locked.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Locks a folder of the person's own against other runs until the result is dropped, and removes the temporary files of killed
/// runs there. The folder itself is locked, so that no lock file stays behind.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => {
                let why = format!("another run has held it for {} s", LOCK_WAIT.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    for entry in std::fs::read_dir(folder)? {
        remove_temporary(&entry?)?;
    }
    Ok(file)
}

/// Removes a file if it is a temporary one that no process writes. The caller must have locked its folder.
pub fn remove_temporary(entry: &DirEntry) -> io::Result<()> {
    let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY)
        && entry.file_type().is_ok_and(|kind| kind.is_file());
    if !is_temporary {
        return Ok(());
    }
    // A process that writes it has locked it. While it is locked here, no process takes it for its own new file.
    let file = File::open(entry.path());
    match file.as_ref().map(File::try_lock) {
        Ok(Err(TryLockError::WouldBlock)) => Ok(()),
        _ => std::fs::remove_file(entry.path()),
    }
}

/// Removes the temporary files of killed runs of this user from a folder, without a lock, as others may use it, too (`/tmp`).
fn remove_leftovers(folder: &Path, user: u32) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Only names with two numbers, as `unused_name` makes them: files with other names are written without a lock.
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
        let numbers = name.and_then(|name| name.split_once('-'));
        numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
            && (entry.metadata()).is_ok_and(|found| found.is_file() && found.uid() == user)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.filter(is_ours).map(|entry| entry.path()) {
        // On a file system without locks it stays: a process may still write it.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A temporary file that will replace another, written piece by piece. If it is dropped before it is published, it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    /// The file that it will replace, with all links resolved.
    real: PathBuf,
    path: PathBuf,
    file: File,
}

impl AtomicFile {
    /// Begins to replace a regular file, or a link to one, or a file that does not exist yet. Its folder is made if need be.
    pub fn new(path: &Path) -> io::Result<Self> {
        let new = Self::begin(replaceable(path)?)?;
        remove_leftovers(folder(&new.real), new.file.metadata()?.uid());
        Ok(new)
    }

    fn begin(real: PathBuf) -> io::Result<Self> {
        let folder = folder(&real);
        private_folder(folder)?;
        loop {
            let path = folder.join(unused_name());
            let opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match opened {
                Ok(file) if lock(&file, &path)? => return Ok(Self { real, path, file }),
                // Another process took it for a leftover and removes it; or an earlier process with the same id left it.
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Appends a piece.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)
    }

    /// Replaces the file.
    pub fn publish(self, mode: u32) -> io::Result<()> {
        self.set_access(mode)?;
        self.flush_and(|temporary, real| std::fs::rename(temporary, real))
    }

    /// Makes the file, which must not exist: one that was made since stays, and is an error.
    pub fn publish_new(self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.flush_and(link)
    }

    /// Flushes it to the disk, gives it its name by `rename`, and flushes the folder.
    fn flush_and(&self, rename: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.sync_all()?;
        fail::fail_point!("config::file-aside");
        rename(&self.path, &self.real)?;
        // The new name is on the disk only when the folder is.
        File::open(folder(&self.real))?.sync_all()?;
        fail::fail_point!("config::file-written");
        Ok(())
    }

    /// Sets its mode, and the owner of the file that it replaces.
    fn set_access(&self, mode: u32) -> io::Result<()> {
        if let Ok(existing) = self.real.metadata() {
            let ours = self.file.metadata()?;
            if (existing.uid(), existing.gid()) != (ours.uid(), ours.gid()) {
                fchown(&self.file, Some(existing.uid()), Some(existing.gid()))?;
            }
        }
        self.file.set_permissions(Permissions::from_mode(mode))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After it is published, there is nothing to remove; and `drop` can't report an error.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Locks a new temporary file until it is closed; false: another process is removing it. Without locks in the file system: true.
fn lock(file: &File, path: &Path) -> io::Result<bool> {
    let is_taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let (own, found) = (file.metadata()?, path.symlink_metadata());
    let is_same = |found: Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
    Ok(!is_taken && found.is_ok_and(is_same))
}

/// Renames a temporary file to a name that must not exist: by a hard link, as a rename would replace a file with that name.
fn link(temporary: &Path, real: &Path) -> io::Result<()> {
    match std::fs::hard_link(temporary, real) {
        // Some file systems have no hard links.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists && real.symlink_metadata().is_err() => {
            std::fs::rename(temporary, real)
        }
        linked => linked.map(|()| drop(std::fs::remove_file(temporary))),
    }
}

/// The file to replace at this path, with all links resolved: a regular file, or one that does not exist yet. Anything else is an
/// error: a device, for example, would be lost to all its users.
fn replaceable(path: &Path) -> io::Result<PathBuf> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        other => other?,
    };
    let real = match path.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound && found.is_symlink() => {
            return refused("it is a link to nothing; remove it, or make what it leads to");
        }
        other => other?,
    };
    match real.metadata()?.is_file() {
        true => Ok(real),
        false => refused("it is no regular file, so it is not replaced; name another one"),
    }
}

/// A name for a temporary file that no other thread of this process uses; it has the process' id.
fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{next}", std::process::id())
}

/// The folder of a file.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/secret");
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let folder = path.parent().unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
        replace_unflushed(&path, b"three", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&pipe, dir.path()] {
            let why = read(path).unwrap_err().to_string();
            assert!(why.contains("no regular file"), "{why}");
            assert!(read_text(path).is_err());
        }
        let broken = dir.path().join("broken");
        std::fs::write(&broken, [0xff]).unwrap();
        let why = read_text(&broken).unwrap_err().to_string();
        assert!(why.contains("move it away"), "{why}");
        assert_eq!(
            read(&dir.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, socket, link) = (
            dir.path().join("f"),
            dir.path().join("s"),
            dir.path().join("l"),
        );
        std::fs::create_dir(&folder).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let why = |path: &Path| replace(path, b"x", 0o600).unwrap_err().to_string();
        for path in [
            &folder,
            &socket,
            Path::new("/dev/null"),
            Path::new("/proc/self/fd"),
        ] {
            assert!(
                why(path).contains("no regular file"),
                "{}: {}",
                path.display(),
                why(path)
            );
        }
        assert!(why(&link).contains("a link to nothing"), "{}", why(&link));
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_has_come_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut file = AtomicFile::new(&path).unwrap();
        file.write(b"ours").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        let error = file.publish_new(0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        std::fs::remove_file(&path).unwrap();
        create(&path, b"ours", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ours");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// After a run was killed while it wrote to a shared folder, as `/tmp`, the next one there removes its temporary file.
    #[test]
    fn what_a_killed_run_left_goes_with_the_next_one_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{TEMPORARY}{name}"));
        let stay = ["1", "x1y2z3", "-1", "1-", "1-x", "1-2-3"];
        for name in stay.iter().chain(&["1-0", "4294967295-7"]) {
            std::fs::write(path(name), "secret").unwrap();
        }
        std::os::unix::fs::symlink("/", path("1-1")).unwrap();
        std::fs::create_dir(path("1-2")).unwrap();
        std::fs::write(path("1-3"), "theirs").unwrap();
        let is_foreign = std::os::unix::fs::chown(path("1-3"), Some(4321), None).is_ok();
        let mut active = AtomicFile::new(&dir.path().join("a")).unwrap();
        let exists = |name: &str| path(name).symlink_metadata().is_ok();
        assert!(!exists("1-0") && !exists("4294967295-7"));
        assert!(stay.iter().chain(&["1-1", "1-2"]).all(|name| exists(name)));
        assert_eq!(exists("1-3"), is_foreign);
        // A temporary file that is being written stays, even when another run locks the folder.
        replace(&dir.path().join("b"), b"b", 0o600).unwrap();
        drop(lock_folder(dir.path()).unwrap());
        active.write(b"a").unwrap();
        active.publish(0o600).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"a");
    }

    #[test]
    fn a_link_stays_one_and_what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = AtomicFile::new(&link).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&real).unwrap(), b"old");
        replace(&link, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
