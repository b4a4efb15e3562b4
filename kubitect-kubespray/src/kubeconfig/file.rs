//! The user's kubeconfig as a file: adds and removes a cluster's entries, and keeps all others.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubitect_config::file;
use kubitect_config::value::Label;

use crate::{Error, kubeconfig, workdir};

/// An error if it is already clear, before the cluster exists, that it can't be merged into the kubeconfig at `path`. `server` is
/// the cluster's address, if it is known.
pub fn check(path: &Path, cluster: &Label, server: Option<&str>) -> Result<(), Error> {
    let existing = read_optional(path)?;
    kubeconfig::check(existing.as_deref(), cluster, server).map_err(in_merge(path))
}

/// Merges a cluster, whose own kubeconfig is `conf`, into the kubeconfig at `path`. All other entries stay.
pub fn merge(path: &Path, cluster: &Label, conf: &str) -> Result<(), Error> {
    let _lock = lock(path)?;
    let existing = read_optional(path)?;
    let merged = kubeconfig::merge(existing.as_deref(), cluster, conf).map_err(in_merge(path))?;
    match existing.as_ref() == Some(&merged) {
        true => Ok(()),
        false => workdir::write(path, merged.as_bytes(), 0o600),
    }
}

/// Chooses the file of `list`, the value of `KUBECONFIG`, into which a cluster is merged, as kubectl does: the one that has the
/// cluster, else the first that exists, else the last. `None` if the list is empty. An error if a file has another cluster of
/// this name, because kubectl would mix up the two.
pub fn choose(list: &OsStr, cluster: &Label, conf: &str) -> Result<Option<PathBuf>, Error> {
    let files = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
    let (mut first, mut last) = (None, None);
    for path in files {
        if let Some(existing) = read_optional(&path)? {
            kubeconfig::merge(Some(&existing), cluster, conf).map_err(in_merge(&path))?;
            if kubeconfig::remove(&existing, cluster, conf)?.is_some() {
                return Ok(Some(path));
            }
            first.get_or_insert_with(|| path.clone());
        }
        last = Some(path);
    }
    Ok(first.or(last))
}

/// Writes `conf`, the cluster's own kubeconfig, to a file that only its owner can read. Of existing files, only an empty one or
/// an earlier kubeconfig of the same cluster is replaced.
pub fn export(path: &Path, cluster: &Label, conf: &str) -> Result<(), Error> {
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
    let existing = match file::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Created, not replaced: a file that another user has put there meanwhile would give that user the secrets.
            return file::create(path, conf.as_bytes(), 0o600).map_err(Error::file("write", path));
        }
        other => other.map_err(Error::file("read", path))?,
    };
    let is_own = |text| kubeconfig::holds_only(text, cluster, conf);
    if !existing.is_empty() && !str::from_utf8(&existing).is_ok_and(is_own) {
        return Err(taken("it holds something else already"));
    }
    workdir::write(path, conf.as_bytes(), 0o600)
}

/// Whether [`merge`] would change the kubeconfig at `path`.
pub fn merge_would_change(path: &Path, cluster: &Label, conf: &str) -> bool {
    let merged = read_optional(path).map(|existing| {
        let merged = kubeconfig::merge(existing.as_deref(), cluster, conf);
        (existing, merged)
    });
    // An error is reported by the merge itself.
    matches!(merged, Ok((existing, Ok(merged))) if existing.as_ref() != Some(&merged))
}

/// For `map_err`: an error within a merge into this file.
fn in_merge(path: &Path) -> impl Fn(Error) -> Error {
    move |e| Error::because(format!("merge the kubeconfig into {}", path.display()), e)
}

/// Removes a cluster's entries from the user's kubeconfig at `path`, if it has them; `conf` is the file of the cluster's own
/// kubeconfig.
pub fn unmerge(path: &Path, cluster: &Label, conf: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let _lock = lock(path)?;
    let (Some(existing), Some(conf)) = (read_optional(path)?, read_optional(conf)?) else {
        return Ok(());
    };
    let without = kubeconfig::remove(&existing, cluster, &conf)
        .map_err(|e| Error::because(format!("take the cluster out of {}", path.display()), e))?;
    match without {
        Some(text) => workdir::write(path, text.as_bytes(), 0o600),
        None => Ok(()),
    }
}

/// Whether the kubeconfig at `path` has the cluster whose own kubeconfig is the file `conf`.
pub fn contains(path: &Path, cluster: &Label, conf: &Path) -> bool {
    let (Ok(Some(existing)), Ok(Some(conf))) = (read_optional(path), read_optional(conf)) else {
        return false;
    };
    // One that can't be read counts as having it: then the removal itself reports the error.
    !matches!(kubeconfig::remove(&existing, cluster, &conf), Ok(None))
}

/// Removes the lock that a killed run left beside the kubeconfig at `path`, if there is one, for a caller that has nothing to
/// change in the kubeconfig: [`merge`] and [`unmerge`] would remove it themselves.
pub fn remove_stale_lock(path: &Path) -> Result<(), Error> {
    match is_ours(&lock_of(path)) {
        true => lock(path).map(drop),
        false => Ok(()),
    }
}

/// The path of kubectl's lock for the kubeconfig at `path`.
fn lock_of(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

/// Whether Kubitect made this lock.
fn is_ours(lock: &Path) -> bool {
    file::read(lock).is_ok_and(|text| text == MARK)
}

/// How long to wait for kubectl to release its lock.
const KUBECTL_LOCK_LIMIT: Duration = Duration::from_secs(10);
/// The content of a lock that Kubitect made; kubectl's is empty.
const MARK: &[u8] = b"kubitect\n";

/// kubectl's own lock on a kubeconfig: a file beside it that exists while the kubeconfig is changed. It is removed when this is
/// dropped.
struct KubectlLock(PathBuf);

impl KubectlLock {
    /// Takes the lock. The caller holds the folder's lock, so a lock that Kubitect made was left by a killed run, and is replaced.
    fn take(path: &Path) -> Result<Self, Error> {
        let lock = lock_of(path);
        let started = Instant::now();
        loop {
            let created = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&lock);
            match created.and_then(|mut file| file.write_all(MARK)) {
                Ok(()) => return Ok(Self(lock)),
                Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::file("write", &lock)(e));
                }
                Err(_) => {}
            }
            if is_ours(&lock) {
                std::fs::remove_file(&lock).map_err(Error::file("remove", &lock))?;
            } else if started.elapsed() >= KUBECTL_LOCK_LIMIT {
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
        // An error has no effect: the next run removes the lock.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Locks a kubeconfig against runs of other clusters and against kubectl; creates its folder if necessary.
fn lock(path: &Path) -> Result<(KubectlLock, File), Error> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    file::private_folder(folder).map_err(Error::file("create", folder))?;
    let locked = file::lock_folder(folder).map_err(Error::file("lock", folder));
    let folder = locked.map_err(|e| Error::because(format!("change {}", path.display()), e))?;
    // kubectl makes its lock beside the path that it was given, even if that is a link.
    Ok((KubectlLock::take(path)?, folder))
}

/// A file's text; `None` if there is no file.
pub fn read_optional(path: &Path) -> Result<Option<String>, Error> {
    match kubitect_config::file::read_text(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(Error::file("read", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::chain;

    const CONF: &str = "\
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
        let (_folder, path) = config(CONF);
        check(&path, &name, server).unwrap();
        let error = check(&path, &name, Some("https://10.7.0.2:6443")).unwrap_err();
        assert!(chain(&error).contains("delete-cluster demo"), "{error}");
        // An address that is not leased yet can't be compared.
        check(&path, &name, None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), CONF);
        // A context and a user of another cluster are found without an address.
        let theirs = CONF.replace("clusters: [{name: demo", "clusters: [{name: prod");
        std::fs::write(&path, &theirs).unwrap();
        for server in [None, server] {
            let error = check(&path, &name, server).unwrap_err();
            assert!(chain(&error).contains("delete-user demo"), "{error}");
        }
        let (_cluster_folder, cluster) = config(CONF);
        assert!(merge(&path, &name, CONF).is_err());
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
        merge(&path, &name, CONF).unwrap();
        assert!(!lock.exists());
        for (text, stays) in [(MARK, false), (b"".as_slice(), true)] {
            std::fs::write(&lock, text).unwrap();
            remove_stale_lock(&path).unwrap();
            assert_eq!(lock.exists(), stays);
        }
        std::fs::remove_file(&lock).unwrap();
        // kubectl's own lock, which it removes after a while.
        std::fs::write(&lock, "").unwrap();
        let kubectl = std::thread::spawn({
            let lock = lock.clone();
            move || {
                std::thread::sleep(Duration::from_millis(300));
                std::fs::write(lock.with_file_name("seen"), "").unwrap();
                std::fs::remove_file(lock).unwrap();
            }
        });
        merge(&path, &name, &CONF.replace("token: t", "token: u")).unwrap();
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
            let chosen = choose(&list, &name, CONF);
            chosen.map(|path| path.map(|path| path.file_name().unwrap().to_owned()))
        };
        let is = |names: &[&str], wanted: Option<&str>| {
            assert_eq!(choose(names).unwrap(), wanted.map(Into::into), "{names:?}");
        };
        is(&[""], None);
        is(&["a", "b", ""], Some("b"));
        std::fs::write(path("work"), "kind: Config\n").unwrap();
        is(&["a", "work", "b"], Some("work"));
        std::fs::write(path("own"), CONF).unwrap();
        is(&["work", "own"], Some("own"));
        std::fs::write(
            path("other"),
            CONF.replace("10.7.0.1", "10.9.9.9").replace("Q0E=", "eA=="),
        )
        .unwrap();
        let error = choose(&["work", "other"]).unwrap_err();
        assert!(chain(&error).contains("/other"), "{}", chain(&error));
    }

    #[test]
    fn an_export_replaces_nothing_but_an_earlier_one_of_the_same_cluster() {
        let name: Label = "demo".parse().unwrap();
        let both = CONF.replace(
            "clusters: [",
            "clusters: [{name: work, cluster: {server: s}}, ",
        );
        let other = CONF.replace("10.7.0.1", "10.9.9.9").replace("Q0E=", "eA==");
        for text in [&both, &other, "anything", "kind: Secret", "\u{0}"] {
            let (_folder, path) = config(text);
            let error = export(&path, &name, CONF).unwrap_err();
            assert!(error.to_string().contains("--merge"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), *text);
        }
        // A renewed kubeconfig has another token.
        for text in ["", CONF, &CONF.replace("token: t", "token: older")] {
            let (_folder, path) = config(text);
            export(&path, &name, CONF).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), CONF);
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
            let error = export(path, &name, CONF).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{error}");
            assert_eq!(path.symlink_metadata().unwrap().file_type(), before);
        }
        export(&new, &name, CONF).unwrap();
        assert_eq!(std::fs::read_to_string(&new).unwrap(), CONF);
    }

    #[test]
    fn merging_again_writes_nothing() {
        use std::os::unix::fs::MetadataExt;
        let name = "demo".parse().unwrap();
        let (_folder, path) = config("");
        merge(&path, &name, CONF).unwrap();
        let inode = path.metadata().unwrap().ino();
        merge(&path, &name, CONF).unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        merge(&path, &name, &CONF.replace("token: t", "token: u")).unwrap();
        assert_ne!(path.metadata().unwrap().ino(), inode);
    }
}
