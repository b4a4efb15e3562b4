//! What the process's environment says: where the folder of all clusters is, and whose it is.

use std::path::{Path, PathBuf};

use kubitect_provision::trust::Us;

use crate::failure::Failure;
use crate::home::{Home, no_home};

/// The folder in force: `./.kubitect` if `local`, else `home`, else `KUBITECT_HOME` unless it is empty, else `~/.kubitect`.
pub fn home(local: bool, home: Option<PathBuf>) -> Result<Home, Failure> {
    let variable = std::env::var_os("KUBITECT_HOME").filter(|home| !home.is_empty());
    locate(local, home.or(variable.map(PathBuf::from)))
}

fn locate(local: bool, home: Option<PathBuf>) -> Result<Home, Failure> {
    let path = match home {
        _ if local => PathBuf::from(".kubitect"),
        Some(path) => path,
        None => person()?.join(".kubitect"),
    };
    let home = Home::open_for(&path, person().ok(), us())?;
    Ok(if local { home.local() } else { home })
}

/// Who may have written what we believe: this process's user, and who became root by sudo to start it.
fn us() -> Us {
    let behind_sudo = std::env::var("SUDO_UID")
        .ok()
        .and_then(|id| id.parse().ok());
    Us::new(behind_sudo)
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
