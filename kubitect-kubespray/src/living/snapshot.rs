//! Snapshots of etcd: saved on a master, fetched in pieces, and checked by their SHA-256.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::digest::hex;
use kubitect_config::file::{self, AtomicFile};
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Remote, chain};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::control::{self, Health, Snapshot};

/// A snapshot in a file of this machine. It contains every secret of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// The file, which only its owner can read.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// How long saving a snapshot may take, and fetching a piece of it.
const SNAPSHOT: Duration = Duration::from_secs(10 * 60);
/// The snapshot's file on the master until it is fetched. Its name is always the same, so that the next snapshot replaces the
/// file of a killed run.
const SAVED: &str = "/var/lib/kubitect/etcd-snapshot.db";
/// The size of a piece, in MiB.
const PIECE: u64 = 16;

/// How long fetching all pieces may take.
const FETCH: Duration = Duration::from_secs(2 * 60 * 60);
/// How much of this machine's disk has to stay free, in bytes.
const RESERVE: u64 = 256 << 20;

/// A new file name for a snapshot in this folder, by the present second. The folder is created if it is missing.
pub fn file_in(folder: &Path) -> Result<PathBuf, Error> {
    file::private_folder(folder).map_err(Error::file("create", folder))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let file_of = |second: u64| folder.join(format!("etcd-{second}.db"));
    let mut second = now.unwrap_or_default().as_secs();
    // A file that exists is not overwritten.
    while file_of(second).symlink_metadata().is_ok() {
        second += 1;
    }
    Ok(file_of(second))
}

/// The absolute path of a file that does not exist, in a folder that does; else an error.
pub fn new_file(file: &Path) -> Result<PathBuf, Error> {
    let file = std::path::absolute(file).map_err(Error::file("find", file))?;
    let failed = |why: &str| {
        let file = file.display();
        Err(Error::failed(format!("write a snapshot to {file}: {why}")))
    };
    if file.symlink_metadata().is_ok() {
        return failed("it is there already; name another file");
    }
    match file.parent().is_some_and(Path::is_dir) {
        true => Ok(file),
        false => failed("its folder is not there; make it, or name another file"),
    }
}

/// A connection to the first master of this cluster whose API serves, with its etcd; or why none does.
pub async fn serving_master(
    cluster: &Cluster,
    machines: &dyn Machines,
) -> Result<Arc<dyn Remote>, Error> {
    let mut why = Vec::new();
    let masters = cluster.role(Role::Master);
    // The first in the order of the file, so that it is the same one whenever it serves: a killed run's snapshot is replaced there.
    for answer in side_by_side(masters.map(|node| ask(machines, &node.name))).await {
        match answer {
            Ok(master) => return Ok(master),
            Err(reason) => why.push(reason),
        }
    }
    Err(Error::because(unserved(&cluster.name), why.join("; ")))
}

fn unserved(name: &Label) -> String {
    format!(
        "find a master of {name} that serves (`kubitect status {name}` says more, `kubitect start {name}` starts one that is stopped)"
    )
}

async fn ask(machines: &dyn Machines, name: &Label) -> Result<Arc<dyn Remote>, String> {
    let failed = |why: String| format!("{name}: {why}");
    let master = machines
        .connect(name)
        .await
        .map_err(|e| failed(chain(&*e)))?;
    match control::api_health(&master).await {
        Ok(Health::Healthy) => Ok(master),
        Ok(Health::Unhealthy(why)) => Err(failed(why)),
        Err(error) => Err(failed(chain(&error))),
    }
}

/// Saves a snapshot through a master that serves, and fetches it to this file, which only its owner can read. The master keeps no
/// copy.
pub async fn take(master: &Arc<dyn Remote>, file: PathBuf) -> Result<Taken, Error> {
    let failed = |e| Error::because("save a snapshot of etcd", e);
    let snapshot = control::save_snapshot(master, SAVED, SNAPSHOT)
        .await
        .map_err(failed)?;
    fail::fail_point!("kubespray::snapshot-saved");
    let fetched = fetch(master, &snapshot, &file).await;
    // Removed from the master even if fetching failed: it contains every secret of the cluster.
    control::discard_snapshot(master, SAVED)
        .await
        .map_err(failed)?;
    fetched?;
    Ok(Taken {
        file,
        bytes: snapshot.bytes,
        sha256: snapshot.sha256,
    })
}

/// Fetches a snapshot in pieces: it may be larger than the output that a command may have. Its size is only what a master says,
/// so the room on this machine's disk is checked first.
async fn fetch(master: &Arc<dyn Remote>, snapshot: &Snapshot, file: &Path) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(file);
    let fs = rustix::fs::statvfs(folder).map_err(|e| Error::file("look at", folder)(e.into()))?;
    if fs.f_bavail.saturating_mul(fs.f_frsize) < snapshot.bytes.saturating_add(RESERVE) {
        return Err(Error::failed(format!(
            "fetch the snapshot of etcd: its {} MiB leave less than {} MiB on the disk of {}; make room, and try again",
            snapshot.bytes >> 20,
            RESERVE >> 20,
            folder.display()
        )));
    }
    tokio::time::timeout(FETCH, fetch_pieces(master, snapshot, file))
        .await
        .unwrap_or_else(|_| {
            Err(Error::Slow {
                what: "fetch the snapshot of etcd".to_owned(),
                limit: FETCH,
                lines: String::new(),
            })
        })
}

async fn fetch_pieces(
    master: &Arc<dyn Remote>,
    snapshot: &Snapshot,
    file: &Path,
) -> Result<(), Error> {
    let mut aside = AtomicFile::new(file).map_err(Error::file("write", file))?;
    let mut digest = Sha256::new();
    for piece in 0..snapshot.bytes.div_ceil(PIECE << 20) {
        let (from, block) = (format!("if={}", snapshot.path), format!("bs={PIECE}M"));
        let skip = format!("skip={piece}");
        let argv = [
            "sudo",
            "-n",
            "dd",
            &from,
            &block,
            &skip,
            "count=1",
            "status=none",
        ];
        let bytes = master
            .run_ok(&argv, SNAPSHOT)
            .await
            .map_err(|e| Error::because("fetch the snapshot of etcd", e))?;
        if bytes.len() as u64 > PIECE << 20 {
            return Err(Error::failed(
                "fetch the snapshot of etcd: the master sends more than it was asked for",
            ));
        }
        digest.update(&bytes);
        aside.write(&bytes).map_err(Error::file("write", file))?;
    }
    if hex(&digest.finalize()) != snapshot.sha256 {
        return Err(Error::failed(
            "fetch the snapshot of etcd: what arrived is not what was saved; try again",
        ));
    }
    // Never over a file that appeared meanwhile: its owner could read what is written into it.
    aside.publish_new(0o600).map_err(Error::file("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_never_overwrites_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().join("there.db");
        std::fs::write(&existing, "mine").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link.db")).unwrap();
        let why = |name: &str| new_file(&folder.path().join(name)).unwrap_err().to_string();
        for name in ["there.db", "link.db"] {
            assert!(why(name).contains("it is there already"), "{}", why(name));
        }
        assert!(why("no/folder.db").contains("its folder is not there"));
        let new = folder.path().join("new.db");
        assert_eq!(new_file(&new).unwrap(), new);
    }

    /// `docs/output/etcd-snapshot.json` describes it.
    #[test]
    fn golden_snapshot_as_programs_read_it() {
        let saved = Taken {
            file: "/x/etcd.db".into(),
            bytes: 7,
            sha256: "00".to_owned(),
        };
        let json = serde_json::to_string(&saved).unwrap();
        assert_eq!(json, r#"{"file":"/x/etcd.db","bytes":7,"sha256":"00"}"#);
    }
}
