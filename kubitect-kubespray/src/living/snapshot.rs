//! Snapshots of etcd: saved on a master, fetched piece by piece, and compared with what was saved.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::digest::hex;
use kubitect_config::file::{self, Aside};
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Remote, chain};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::control::{self, Health, Snapshot};

/// A snapshot that was taken. Every secret of Kubernetes is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// The file, which its owner alone can read.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// How long saving a snapshot may take, and fetching a piece of it.
const SNAPSHOT: Duration = Duration::from_secs(10 * 60);
/// Where it lies on the master meanwhile. Always the same, so that what a killed run left there goes with the next.
const SAVED: &str = "/var/lib/kubitect/etcd-snapshot.db";
/// How much of it is fetched at a time, in MiB.
const PIECE: u64 = 16;

/// How long fetching all of it may take.
const FETCH: Duration = Duration::from_secs(2 * 60 * 60);
/// How much of the disk is left free, in bytes.
const RESERVE: u64 = 256 << 20;

/// A file for a snapshot that is taken now, in this folder, which is made if need be.
pub fn file_in(folder: &Path) -> Result<PathBuf, Error> {
    file::private_folder(folder).map_err(Error::file("create", folder))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let named = |second: u64| folder.join(format!("etcd-{second}.db"));
    let mut second = now.unwrap_or_default().as_secs();
    // One that a run of this second left stays.
    while named(second).symlink_metadata().is_ok() {
        second += 1;
    }
    Ok(named(second))
}

/// A file that is not there yet, in a folder that is.
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

/// The first master of this cluster whose API serves, and its etcd behind it; else why none does.
pub async fn serving(cluster: &Cluster, machines: &dyn Machines) -> Result<Arc<dyn Remote>, Error> {
    let mut why = Vec::new();
    let masters = cluster.role(Role::Master);
    // The first in their order, so that what a killed run left there goes.
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
        Ok(Health::Well) => Ok(master),
        Ok(Health::Ill(why)) => Err(failed(why)),
        Err(error) => Err(failed(chain(&error))),
    }
}

/// Saves what etcd holds through a master that serves, and brings it to this file, which its owner alone can read. Nothing of it
/// stays on the master.
pub async fn take(master: &Arc<dyn Remote>, file: PathBuf) -> Result<Taken, Error> {
    let failed = |e| Error::because("save a snapshot of etcd", e);
    let snapshot = control::save_snapshot(master, SAVED, SNAPSHOT)
        .await
        .map_err(failed)?;
    fail::fail_point!("kubespray::snapshot-saved");
    let fetched = fetch(master, &snapshot, &file).await;
    // Every secret of the cluster is in it: it does not stay, whether it arrived or not.
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

/// Brings a snapshot home, piece by piece: it may be larger than what a command may print. How large it is, a master says.
async fn fetch(master: &Arc<dyn Remote>, snapshot: &Snapshot, home: &Path) -> Result<(), Error> {
    let folder = home.parent().unwrap_or(home);
    let fs = rustix::fs::statvfs(folder).map_err(|e| Error::file("look at", folder)(e.into()))?;
    if fs.f_bavail.saturating_mul(fs.f_frsize) < snapshot.bytes.saturating_add(RESERVE) {
        return Err(Error::failed(format!(
            "fetch the snapshot of etcd: its {} MiB leave less than {} MiB on the disk of {}; make room, and try again",
            snapshot.bytes >> 20,
            RESERVE >> 20,
            folder.display()
        )));
    }
    tokio::time::timeout(FETCH, fetch_pieces(master, snapshot, home))
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
    home: &Path,
) -> Result<(), Error> {
    let mut aside = Aside::new(home).map_err(Error::file("write", home))?;
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
        aside.write(&bytes).map_err(Error::file("write", home))?;
    }
    if hex(&digest.finalize()) != snapshot.sha256 {
        return Err(Error::failed(
            "fetch the snapshot of etcd: what arrived is not what was saved; try again",
        ));
    }
    // Whoever put a file there meanwhile would own what is written over it.
    aside.publish_new(0o600).map_err(Error::file("write", home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_never_over_a_file_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there.db");
        std::fs::write(&there, "mine").unwrap();
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
