//! Files and folders that a person names, to write to or to believe: nobody else's, who could read what is written, say where it
//! gets to, and exchange what is believed.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::{Us, look, refused};
use crate::{Error, file};

/// An error if what is at `path`, or what a link there leads to, is somebody else's. Nothing there: it is made, for us.
pub fn named(path: &Path, us: &Us) -> Result<(), Error> {
    let Some(there) = look(path)? else {
        return Ok(());
    };
    ours(path, &there, us)?;
    match path.metadata() {
        Ok(behind) => ours(path, &behind, us),
        // A link to nothing: whoever writes says what is wrong with it.
        Err(_) => Ok(()),
    }
}

/// As [`named`], of a folder and of all that lies in it.
pub fn named_with_all(path: &Path, us: &Us) -> Result<(), Error> {
    let mut left: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        named(&path, us)?;
        if look(&path)?.is_some_and(|there| there.is_dir()) {
            for entry in std::fs::read_dir(&path).map_err(file::error("list", &path))? {
                left.push(entry.map_err(file::error("list", &path))?.path());
            }
        }
    }
    Ok(())
}

fn ours(path: &Path, there: &Metadata, us: &Us) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let cure = "name another one, or remove it";
    if !us.are_or_root(there.uid()) {
        let why = format!(
            "it belongs to user {}, who could read and exchange what is in it",
            there.uid()
        );
        return Err(refused(path, why, cure));
    }
    if there.mode() & 0o002 != 0 && (there.is_file() || there.is_dir()) {
        let why = format!(
            "everybody can write to it (mode {:04o}), and so exchange what is in it",
            there.mode() & 0o7777
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
        let us = Us::new(None);
        named_with_all(path, &us).unwrap_err().to_string()
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
            named_with_all(path, &Us::new(None)).unwrap();
        }
        named(Path::new("/dev/null"), &Us::new(None)).unwrap();
        set_permissions(own.join("x"), Permissions::from_mode(0o666)).unwrap();
        assert!(refusal(&own).contains("everybody can write to it (mode 0666)"));
    }

    #[test]
    fn what_is_somebody_elses_is_refused_behind_a_link_and_deep_down_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        create_dir(path("out")).unwrap();
        write(path("theirs"), "").unwrap();
        // Only root can give files away.
        if chown(path("theirs"), Some(4321), None).is_err() {
            return;
        }
        assert!(refusal(&path("theirs")).contains("belongs to user 4321"));
        symlink(path("theirs"), path("link")).unwrap();
        assert!(refusal(&path("link")).contains("belongs to user 4321"));
        write(path("mine"), "").unwrap();
        symlink(path("mine"), path("out/planted")).unwrap();
        named_with_all(&path("out"), &Us::new(None)).unwrap();
        lchown(path("out/planted"), Some(4321), None).unwrap();
        assert!(refusal(&path("out")).contains("out/planted"));
    }
}
