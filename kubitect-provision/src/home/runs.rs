//! The logs of runs: one each, in the folder of its cluster. Logs of removals lie outside of it: it is removed with the cluster.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use kubitect_config::value::Label;

use super::{Home, create_private_dir};
use crate::Error;

/// The commands in the names of runs' logs. Other logs, as those of playbooks, lie beside them.
const RUNS: [&str; 5] = ["apply", "destroy", "stop", "start", "etcd-snapshot"];

impl Home {
    /// The folder of the logs of runs that remove this cluster.
    pub fn removals(&self, name: &Label) -> PathBuf {
        self.root.join(REMOVALS).join(name.as_str())
    }

    /// The clusters for which there is a log of a removal, in order.
    pub fn removed(&self) -> Result<Vec<Label>, Error> {
        let names = list(&self.root.join(REMOVALS))?;
        let names = names
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok());
        Ok(names.collect())
    }

    /// The logs of a cluster's runs, oldest first: their names begin with the time.
    pub fn runs(&self, name: &Label) -> Result<Vec<PathBuf>, Error> {
        let mut all = list(&self.cluster(name).logs())?;
        all.extend(list(&self.removals(name))?);
        let file_name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        all.retain(|path| {
            let name = file_name(path);
            let is_run = |run: &&str| name.ends_with(&format!("-{run}.log"));
            RUNS.iter().any(is_run) && path.is_file()
        });
        all.sort_by_key(|path| file_name(path));
        Ok(all)
    }
}

/// Creates a log for a run of `command` in a folder, which is created if need be. The name begins with the time: sorted by name,
/// logs are in the order of their runs.
pub fn new_log(folder: &Path, command: &str) -> Result<(File, PathBuf), Error> {
    create_private_dir(folder)?;
    loop {
        let now = DateTime::<Utc>::from(SystemTime::now());
        let path = folder.join(format!(
            "{}-{command}.log",
            now.format("%Y%m%dT%H%M%S%.6fZ")
        ));
        let new = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        match new {
            Ok(file) => return Ok((file, path)),
            // Another run began in the same microsecond.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                std::thread::sleep(Duration::from_micros(1));
            }
            Err(e) => return Err(Error::io("open", &path, e)),
        }
    }
}

/// The name of the folder with a folder of logs for each cluster that was removed.
pub(super) const REMOVALS: &str = "logs";

/// The paths of a folder's entries, in order; nothing where the folder does not exist.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |e| Error::io("list", folder, e);
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry.map_err(failed)?.path());
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_moment_leave_a_log_each_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        // Also commands that are not in the order of the alphabet.
        let began: Vec<_> = ["stop", "start", "start", "apply", "apply"]
            .iter()
            .map(|command| new_log(&logs, command).unwrap().1)
            .collect();
        assert_eq!(list(&logs).unwrap(), began);
    }

    #[test]
    fn logs_of_removals_outlive_the_clusters_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let name: Label = "demo".parse().unwrap();
        assert_eq!(home.runs(&name).unwrap(), [""; 0].map(PathBuf::from));
        assert_eq!(home.removed().unwrap(), []);
        let own = home.cluster(&name).logs();
        let after = home.removals(&name);
        assert_eq!(after, folder.path().join("logs/demo"));
        let logs = [
            own.join("20260102T030405Z-apply.log"),
            after.join("20260203T030405Z-destroy.log"),
            own.join("20260304T030405Z-etcd-snapshot.log"),
        ];
        for path in logs
            .iter()
            .chain([&own.join("20260102T030405Z-cluster.log")])
        {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(home.runs(&name).unwrap(), logs);
        assert_eq!(home.removed().unwrap(), std::slice::from_ref(&name));
        std::fs::remove_dir_all(home.cluster(&name).root()).unwrap();
        assert_eq!(home.runs(&name).unwrap(), logs[1..2]);
        assert_eq!(home.clusters().unwrap(), []);
    }
}
