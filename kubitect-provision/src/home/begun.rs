//! Configurations in a cluster's folder: the one that a run begins, those whose runs did not end, and the one that was applied
//! last, with its versions.

use std::io::ErrorKind;
use std::path::PathBuf;

use kubitect_config::digest::sha256;
use kubitect_config::release::Hop;
use kubitect_config::yaml;

use super::{ClusterDir, write_whole};
use crate::Error;

/// How the names of configurations begin whose runs did not end.
const UNFINISHED: &str = "kubitect-unfinished-";

impl ClusterDir {
    /// The versions that were set up when the configuration was applied last, which may leave them out.
    fn versions(&self) -> PathBuf {
        self.config_dir().join("kubitect-versions.yaml")
    }

    /// What was set up when the configuration was applied last; none: nothing says it.
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

    /// Configurations whose runs did not end and that were given up for another since: their machines may be on hosts
    /// that no other file names.
    pub fn unfinished(&self) -> Result<Vec<PathBuf>, Error> {
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

    /// Whether the last run has not ended: what it was to make was not applied.
    pub fn is_unfinished(&self) -> bool {
        let text = |path| kubitect_config::file::read(path).ok();
        let (wanted, applied) = (self.wanted(), self.applied());
        wanted.exists() && text(&wanted) != text(&applied)
    }

    /// Writes the configuration that is wanted from now on; one whose run did not end is kept.
    pub fn begin(&self, text: &str) -> Result<(), Error> {
        let kept = |path: PathBuf| match kubitect_config::file::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        };
        let applied = kept(self.applied())?;
        if let Some(former) = kept(self.wanted())?
            && former != text.as_bytes()
            && Some(&former) != applied.as_ref()
        {
            let name = format!("{UNFINISHED}{:.8}.yaml", sha256(&former));
            write_whole(&self.config_dir().join(name), &former, 0o600)?;
        }
        write_whole(&self.wanted(), text.as_bytes(), 0o600)
    }

    /// Writes the configuration that was applied, and the versions that it has set up: what others had begun is undone.
    pub fn end(&self, text: &str, has: &Hop) -> Result<(), Error> {
        let path = self.versions();
        let versions = yaml::write(has);
        let versions =
            versions.map_err(|e| Error::because(format!("write {}", path.display()), e))?;
        write_whole(&path, versions.as_bytes(), 0o600)?;
        write_whole(&self.applied(), text.as_bytes(), 0o600)?;
        for file in self.unfinished()? {
            std::fs::remove_file(&file).map_err(|e| Error::io("remove", &file, e))?;
        }
        Ok(())
    }
}
