//! A person's own kubeconfig as a file: the cluster's entries come and go, all else stays.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubitect_config::file;
use kubitect_config::value::Label;

use crate::{Error, kubeconfig, workdir};

/// An error if what is known of a cluster beforehand says that it could not be merged into the kubeconfig at `path`.
/// `server` is where the cluster will be reached, if that is known.
pub fn check(path: &Path, cluster: &Label, server: Option<&str>) -> Result<(), Error> {
    let existing = read_if_there(path)?;
    kubeconfig::check(existing.as_deref(), cluster, server).map_err(merging(path))
}

/// Puts the cluster of this name, whose own kubeconfig is `ours`, into the one at `path`, without losing what is there.
pub fn merge(path: &Path, cluster: &Label, ours: &str) -> Result<(), Error> {
    let _lock = lock(path)?;
    let existing = read_if_there(path)?;
    let merged = kubeconfig::merge(existing.as_deref(), cluster, ours).map_err(merging(path))?;
    match existing.as_ref() == Some(&merged) {
        true => Ok(()),
        false => workdir::write(path, merged.as_bytes(), 0o600),
    }
}

/// The file that the cluster of this name, whose own kubeconfig is `ours`, comes into where `KUBECONFIG` lists files: as kubectl
/// chooses one, that which has the cluster, else the first that is there, else the last. None, where it lists none. An error if one of
/// them has another cluster of this name: kubectl would take one for the other.
pub fn of_list(list: &OsStr, cluster: &Label, ours: &str) -> Result<Option<PathBuf>, Error> {
    let files = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
    let (mut first, mut last) = (None, None);
    for path in files {
        if let Some(existing) = read_if_there(&path)? {
            kubeconfig::merge(Some(&existing), cluster, ours).map_err(merging(&path))?;
            if kubeconfig::remove(&existing, cluster, ours)?.is_some() {
                return Ok(Some(path));
            }
            first.get_or_insert_with(|| path.clone());
        }
        last = Some(path);
    }
    Ok(first.or(last))
}

/// Writes the kubeconfig `ours` of the cluster of this name to a file of its own, for its owner alone. Of what is there, only an
/// earlier one of the same cluster is replaced, or a file with nothing in it.
pub fn export(path: &Path, cluster: &Label, ours: &str) -> Result<(), Error> {
    let taken = |why: &str| {
        Error::failed(format!(
            "write the kubeconfig to {}: {why}; name another file, or use --merge, which puts the cluster into your kubeconfig beside \
             what is there",
            path.display()
        ))
    };
    if path.symlink_metadata().is_ok() && !path.is_file() {
        return Err(taken(
            "it is there, and no regular file (`--out -` prints it)",
        ));
    }
    let there = match file::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Whoever put a file there meanwhile would own what is written over it.
            return file::create(path, ours.as_bytes(), 0o600).map_err(Error::file("write", path));
        }
        other => other.map_err(Error::file("read", path))?,
    };
    let is_own = |text| kubeconfig::holds_only(text, cluster, ours);
    if !there.is_empty() && !str::from_utf8(&there).is_ok_and(is_own) {
        return Err(taken("it holds something else already"));
    }
    workdir::write(path, ours.as_bytes(), 0o600)
}

/// Whether [`merge`] would change the kubeconfig at `path`.
pub fn merge_changes(path: &Path, cluster: &Label, ours: &str) -> bool {
    let merged = read_if_there(path).map(|existing| {
        let merged = kubeconfig::merge(existing.as_deref(), cluster, ours);
        (existing, merged)
    });
    // What can't be merged is a failure when its turn comes.
    matches!(merged, Ok((existing, Ok(merged))) if existing.as_ref() != Some(&merged))
}

fn merging(path: &Path) -> impl Fn(Error) -> Error {
    move |e| Error::because(format!("merge the kubeconfig into {}", path.display()), e)
}

/// Takes the cluster of this name, whose own kubeconfig is `ours`, out of the person's kubeconfig at `path`, if it is in it.
pub fn unmerge(path: &Path, cluster: &Label, ours: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let _lock = lock(path)?;
    let (Some(existing), Some(ours)) = (read_if_there(path)?, read_if_there(ours)?) else {
        return Ok(());
    };
    let without = kubeconfig::remove(&existing, cluster, &ours)
        .map_err(|e| Error::because(format!("take the cluster out of {}", path.display()), e))?;
    match without {
        Some(text) => workdir::write(path, text.as_bytes(), 0o600),
        None => Ok(()),
    }
}

/// Whether the kubeconfig at `path` has the cluster whose own kubeconfig is `ours`.
pub fn has(path: &Path, cluster: &Label, ours: &Path) -> bool {
    let (Ok(Some(existing)), Ok(Some(ours))) = (read_if_there(path), read_if_there(ours)) else {
        return false;
    };
    // One that can't be worked with is warned of when its turn comes.
    !matches!(kubeconfig::remove(&existing, cluster, &ours), Ok(None))
}

/// Removes the lock that a killed run left beside the kubeconfig at `path`, if there is one: nothing else may be left to change
/// in it.
pub fn forget_lock(path: &Path) -> Result<(), Error> {
    match is_ours(&lock_of(path)) {
        true => lock(path).map(drop),
        false => Ok(()),
    }
}

/// Where kubectl's lock of the kubeconfig at `path` is.
fn lock_of(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

fn is_ours(lock: &Path) -> bool {
    file::read(lock).is_ok_and(|text| text == MARK)
}

/// How long kubectl may hold its lock.
const KUBECTL: Duration = Duration::from_secs(10);
/// What is in a lock of ours; kubectl's is empty.
const MARK: &[u8] = b"kubitect\n";

/// kubectl's own lock on a kubeconfig: a file beside it that is there while somebody changes it.
struct KubectlLock(PathBuf);

impl KubectlLock {
    /// Takes it. Whoever asks holds the folder's lock: another lock of ours is what a killed run left.
    fn take(path: &Path) -> Result<Self, Error> {
        let lock = lock_of(path);
        let started = Instant::now();
        loop {
            let made = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&lock);
            match made.and_then(|mut file| file.write_all(MARK)) {
                Ok(()) => return Ok(Self(lock)),
                Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::file("write", &lock)(e));
                }
                Err(_) => {}
            }
            if is_ours(&lock) {
                std::fs::remove_file(&lock).map_err(Error::file("remove", &lock))?;
            } else if started.elapsed() >= KUBECTL {
                return Err(Error::failed(format!(
                    "change {}: kubectl holds {}; if no kubectl runs, remove that file",
                    path.display(),
                    lock.display()
                )));
            } else {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

impl Drop for KubectlLock {
    fn drop(&mut self) {
        // Nobody to tell; the next run of ours removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Keeps runs of other clusters, and kubectl, from changing this file, whose folder is made if need be.
fn lock(path: &Path) -> Result<(KubectlLock, File), Error> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    file::private_folder(folder).map_err(Error::file("create", folder))?;
    let locked = file::lock_folder(folder).map_err(Error::file("lock", folder));
    let folder = locked.map_err(|e| Error::because(format!("change {}", path.display()), e))?;
    // Where kubectl puts it: beside the path that it was given, be that a link or not.
    Ok((KubectlLock::take(path)?, folder))
}

/// A file's text; nothing if there is no file.
pub fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match kubitect_config::file::read_text(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(Error::file("read", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::chain;

    const OURS: &str = "\
current-context: demo
clusters: [{name: demo, cluster: {server: 'https://10.7.0.1:6443', certificate-authority-data: Q0E=}}]
contexts: [{name: demo, context: {cluster: demo, user: demo}}]
users: [{name: demo, user: {token: t}}]
";

    fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn what_stands_in_the_way_is_known_beforehand_and_nothing_is_written() {
        let name = "demo".parse().unwrap();
        let server = Some("https://10.7.0.1:6443");
        let (_folder, path) = config(OURS);
        check(&path, &name, server).unwrap();
        let error = check(&path, &name, Some("https://10.7.0.2:6443")).unwrap_err();
        assert!(chain(&error).contains("delete-cluster demo"), "{error}");
        // An address that is yet to be leased can't be compared.
        check(&path, &name, None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), OURS);
        // Who else's context and user these are needs no address.
        let theirs = OURS.replace("clusters: [{name: demo", "clusters: [{name: prod");
        std::fs::write(&path, &theirs).unwrap();
        for server in [None, server] {
            let error = check(&path, &name, server).unwrap_err();
            assert!(chain(&error).contains("delete-user demo"), "{error}");
        }
        let (_ours, cluster) = config(OURS);
        assert!(merge(&path, &name, OURS).is_err());
        unmerge(&path, &name, &cluster).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), theirs);
        for broken in ["[1]", "kind: Secret", "clusters: 5"] {
            std::fs::write(&path, broken).unwrap();
            assert!(check(&path, &name, None).is_err(), "{broken}");
        }
        std::fs::remove_file(&path).unwrap();
        check(&path, &name, server).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn kubectls_lock_is_taken_and_what_a_killed_run_left_of_it_goes() {
        let name: Label = "demo".parse().unwrap();
        let (folder, path) = config("");
        let lock = folder.path().join("config.lock");
        std::fs::write(&lock, MARK).unwrap();
        merge(&path, &name, OURS).unwrap();
        assert!(!lock.exists());
        for (text, stays) in [(MARK, false), (b"".as_slice(), true)] {
            std::fs::write(&lock, text).unwrap();
            forget_lock(&path).unwrap();
            assert_eq!(lock.exists(), stays);
        }
        std::fs::remove_file(&lock).unwrap();
        // kubectl's own, which it removes after a while.
        std::fs::write(&lock, "").unwrap();
        let kubectl = std::thread::spawn({
            let lock = lock.clone();
            move || {
                std::thread::sleep(Duration::from_millis(300));
                std::fs::write(lock.with_file_name("seen"), "").unwrap();
                std::fs::remove_file(lock).unwrap();
            }
        });
        merge(&path, &name, &OURS.replace("token: t", "token: u")).unwrap();
        assert!(folder.path().join("seen").exists(), "it was waited for");
        kubectl.join().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("token: u"));
    }

    #[test]
    fn of_several_kubeconfigs_one_is_chosen_as_kubectl_does() {
        let name: Label = "demo".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let choose = |names: &[&str]| {
            let paths = names.iter().map(|name| match *name {
                "" => PathBuf::new(),
                name => path(name),
            });
            let list = std::env::join_paths(paths).unwrap();
            let chosen = of_list(&list, &name, OURS);
            chosen.map(|path| path.map(|path| path.file_name().unwrap().to_owned()))
        };
        let is = |names: &[&str], wanted: Option<&str>| {
            assert_eq!(choose(names).unwrap(), wanted.map(Into::into), "{names:?}");
        };
        is(&[""], None);
        is(&["a", "b", ""], Some("b"));
        std::fs::write(path("work"), "kind: Config\n").unwrap();
        is(&["a", "work", "b"], Some("work"));
        std::fs::write(path("own"), OURS).unwrap();
        is(&["work", "own"], Some("own"));
        std::fs::write(
            path("other"),
            OURS.replace("10.7.0.1", "10.9.9.9").replace("Q0E=", "eA=="),
        )
        .unwrap();
        let error = choose(&["work", "other"]).unwrap_err();
        assert!(chain(&error).contains("/other"), "{}", chain(&error));
    }

    #[test]
    fn an_export_replaces_nothing_but_an_earlier_one_of_the_same_cluster() {
        let name: Label = "demo".parse().unwrap();
        let both = OURS.replace(
            "clusters: [",
            "clusters: [{name: work, cluster: {server: s}}, ",
        );
        let other = OURS.replace("10.7.0.1", "10.9.9.9").replace("Q0E=", "eA==");
        for text in [&both, &other, "anything", "kind: Secret", "\u{0}"] {
            let (_folder, path) = config(text);
            let error = export(&path, &name, OURS).unwrap_err();
            assert!(error.to_string().contains("--merge"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), *text);
        }
        // Renewed, it has another key.
        for text in ["", OURS, &OURS.replace("token: t", "token: older")] {
            let (_folder, path) = config(text);
            export(&path, &name, OURS).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), OURS);
        }
        let (folder, _) = config("");
        let (pipe, link, new) = (
            folder.path().join("p"),
            folder.path().join("l"),
            folder.path().join("n"),
        );
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [&pipe, &link, Path::new("/dev/null"), folder.path()] {
            let before = path.symlink_metadata().unwrap().file_type();
            let error = export(path, &name, OURS).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{error}");
            assert_eq!(path.symlink_metadata().unwrap().file_type(), before);
        }
        export(&new, &name, OURS).unwrap();
        assert_eq!(std::fs::read_to_string(&new).unwrap(), OURS);
    }

    #[test]
    fn merging_again_writes_nothing() {
        use std::os::unix::fs::MetadataExt;
        let name = "demo".parse().unwrap();
        let (_folder, path) = config("");
        merge(&path, &name, OURS).unwrap();
        let inode = path.metadata().unwrap().ino();
        merge(&path, &name, OURS).unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        merge(&path, &name, &OURS.replace("token: t", "token: u")).unwrap();
        assert_ne!(path.metadata().unwrap().ino(), inode);
    }
}
