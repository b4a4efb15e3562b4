//! What the process's environment says about the folder of all clusters: its path, and the users that are trusted with it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::Site;
use kubitect_provision::trust::TrustedUsers;

use crate::failure::Failure;
use crate::home::{Home, no_home};

/// The folder of all clusters as the command line names it. It is opened only by a command that uses it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Whether it is `./.kubitect`.
    pub local: bool,
    /// Its path, instead of `KUBITECT_HOME` or `~/.kubitect`.
    pub home: Option<PathBuf>,
}

impl Place {
    /// `./.kubitect` if `local`, else the path that is named, else `KUBITECT_HOME` unless it is empty, else `~/.kubitect`.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        let variable = || std::env::var_os("KUBITECT_HOME").filter(|home| !home.is_empty());
        match self.home.clone().or_else(|| variable().map(PathBuf::from)) {
            _ if self.local => Ok(PathBuf::from(".kubitect")),
            Some(path) => expand(&path),
            None => Ok(person()?.join(".kubitect")),
        }
    }

    /// Opens the folder; an error if other users could have written to it.
    pub fn home(&self) -> Result<Home, Failure> {
        let home = Home::open_for(&self.path()?, person().ok(), trusted_users())?;
        Ok(if self.local { home.local()? } else { home })
    }

    /// The site file, or its defaults. A folder without a site file may be anybody's: nothing of it is used then.
    pub fn site(&self) -> Result<Site, Failure> {
        let file = self.path()?.join("site.yaml");
        match file
            .symlink_metadata()
            .is_err_and(|e| e.kind() == ErrorKind::NotFound)
            && !self.local
        {
            true => Ok(Site::default()),
            false => Ok(self.home()?.site()?),
        }
    }
}

/// The users whose files are trusted: this process's user, and the one who started it by sudo.
pub fn trusted_users() -> TrustedUsers {
    let behind_sudo = std::env::var("SUDO_UID")
        .ok()
        .and_then(|id| id.parse().ok());
    TrustedUsers::new(behind_sudo)
}

/// The person's home folder.
fn person() -> Result<PathBuf, Failure> {
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| no_home().into())
}

/// `path` with a leading `~/` resolved.
pub fn expand(path: &Path) -> Result<PathBuf, Failure> {
    match path.strip_prefix("~") {
        Ok(rest) => Ok(person()?.join(rest)),
        Err(_) => Ok(path.to_owned()),
    }
}
