//! Hosts that a removal left out: for each, a configuration that says what the cluster has there is kept, until that is removed,
//! too, or a user gives the host up.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::digest::sha256;
use kubitect_config::value::Name;

use super::{ClusterDir, create_private_dir, write_whole};
use crate::Error;

/// The name of their folder in the cluster's.
const FOLDER: &str = "left-out";

impl ClusterDir {
    /// The folder of their configurations.
    pub(super) fn left_out_dir(&self) -> PathBuf {
        self.root().join(FOLDER)
    }

    /// The hosts that were left out, each with a configuration that says what the cluster has on it.
    pub fn left_out(&self) -> Result<Vec<(Name, PathBuf)>, Error> {
        let dir = self.left_out_dir();
        let failed = |e| Error::io("list", &dir, e);
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if let Some(host) = host_of(&path) {
                files.push((host, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Saves a copy of a configuration for a host that is left out.
    pub fn leave_out(&self, host: &Name, configuration: &Path) -> Result<(), Error> {
        let text = kubitect_config::file::read(configuration);
        let text = text.map_err(|e| Error::io("read", configuration, e))?;
        let dir = self.left_out_dir();
        create_private_dir(&dir)?;
        let file = dir.join(format!("{host}-{:.8}.yaml", sha256(&text)));
        write_whole(&file, &text, 0o600)
    }

    /// Removes one of those files, and their folder with the last one.
    pub fn remove_left_out(&self, file: &Path) -> Result<(), Error> {
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", file, e)),
            _ => {
                // Fails, rightly, while another file is in it.
                let _ = std::fs::remove_dir(self.left_out_dir());
                Ok(())
            }
        }
    }
}

/// The host whose configuration this file is; none: its name is not one that [`ClusterDir::leave_out`] makes.
fn host_of(file: &Path) -> Option<Name> {
    let name = file.file_name()?.to_str()?.strip_suffix(".yaml")?;
    let (host, digest) = name.rsplit_once('-')?;
    let is_digest = digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| host.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use crate::home::Home;

    /// These names must not change: under others, the hosts that were left out would no longer be found.
    #[test]
    fn golden_files_of_hosts_that_were_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        dir.begin("a").unwrap();
        for host in ["h-1.x", "_b"] {
            dir.leave_out(&host.parse().unwrap(), &dir.wanted())
                .unwrap();
        }
        std::fs::write(dir.root().join("left-out/note.yaml"), "").unwrap();
        let left = dir.left_out().unwrap();
        let names: Vec<_> = left.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(names, ["_b", "h-1.x"]);
        let golden = folder
            .path()
            .join("clusters/demo/left-out/h-1.x-ca978112.yaml");
        assert_eq!(left[1].1, golden);
        assert_eq!(std::fs::read_to_string(&golden).unwrap(), "a");
        std::fs::remove_dir_all(dir.config_dir()).unwrap();
        assert_eq!(home.clusters().unwrap(), ["demo".parse().unwrap()]);
        std::fs::remove_file(dir.root().join("left-out/note.yaml")).unwrap();
        left.iter()
            .for_each(|(_, file)| dir.remove_left_out(file).unwrap());
        assert!(dir.left_out().unwrap().is_empty());
        assert!(home.clusters().unwrap().is_empty());
    }
}
