//! The keys of a cluster on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::ssh::{Keys, MachineKeys};
use crate::testing::cluster;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// All files below a folder with their content, without the folder's own name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(super::keys::files(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn keys_are_made_once_and_closed_to_others() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("config/.ssh");
    let cluster = cluster();
    let keys = Keys::ensure(&folder, &cluster, None).unwrap();
    let before = files(&folder);
    assert_eq!(before.len(), 2 + 2 * cluster.nodes.len() + 1);
    assert_eq!((mode(&folder), mode(&folder.join("hosts"))), (0o700, 0o700));
    for (path, _) in &before {
        assert_eq!(
            mode(Path::new(path)),
            if path.ends_with(".pub") { 0o644 } else { 0o600 },
            "{path}"
        );
    }
    let again = Keys::ensure(&folder, &cluster, None).unwrap();
    assert_eq!(before, files(&folder));
    let name = &cluster.nodes[0].name;
    assert_eq!(keys.machine(name), again.machine(name));
    assert_ne!(
        keys.host_key_line(name),
        keys.host_key_line(&cluster.nodes[1].name)
    );
}

#[test]
fn keys_that_are_lost_are_not_made_anew_unasked() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let cluster = cluster();
    let name = &cluster.nodes[0].name;
    assert!(Keys::read_all(&folder, &cluster, None).unwrap().is_none());
    assert!(!folder.exists());
    let made = Keys::ensure(&folder, &cluster, None).unwrap();
    let before = files(&folder);
    let read = Keys::read_all(&folder, &cluster, None).unwrap().unwrap();
    assert_eq!(read.machine(name), made.machine(name));
    assert_eq!(files(&folder), before);
    std::fs::remove_file(folder.join("hosts").join(name.as_str())).unwrap();
    assert!(Keys::read_all(&folder, &cluster, None).unwrap().is_none());
    assert_eq!(files(&folder).len(), before.len() - 1);
}

#[test]
fn no_private_key_is_ever_shown() {
    let home = tempfile::tempdir().unwrap();
    let cluster = cluster();
    let keys = Keys::ensure(home.path(), &cluster, None).unwrap();
    let machine = keys.machine(&cluster.nodes[0].name).unwrap();
    let shown = format!("{keys:?} {machine:?}");
    assert!(machine.host_private.contains("PRIVATE KEY"));
    assert!(
        !shown.contains("PRIVATE KEY") && !shown.contains(&machine.host_private),
        "{shown}"
    );
    assert!(!MachineKeys::placeholder().host_private.contains("BEGIN"));
}

#[test]
fn openssh_reads_what_we_write() {
    let home = tempfile::tempdir().unwrap();
    let cluster = cluster();
    let keys = Keys::ensure(home.path(), &cluster, None).unwrap();
    let node = &cluster.nodes[0];
    let keygen = |args: &[&str]| {
        let output = Command::new("ssh-keygen")
            .args(args)
            .output()
            .expect("ssh-keygen (openssh-client) is needed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let private = keys.private_key_path().to_str().unwrap();
    let public = keygen(&["-y", "-f", private]);
    assert!(
        public.starts_with(&keys.machine(&node.name).unwrap().authorized),
        "{public}"
    );
    let known_hosts = keys.known_hosts_path();
    for host in [node.ip.unwrap().to_string(), node.name.to_string()] {
        let found = keygen(&["-F", &host, "-f", known_hosts.to_str().unwrap()]);
        assert!(
            found.contains(&keys.host_key_line(&node.name).unwrap()),
            "{found}"
        );
    }
}

#[test]
fn a_lost_public_half_is_written_again_and_a_broken_key_is_never_replaced() {
    let home = tempfile::tempdir().unwrap();
    let cluster = cluster();
    Keys::ensure(home.path(), &cluster, None).unwrap();
    let before = files(home.path());
    std::fs::remove_file(home.path().join("id_ed25519.pub")).unwrap();
    Keys::ensure(home.path(), &cluster, None).unwrap();
    assert_eq!(before, files(home.path()));
    let host = home
        .path()
        .join("hosts")
        .join(cluster.nodes[1].name.as_str());
    std::fs::write(&host, "not a key").unwrap();
    let error = Keys::ensure(home.path(), &cluster, None).unwrap_err();
    assert!(
        matches!(&error, Error::Key { path, .. } if *path == host),
        "{error:?}"
    );
    assert_eq!(std::fs::read(&host).unwrap(), b"not a key");
}

#[test]
fn the_clusters_own_key_is_used_and_must_be_private_and_open() {
    let home = tempfile::tempdir().unwrap();
    let cluster = cluster();
    let own = home.path().join("mine");
    let keygen = |passphrase: &str| {
        let _ = std::fs::remove_file(&own);
        let output = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
            .arg(&own)
            .output()
            .expect("ssh-keygen (openssh-client) is needed");
        assert!(output.status.success(), "{output:?}");
    };
    let ensure = || Keys::ensure(&home.path().join("ssh"), &cluster, Some(&own));
    keygen("");
    let keys = ensure().unwrap();
    assert_eq!(keys.private_key_path(), own);
    assert!(!home.path().join("ssh/id_ed25519").exists());
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ensure().unwrap_err().to_string().contains("chmod 600"));
    keygen("secret words");
    assert!(ensure().unwrap_err().to_string().contains("passphrase"));
    std::fs::remove_file(&own).unwrap();
    assert!(
        ensure()
            .unwrap_err()
            .to_string()
            .contains("it can't be read")
    );
}

#[test]
fn modes_that_are_too_wide_are_repaired_and_a_broken_key_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let cluster = cluster();
    Keys::ensure(&folder, &cluster, None).unwrap();
    let host = folder.join("hosts").join(cluster.nodes[0].name.as_str());
    for path in [&host, &folder.join("id_ed25519")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        Keys::ensure(&folder, &cluster, None).unwrap();
        assert_eq!(mode(path), 0o600);
    }
    std::fs::write(&host, "no key").unwrap();
    for result in [
        Keys::read_all(&folder, &cluster, None).map(drop),
        Keys::ensure(&folder, &cluster, None).map(drop),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("remove it, and the next `apply` brings it back"),
            "{error}"
        );
    }
}

#[test]
fn keys_of_machines_that_are_gone_go_and_a_new_one_gets_another() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let mut cluster = cluster();
    let keys = Keys::ensure(&folder, &cluster, None).unwrap();
    let gone = cluster.nodes.pop().unwrap();
    let before = keys.host_key_line(&gone.name);
    crate::ssh::remove_other_host_keys(&folder, &cluster).unwrap();
    assert!(!folder.join("hosts").join(gone.name.as_str()).exists());
    let other = Keys::ensure(&folder, &cluster, None).unwrap();
    let first = &cluster.nodes[0].name;
    assert_eq!(other.host_key_line(first), keys.host_key_line(first));
    cluster.nodes.push(gone.clone());
    let again = Keys::ensure(&folder, &cluster, None).unwrap();
    assert_ne!(again.host_key_line(&gone.name), before);
}
