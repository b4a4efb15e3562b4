//! [`Workdir`]: the folders of a cluster's generated files and logs.

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
    /// `config` is for the inventory and the group variables, `logs` for one log of each run of a playbook.
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

    /// The cluster's own kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.config.join("admin.conf")
    }

    /// The folder with the inventory. Its path also marks the programs that work on this cluster.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Ansible's cache of facts of this cluster's hosts.
    pub(crate) fn facts(&self) -> PathBuf {
        self.config.join(".ansible/facts")
    }

    /// Creates the folders for the owner only, and returns them with absolute paths, because Ansible runs in another folder.
    pub(crate) fn create_folders(&self) -> Result<Self, Error> {
        let absolute =
            |path: &PathBuf| std::path::absolute(path).map_err(Error::file("resolve", path));
        let workdir = Self {
            config: absolute(&self.config)?,
            logs: absolute(&self.logs)?,
        };
        for path in [&workdir.config, &workdir.logs, &workdir.facts()] {
            make_private(path)?;
        }
        Ok(workdir)
    }

    /// Writes the generated files, each as a whole, and removes files of group variables that only an earlier run generated.
    pub(crate) fn write_files(&self, files: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
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

    /// Removes the cached facts: machines may have been recreated under the same names.
    pub(crate) fn clear_facts(&self) -> Result<(), Error> {
        let path = self.facts();
        std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        make_private(&path)
    }
}

/// Creates a folder, and its parents, for the owner only. An existing one is not changed.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    file::private_folder(path).map_err(Error::file("create", path))
}

/// Replaces a file as a whole: a crash leaves either the old or the new content.
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
        let workdir = workdir.create_folders().unwrap();
        let old = [crate::GROUP_VARS[0], crate::GROUP_VARS[1], "nodes.yaml"]
            .map(|name| (PathBuf::from(name), "a: 1\n".to_owned()));
        workdir.write_files(&BTreeMap::from(old)).unwrap();
        let own = workdir.config().join("group_vars/all/mine.yaml");
        std::fs::write(&own, "b: 2\n").unwrap();
        workdir.write_files(&BTreeMap::new()).unwrap();
        assert!(own.exists() && workdir.inventory().exists());
        assert!(!workdir.config().join(crate::GROUP_VARS[0]).exists());
        assert!(!workdir.config().join(crate::GROUP_VARS[1]).exists());
    }
}
