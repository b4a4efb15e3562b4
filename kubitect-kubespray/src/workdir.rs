//! [`Workdir`]: where a cluster's files lie; each is written whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kubitect_config::file;

use crate::Error;

/// The folders of one cluster. The caller holds the cluster's lock while it works in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir {
    config: PathBuf,
    logs: PathBuf,
}

impl Workdir {
    /// `config` gets the inventory and the group variables, `logs` one log for each run of a playbook.
    pub fn new(config: impl Into<PathBuf>, logs: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            logs: logs.into(),
        }
    }

    /// The inventory's file.
    pub fn inventory(&self) -> PathBuf {
        self.config.join("nodes.yaml")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.config.join("admin.conf")
    }

    /// The folder with the inventory; also the mark of the programs that work on this cluster.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Ansible's cache of what it gathered from this cluster's hosts.
    pub(crate) fn facts(&self) -> PathBuf {
        self.config.join(".ansible/facts")
    }

    /// Makes the folders, for the owner only, as absolute paths: Ansible runs elsewhere.
    pub(crate) fn ready(&self) -> Result<Self, Error> {
        let absolute =
            |path: &PathBuf| std::path::absolute(path).map_err(Error::file("resolve", path));
        let ready = Self {
            config: absolute(&self.config)?,
            logs: absolute(&self.logs)?,
        };
        for path in [&ready.config, &ready.logs, &ready.facts()] {
            make_private(path)?;
        }
        Ok(ready)
    }

    /// Writes the generated files, and removes group variables that an earlier run generated and this one does not.
    pub(crate) fn put(&self, files: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
        for (name, text) in files {
            let path = self.config.join(name);
            if let Some(folder) = path.parent() {
                make_private(folder)?;
            }
            write(&path, text.as_bytes(), 0o600)?;
        }
        for name in crate::GROUP_VARS {
            let path = self.config.join(name);
            if !files.contains_key(Path::new(name)) && path.exists() {
                std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Forgets what Ansible gathered: machines may have been recreated under their old names.
    pub(crate) fn forget_facts(&self) -> Result<(), Error> {
        let path = self.facts();
        std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        make_private(&path)
    }
}

/// Makes a folder, and those above it, for the owner only. One that is there stays as it is.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    file::private_folder(path).map_err(Error::file("create", path))
}

/// Replaces a file whole.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    file::replace(path, content, mode).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_that_are_no_longer_wanted_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::new(folder.path().join("config"), folder.path().join("logs"));
        let workdir = workdir.ready().unwrap();
        let old = [crate::GROUP_VARS[0], crate::GROUP_VARS[1], "nodes.yaml"]
            .map(|name| (PathBuf::from(name), "a: 1\n".to_owned()));
        workdir.put(&BTreeMap::from(old)).unwrap();
        let own = workdir.config().join("group_vars/all/mine.yaml");
        std::fs::write(&own, "b: 2\n").unwrap();
        workdir.put(&BTreeMap::new()).unwrap();
        assert!(own.exists() && workdir.inventory().exists());
        assert!(!workdir.config().join(crate::GROUP_VARS[0]).exists());
        assert!(!workdir.config().join(crate::GROUP_VARS[1]).exists());
    }
}
