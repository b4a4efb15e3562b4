//! [`Aside`]: a file replaced whole or not at all: written aside, flushed, renamed.

use std::fs::{DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How the names of files begin that are written aside, in the folder of what they are to replace. Who is alone there removes what
/// killed runs left, and so does who writes there next, of its own files.
pub const ASIDE: &str = ".kubitect-new-";

/// What a regular file holds. What else may be there, as a pipe that nobody writes to, is an error and is not waited for.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    std::fs::read(path)
}

/// As [`read`], of a text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        let why = "it is broken: it is no text; mend it, or move it away";
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

/// An error if something else than a regular file is there.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file; move it away",
        )),
    }
}

/// Replaces a file whole, in a folder that is made if need be. A link stays one, and a file keeps its owner: it may be the
/// person's own, and we root. It is never readable by more than `mode` says.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = Aside::new(path)?;
    aside.write(content)?;
    aside.publish(mode)
}

/// Makes a file whole, in a folder that is made if need be: never over one that somebody else has put there meanwhile.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = Aside::new(path)?;
    aside.write(content)?;
    aside.publish_new(mode)
}

/// As [`replace`], but not flushed to the disk: for what can be made again from what is. After a loss of power the file may be
/// empty.
pub fn replace_unflushed(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = Aside::begin(replaceable(path)?)?;
    aside.write(content)?;
    aside.settle(mode)?;
    std::fs::rename(&aside.path, &aside.real)
}

/// Makes a folder, and those above it, for the owner only (0700). One that exists stays as it is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How long another run may hold a folder.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Keeps other runs from changing files in a folder of the person's own, until it is dropped, and removes what killed ones
/// left there. The folder itself is locked, so no lock file stays behind.
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
        remove_aside(&entry?)?;
    }
    Ok(file)
}

/// Removes this file if it is one that was written aside, and nobody is at it. Whoever asks is alone in its folder.
pub fn remove_aside(entry: &DirEntry) -> io::Result<()> {
    let is_aside = entry.file_name().to_string_lossy().starts_with(ASIDE)
        && entry.file_type().is_ok_and(|kind| kind.is_file());
    if !is_aside {
        return Ok(());
    }
    // Whoever writes it holds it; held here, nobody takes it for a new one of theirs.
    let file = File::open(entry.path());
    match file.as_ref().map(File::try_lock) {
        Ok(Err(TryLockError::WouldBlock)) => Ok(()),
        _ => std::fs::remove_file(entry.path()),
    }
}

/// Removes what killed runs of this user left in a folder that nobody may be alone in, as `/tmp`.
fn remove_left(folder: &Path, user: u32) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Other names are of files that are written without being held, by whoever is alone there.
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
        let numbers = name.and_then(|name| name.split_once('-'));
        numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
            && (entry.metadata()).is_ok_and(|there| there.is_file() && there.uid() == user)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.filter(is_ours).map(|entry| entry.path()) {
        // Where nobody can tell whether somebody is at it, it stays.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// What is to replace a file whole, written piece by piece. Dropped before it is published, it leaves nothing.
#[derive(Debug)]
pub struct Aside {
    /// The file that it replaces, behind all links.
    real: PathBuf,
    path: PathBuf,
    file: File,
}

impl Aside {
    /// Begins to replace this file, whose folder is made if need be. What is there has to be a regular file, or a link to one.
    pub fn new(path: &Path) -> io::Result<Self> {
        let aside = Self::begin(replaceable(path)?)?;
        remove_left(folder(&aside.real), aside.file.metadata()?.uid());
        Ok(aside)
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
                Ok(file) if hold(&file, &path)? => return Ok(Self { real, path, file }),
                // Somebody took it for one that was left; or another process of this number left it.
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Adds a piece.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)
    }

    /// Puts it into the file's place.
    pub fn publish(self, mode: u32) -> io::Result<()> {
        self.settle(mode)?;
        self.put(|aside, real| std::fs::rename(aside, real))
    }

    /// Puts it where no file is; one that has come meanwhile stays, and is an error.
    pub fn publish_new(self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.put(link)
    }

    /// Puts it there in this way, flushed to the disk.
    fn put(&self, way: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.sync_all()?;
        fail::fail_point!("config::file-aside");
        way(&self.path, &self.real)?;
        // A new name is on the disk when its folder is.
        File::open(folder(&self.real))?.sync_all()?;
        fail::fail_point!("config::file-written");
        Ok(())
    }

    /// Gives it its mode, and the owner of the file that it replaces.
    fn settle(&self, mode: u32) -> io::Result<()> {
        if let Ok(existing) = self.real.metadata() {
            let ours = self.file.metadata()?;
            if (existing.uid(), existing.gid()) != (ours.uid(), ours.gid()) {
                fchown(&self.file, Some(existing.uid()), Some(existing.gid()))?;
            }
        }
        self.file.set_permissions(Permissions::from_mode(mode))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Published, it is there no more; else there is nobody to tell.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Says that somebody is at a file, for as long as it is open; false: it is being removed. Some file systems can't say it.
fn hold(file: &File, path: &Path) -> io::Result<bool> {
    let is_taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let (ours, there) = (file.metadata()?, path.symlink_metadata());
    let is_same = |there: Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
    Ok(!is_taken && there.is_ok_and(is_same))
}

/// Gives a file another name, at which none may be, and takes its own away, which a kill would leave behind.
fn link(aside: &Path, real: &Path) -> io::Result<()> {
    match std::fs::hard_link(aside, real) {
        // Some file systems know no second name.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists && real.symlink_metadata().is_err() => {
            std::fs::rename(aside, real)
        }
        linked => linked.map(|()| drop(std::fs::remove_file(aside))),
    }
}

/// The file that is replaced at this path, behind all links: a regular one, or none that is there yet. What else is there, as a
/// device, would be lost to all who use it.
fn replaceable(path: &Path) -> io::Result<PathBuf> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let there = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        other => other?,
    };
    let real = match path.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound && there.is_symlink() => {
            return refused("it is a link to nothing; remove it, or make what it leads to");
        }
        other => other?,
    };
    match real.metadata()?.is_file() {
        true => Ok(real),
        false => refused("it is no regular file, so it is not replaced; name another one"),
    }
}

/// A name that no other thread of this process uses, and hardly any other process.
fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{ASIDE}{}-{next}", std::process::id())
}

/// The folder that a file lies in.
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
        let mut aside = Aside::new(&path).unwrap();
        aside.write(b"ours").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        let error = aside.publish_new(0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        std::fs::remove_file(&path).unwrap();
        create(&path, b"ours", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ours");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// A run that was killed while it wrote where many do, as to `/tmp`: the next one there removes what it left.
    #[test]
    fn what_a_killed_run_left_goes_with_the_next_one_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{ASIDE}{name}"));
        let stay = ["1", "x1y2z3", "-1", "1-", "1-x", "1-2-3"];
        for name in stay.iter().chain(&["1-0", "4294967295-7"]) {
            std::fs::write(path(name), "secret").unwrap();
        }
        std::os::unix::fs::symlink("/", path("1-1")).unwrap();
        std::fs::create_dir(path("1-2")).unwrap();
        std::fs::write(path("1-3"), "theirs").unwrap();
        let given = std::os::unix::fs::chown(path("1-3"), Some(4321), None).is_ok();
        let mut at_work = Aside::new(&dir.path().join("a")).unwrap();
        let left = |name: &str| path(name).symlink_metadata().is_ok();
        assert!(!left("1-0") && !left("4294967295-7"));
        assert!(stay.iter().chain(&["1-1", "1-2"]).all(|name| left(name)));
        assert_eq!(left("1-3"), given);
        // What is written now stays, whoever is alone in the folder.
        replace(&dir.path().join("b"), b"b", 0o600).unwrap();
        drop(lock_folder(dir.path()).unwrap());
        at_work.write(b"a").unwrap();
        at_work.publish(0o600).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"a");
    }

    #[test]
    fn a_link_stays_one_and_what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut aside = Aside::new(&link).unwrap();
        aside.write(b"half").unwrap();
        drop(aside);
        assert_eq!(std::fs::read(&real).unwrap(), b"old");
        replace(&link, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
