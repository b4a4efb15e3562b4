//! The person's own kubeconfig: the cluster's entries come and go, all else stays.

use std::fs::File;
use std::path::{Path, PathBuf};

use kubitect_config::value::Label;
use kubitect_kubespray::kubeconfig;
use kubitect_provision::file;

use crate::failure::Failure;
use crate::home::{self, write_whole};

/// Where the person's kubeconfig lies.
pub fn path() -> Result<PathBuf, Failure> {
    Ok(home::user_home()?.join(".kube/config"))
}

/// An error if what is known of a cluster beforehand says that it could not be merged into the kubeconfig at `path`.
/// `server` is where the cluster will be reached, if that is known.
pub fn check(path: &Path, cluster: &Label, server: Option<&str>) -> Result<(), Failure> {
    let known = match server {
        Some(server) => serde_json::json!({"server": server}),
        None => serde_json::json!({}),
    };
    let ours = serde_json::json!({"clusters": [{"name": cluster, "cluster": known}]});
    // JSON is YAML.
    merged(path, &ours.to_string()).map(drop)
}

/// Puts the cluster whose own kubeconfig is `ours` into the one at `path`, without losing what is there.
pub fn merge(path: &Path, ours: &str) -> Result<(), Failure> {
    let _lock = lock(path)?;
    match merged(path, ours)? {
        Some(text) => write_whole(path, text.as_bytes(), 0o600),
        None => Ok(()),
    }
}

/// The kubeconfig at `path` with the cluster in it; nothing if it is in it already.
fn merged(path: &Path, ours: &str) -> Result<Option<String>, Failure> {
    let existing = read_if_there(path)?;
    let merged = kubeconfig::merge(existing.as_deref(), ours).map_err(|e| {
        Failure::because(format!("merge the kubeconfig into {}", path.display()), e)
    })?;
    Ok((existing.as_ref() != Some(&merged)).then_some(merged))
}

/// Takes the cluster, whose own kubeconfig is `ours`, out of the person's kubeconfig at `path`, if it is in it.
pub fn unmerge(path: &Path, ours: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let _lock = lock(path)?;
    let (Some(existing), Some(ours)) = (read_if_there(path)?, read_if_there(ours)?) else {
        return Ok(());
    };
    let without = kubeconfig::remove(&existing, &ours)
        .map_err(|e| Failure::because(format!("take the cluster out of {}", path.display()), e))?;
    match without {
        Some(text) => write_whole(path, text.as_bytes(), 0o600),
        None => Ok(()),
    }
}

/// Keeps runs of other clusters out of the folder of this file, which is made if need be.
fn lock(path: &Path) -> Result<File, Failure> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("/"));
    home::create_private_dir(folder)?;
    file::lock(folder).map_err(|e| Failure::because(format!("change {}", path.display()), e))
}

/// A file's text; nothing if there is no file.
pub fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(|e| Failure::io("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(error.to_string().contains("delete-cluster demo"), "{error}");
        // An address that is yet to be leased can't be compared.
        check(&path, &name, None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), OURS);
        // Who else's context and user these are needs no address.
        let theirs = OURS.replace("clusters: [{name: demo", "clusters: [{name: prod");
        std::fs::write(&path, &theirs).unwrap();
        for server in [None, server] {
            let error = check(&path, &name, server).unwrap_err();
            assert!(error.to_string().contains("delete-user demo"), "{error}");
        }
        let (_ours, cluster) = config(OURS);
        assert!(merge(&path, OURS).is_err());
        unmerge(&path, &cluster).unwrap();
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
    fn merging_again_writes_nothing() {
        use std::os::unix::fs::MetadataExt;
        let (_folder, path) = config("");
        merge(&path, OURS).unwrap();
        let inode = path.metadata().unwrap().ino();
        merge(&path, OURS).unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        merge(&path, &OURS.replace("token: t", "token: u")).unwrap();
        assert_ne!(path.metadata().unwrap().ino(), inode);
    }
}
