//! Configurations in a cluster's folder: that of the last run, those of earlier runs that did not succeed, and the one that was
//! applied last, with its versions.

use std::io::ErrorKind;
use std::path::PathBuf;

use kubitect_config::digest::sha256;
use kubitect_config::release::Hop;
use kubitect_config::yaml;

use super::{ClusterDir, write_whole};
use crate::Error;

/// The beginning of the names of configurations whose runs did not succeed.
const UNFINISHED: &str = "kubitect-unfinished-";

impl ClusterDir {
    /// The file of the versions that the last successful run has set up. The configuration itself may leave versions out.
    fn versions(&self) -> PathBuf {
        self.config_dir().join("kubitect-versions.yaml")
    }

    /// The versions that the last successful run has set up; none: there is no such file.
    pub fn applied_versions(&self) -> Result<Option<Hop>, Error> {
        let path = self.versions();
        let text = match kubitect_config::file::read_text(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io("read", &path, e))?,
        };
        let read = yaml::read_as(&text, yaml::Limits::OWN).map_err(|e| {
            let what = "which says what versions the cluster has; move it away, and the next `kubitect apply` writes it";
            Error::because(format!("read {}, {what}", path.display()), e)
        })?;
        Ok(Some(read))
    }

    /// The configurations whose runs did not succeed and that later runs replaced by another. They are kept because their machines
    /// may be on hosts that no other file names.
    pub fn abandoned(&self) -> Result<Vec<PathBuf>, Error> {
        let dir = self.config_dir();
        let failed = |e| Error::io("list", &dir, e);
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(UNFINISHED.as_bytes())
            {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// Whether the last run did not succeed: its configuration is not the one that was applied.
    pub fn is_unfinished(&self) -> bool {
        let text = |path| kubitect_config::file::read(path).ok();
        let (wanted, applied) = (self.wanted(), self.applied());
        wanted.exists() && text(&wanted) != text(&applied)
    }

    /// Writes the configuration of the run that begins. The previous one is kept if its run did not succeed: see
    /// [`Self::abandoned`].
    pub fn begin(&self, text: &str) -> Result<(), Error> {
        let read_if_exists = |path: PathBuf| match kubitect_config::file::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        };
        let applied = read_if_exists(self.applied())?;
        if let Some(previous) = read_if_exists(self.wanted())?
            && previous != text.as_bytes()
            && Some(&previous) != applied.as_ref()
        {
            let name = format!("{UNFINISHED}{:.8}.yaml", sha256(&previous));
            write_whole(&self.config_dir().join(name), &previous, 0o600)?;
        }
        write_whole(&self.wanted(), text.as_bytes(), 0o600)
    }

    /// Writes the configuration that was applied and the versions that it has set up, and removes the abandoned ones: the run that
    /// succeeded has removed what theirs had made.
    pub fn end(&self, text: &str, versions: &Hop) -> Result<(), Error> {
        let path = self.versions();
        let text_of_versions = yaml::write(versions);
        let text_of_versions =
            text_of_versions.map_err(|e| Error::because(format!("write {}", path.display()), e))?;
        write_whole(&path, text_of_versions.as_bytes(), 0o600)?;
        write_whole(&self.applied(), text.as_bytes(), 0o600)?;
        for file in self.abandoned()? {
            std::fs::remove_file(&file).map_err(|e| Error::io("remove", &file, e))?;
        }
        Ok(())
    }
}
