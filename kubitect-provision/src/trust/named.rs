//! Files and folders that a user names on the command line, to write to or to read from. They must not be another user's: that
//! user could read what is written, redirect it to another place, or replace what is read.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::{TrustedUsers, metadata_of, refused};
use crate::{Error, file};

/// An error if what is at `path`, or the target of a link there, belongs to an untrusted user or everybody can write to it. Where
/// nothing is, it will be made by this process.
pub fn named(path: &Path, users: &TrustedUsers) -> Result<(), Error> {
    let Some(metadata) = metadata_of(path)? else {
        return Ok(());
    };
    check_owner(path, &metadata, users)?;
    match path.metadata() {
        Ok(target) => check_owner(path, &target, users),
        // A link to nothing: writing to it fails, and that error says why.
        Err(_) => Ok(()),
    }
}

/// As [`named`], of a folder and of all that lies in it.
pub fn named_with_all(path: &Path, users: &TrustedUsers) -> Result<(), Error> {
    let mut remaining: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = remaining.pop() {
        named(&path, users)?;
        if metadata_of(&path)?.is_some_and(|metadata| metadata.is_dir()) {
            for entry in std::fs::read_dir(&path).map_err(file::error("list", &path))? {
                remaining.push(entry.map_err(file::error("list", &path))?.path());
            }
        }
    }
    Ok(())
}

fn check_owner(path: &Path, metadata: &Metadata, users: &TrustedUsers) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let cure = "name another one, or remove it";
    if !users.include_or_root(metadata.uid()) {
        let why = format!(
            "it belongs to user {}, who could read and exchange what is in it",
            metadata.uid()
        );
        return Err(refused(path, why, cure));
    }
    if metadata.mode() & 0o002 != 0 && (metadata.is_file() || metadata.is_dir()) {
        let why = format!(
            "everybody can write to it (mode {:04o}), and so exchange what is in it",
            metadata.mode() & 0o7777
        );
        return Err(refused(path, why, cure));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;

    fn refusal(path: &Path) -> String {
        let users = TrustedUsers::new(None);
        named_with_all(path, &users).unwrap_err().to_string()
    }

    #[test]
    fn what_is_ours_is_written_to_also_behind_a_link_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        create_dir(&own).unwrap();
        write(own.join("x"), "").unwrap();
        symlink(&own, &link).unwrap();
        symlink("nowhere", own.join("y")).unwrap();
        for path in [&own, &link, &folder.path().join("not/yet")] {
            named_with_all(path, &TrustedUsers::new(None)).unwrap();
        }
        named(Path::new("/dev/null"), &TrustedUsers::new(None)).unwrap();
        set_permissions(own.join("x"), Permissions::from_mode(0o666)).unwrap();
        assert!(refusal(&own).contains("everybody can write to it (mode 0666)"));
    }

    #[test]
    fn what_is_somebody_elses_is_refused_behind_a_link_and_deep_down_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        create_dir(path("out")).unwrap();
        write(path("theirs"), "").unwrap();
        // Only root can change a file's owner.
        if chown(path("theirs"), Some(4321), None).is_err() {
            return;
        }
        assert!(refusal(&path("theirs")).contains("belongs to user 4321"));
        symlink(path("theirs"), path("link")).unwrap();
        assert!(refusal(&path("link")).contains("belongs to user 4321"));
        write(path("mine"), "").unwrap();
        symlink(path("mine"), path("out/planted")).unwrap();
        named_with_all(&path("out"), &TrustedUsers::new(None)).unwrap();
        lchown(path("out/planted"), Some(4321), None).unwrap();
        assert!(refusal(&path("out")).contains("out/planted"));
    }
}
