//! [`Run::snapshot`]: all that a cluster's etcd holds, in a file of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Facts, Remote, chain};
use kubitect_kubespray::control::{self, Health};
use kubitect_kubespray::living::snapshot;
use kubitect_provision::ssh::Keys;
use serde::Serialize;

use crate::failure::Failure;
use crate::job::Job;
use crate::pipeline::until_cancelled;
use crate::run::Run;
use kubitect_provision::blocking::blocking;

/// A snapshot that was taken. Every secret of Kubernetes is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The file, which its owner alone can read.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Run {
    /// Saves what etcd holds, through a master that serves, into this file; without one, into the cluster's folder of snapshots.
    /// A file that is there stays as it is, and is an error.
    pub async fn snapshot(&mut self, file: Option<&Path>) -> Result<Snapshot, Failure> {
        let job = &self.view.job;
        let name = &job.cluster.name;
        let named = file.map(new_file).transpose()?;
        let Some((keys, facts)) = blocking(|| job.reach())? else {
            return Err(Failure::failed(format!(
                "save a snapshot of the etcd of {name}: the key that opens its machines is not in {}; `kubitect apply` with its \
                 file brings it back",
                job.dir.ssh().display()
            )));
        };
        let file = match named {
            Some(file) => file,
            None => snapshot::file_in(&job.dir.backups())?,
        };
        let work = async {
            let master = serving(job, &facts, &keys).await?;
            Ok(snapshot::take(&master, &file).await?)
        };
        let saved = until_cancelled(&job.options.cancel, work).await?;
        Ok(Snapshot {
            file,
            bytes: saved.bytes,
            sha256: saved.sha256,
        })
    }
}

/// A file that is not there yet, in a folder that is.
fn new_file(file: &Path) -> Result<PathBuf, Failure> {
    let file = std::path::absolute(file).map_err(|e| Failure::io("find", file, e))?;
    let what = format!("write a snapshot to {}", file.display());
    if file.symlink_metadata().is_ok() {
        return Err(Failure::failed(format!(
            "{what}: it is there already; name another file"
        )));
    }
    match file.parent().is_some_and(Path::is_dir) {
        true => Ok(file),
        false => Err(Failure::failed(format!(
            "{what}: its folder is not there; make it, or name another file"
        ))),
    }
}

/// A master whose API serves, and its etcd behind it; else why none does.
async fn serving(job: &Job, facts: &Facts, keys: &Keys) -> Result<Arc<dyn Remote>, Failure> {
    let masters = job.cluster.role(Role::Master);
    let mut why = Vec::new();
    // The first in the file's order, so that what a killed run left there goes.
    for answer in side_by_side(masters.map(|node| ask(job, facts, keys, node))).await {
        match answer {
            Ok(master) => return Ok(master),
            Err(reason) => why.push(reason),
        }
    }
    let name = &job.cluster.name;
    Err(Failure::because(
        format!(
            "find a master of {name} that serves (`kubitect status {name}` says more, `kubitect start {name}` starts one that is \
             stopped)"
        ),
        why.join("; "),
    ))
}

async fn ask(
    job: &Job,
    facts: &Facts,
    keys: &Keys,
    node: &Node,
) -> Result<Arc<dyn Remote>, String> {
    let failed = |why: String| format!("{}: {why}", node.name);
    let login = job.login(facts, keys, &node.name).await;
    let master = login.map_err(|e| failed(chain(&e)))?;
    match control::api_health(&master).await {
        Ok(Health::Well) => Ok(master),
        Ok(Health::Ill(why)) => Err(failed(why)),
        Err(error) => Err(failed(chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/output/etcd-snapshot.json` describes it.
    #[test]
    fn golden_snapshot_as_programs_read_it() {
        let saved = Snapshot {
            file: "/x/etcd.db".into(),
            bytes: 7,
            sha256: "00".to_owned(),
        };
        let json = serde_json::to_string(&saved).unwrap();
        assert_eq!(json, r#"{"file":"/x/etcd.db","bytes":7,"sha256":"00"}"#);
    }

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
}
