//! Folders that are believed: they belong to us, and nobody else can write to them.
//!
//! Kubitect runs as root or as somebody who may use libvirt, and does what its files say. A folder of another user, or one in
//! which others can write or plant links, would let them say it. So such a folder is refused, and what to do is said.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kubitect_config::text::quoted;

use crate::{Error, file};

mod named;

pub use named::{named, named_with_all};

/// Write permission of anybody but the owner.
const OTHERS: u32 = 0o022;
/// Only the owner of a file may remove or rename it.
const STICKY: u32 = 0o1000;

/// The users whose files are believed: ourselves, and whoever had us started as root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Us(Vec<u32>);

impl Us {
    /// This process's user; and, where that is root, the user who became root to start it (sudo tells), if one did.
    pub fn new(behind_sudo: Option<u32>) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let behind = behind_sudo.filter(|_| own == 0);
        Self([Some(own), behind].into_iter().flatten().collect())
    }

    fn are(&self, user: u32) -> bool {
        self.0.contains(&user)
    }

    fn are_or_root(&self, user: u32) -> bool {
        // In a container, files of users outside of it seem to belong to this one; that is its root.
        user == 0 || self.are(user) || Some(user) == outsiders()
    }
}

/// The number that stands for users that a user namespace does not map.
fn outsiders() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let number = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    number.trim().parse().ok().filter(|_| !whole)
}

fn refused(path: &Path, why: impl Into<String>, cure: impl Into<String>) -> Error {
    Error::Untrusted {
        path: path.to_owned(),
        why: why.into(),
        cure: cure.into(),
    }
}

/// What to do about a folder that is not ours.
const ANOTHER: &str = "use a folder of your own: KUBITECT_HOME or --home names it";

/// What is at `path`, not behind a link; none: nothing is.
fn look(path: &Path) -> Result<Option<Metadata>, Error> {
    match path.symlink_metadata() {
        Ok(there) => Ok(Some(there)),
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => Ok(None),
        Err(e) => Err(file::error("look at", path)(e)),
    }
}

/// An error unless this file or folder is ours alone.
fn own(path: &Path, there: &Metadata, us: &Us) -> Result<(), Error> {
    if there.is_symlink() {
        return Err(refused(
            path,
            "it is a link, which could lead anywhere",
            "put what it leads to in its place, or remove it",
        ));
    }
    if !us.are(there.uid()) {
        return Err(refused(
            path,
            format!(
                "it belongs to user {}, not to you (user {}), and says what is done in your name",
                there.uid(),
                us.0[0]
            ),
            format!(
                "{ANOTHER}; or make it yours: `sudo chown -R {} {}`",
                us.0[0],
                quoted(path)
            ),
        ));
    }
    if there.mode() & OTHERS != 0 {
        return Err(refused(
            path,
            format!(
                "others can write to it (mode {:04o}), and it says what is done in your name",
                there.mode() & 0o7777
            ),
            format!(
                "see that all in it is yours, then: `chmod -R go-w {}`",
                quoted(path)
            ),
        ));
    }
    Ok(())
}

/// An error unless the folder at `path`, if there is one, is ours alone, and nobody else can put another in its place. Its own
/// path may lead through links of ours or of root.
pub fn folder(path: &Path, us: &Us) -> Result<(), Error> {
    let Some(there) = look(path)? else {
        return above(path, us);
    };
    if there.is_symlink() && !us.are_or_root(there.uid()) {
        return Err(refused(
            path,
            format!("it is a link of user {}'s", there.uid()),
            ANOTHER,
        ));
    }
    let real = path.canonicalize().map_err(file::error("look at", path))?;
    if let Some(there) = look(&real)? {
        own(&real, &there, us)?;
    }
    above(path, us)?;
    above(&real, us)
}

/// An error unless everybody who can rename or replace a folder on the way to `path` is one of us, or root.
fn above(path: &Path, us: &Us) -> Result<(), Error> {
    for folder in path
        .ancestors()
        .skip(1)
        .filter(|folder| *folder != Path::new(""))
    {
        let Some(there) = look(folder)? else {
            continue;
        };
        if !us.are_or_root(there.uid()) {
            return Err(refused(
                path,
                format!(
                    "it lies in {}, which belongs to user {}: they could put another in its place",
                    folder.display(),
                    there.uid()
                ),
                ANOTHER,
            ));
        }
        let who = writers(&there).filter(|_| !there.is_symlink() && there.mode() & STICKY == 0);
        if let Some(who) = who {
            return Err(refused(
                path,
                format!(
                    "it lies in {}, to which {who} can write (mode {:04o}): they could put another in its place",
                    folder.display(),
                    there.mode() & 0o7777
                ),
                format!(
                    "see that nobody can: `chmod go-w {}`; or {ANOTHER}",
                    quoted(folder)
                ),
            ));
        }
    }
    Ok(())
}

/// Who may write to a folder besides its owner; none: nobody. A group of the owner's own, which many systems make with each user,
/// has that user's number, and root's has nobody else in it.
fn writers(there: &Metadata) -> Option<String> {
    let mode = there.mode();
    let is_own = there.gid() == there.uid() || there.gid() == 0;
    match (mode & 0o002 != 0, mode & 0o020 != 0 && !is_own) {
        (true, _) => Some("everybody".to_owned()),
        (false, true) => Some(format!("group {}", there.gid())),
        (false, false) => None,
    }
}

/// An error unless all that lies in this folder, `levels` deep, is ours alone; links are refused. What goes away meanwhile is no
/// error: another run may be at work.
pub fn below(path: &Path, levels: u32, us: &Us) -> Result<(), Error> {
    let mut folders: Vec<(PathBuf, u32)> = vec![(path.to_owned(), levels)];
    while let Some((folder, levels)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
                continue;
            }
            other => other.map_err(file::error("list", &folder))?,
        };
        for entry in entries {
            let path = entry.map_err(file::error("list", &folder))?.path();
            let Some(there) = look(&path)? else {
                continue;
            };
            if is_editors(&path, &there) {
                continue;
            }
            own(&path, &there, us)?;
            if there.is_dir() && levels > 1 {
                folders.push((path, levels - 1));
            }
        }
    }
    Ok(())
}

/// Whether this is the lock of an editor on a file beside it (`.#site.yaml`): a link that leads nowhere.
fn is_editors(path: &Path, there: &Metadata) -> bool {
    let name = path.file_name().unwrap_or_default();
    there.is_symlink() && name.as_encoded_bytes().starts_with(b".#") && path.metadata().is_err()
}

/// Why a folder for disks of machines on this machine is not believed; none: it is. It may be root's or ours, and everybody's
/// if it is like `/tmp`: then what libvirt would use in it has to be root's or ours.
pub(crate) fn pool(path: &Path, us: &Us) -> Option<String> {
    let there = path.metadata().ok()?;
    if !us.are_or_root(there.uid()) {
        return Some(format!(
            "belongs to user {}, who could exchange the disks in it",
            there.uid()
        ));
    }
    if there.mode() & 0o002 != 0 && there.mode() & STICKY == 0 {
        return Some(
            "can be written to by everybody, who could exchange the disks in it".to_owned(),
        );
    }
    // Whoever owns a folder on the way, or a link, could put another folder in its place.
    let real = path.canonicalize().ok()?;
    let mut way = path.ancestors().chain(real.ancestors());
    way.find_map(|folder| {
        let there = folder.symlink_metadata().ok()?;
        (!us.are_or_root(there.uid())).then(|| {
            let (folder, owner) = (folder.display(), there.uid());
            format!("is reached by {folder}, which belongs to user {owner}, who could exchange it")
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn us() -> Us {
        Us::new(None)
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn home() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join("share/images")).unwrap();
        for path in [&home, &home.join("share"), &home.join("share/images")] {
            chmod(path, 0o755);
        }
        (folder, home)
    }

    fn refusal(result: Result<(), Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn ours_alone_is_believed_also_behind_a_link_of_ours_and_before_it_is_made() {
        let (folder_above, home) = home();
        folder(&home, &us()).unwrap();
        below(&home, 9, &us()).unwrap();
        folder(&home.join("not/yet"), &us()).unwrap();
        let link = folder_above.path().join("link");
        symlink(&home, &link).unwrap();
        folder(&link, &us()).unwrap();
    }

    #[test]
    fn what_others_can_write_to_is_refused() {
        let (folder_above, home) = home();
        for mode in [0o777, 0o775, 0o1777] {
            chmod(&home, mode);
            let cure = format!("`chmod -R go-w '{}'`", home.display());
            assert!(refusal(folder(&home, &us())).contains(&cure), "{mode:o}");
        }
        chmod(&home, 0o700);
        chmod(&home.join("share/images"), 0o777);
        folder(&home, &us()).unwrap();
        assert!(refusal(below(&home, 9, &us())).contains("share/images"));
        below(&home, 1, &us()).unwrap();
        chmod(folder_above.path(), 0o777);
        assert!(refusal(folder(&home, &us())).contains("everybody can write"));
        chmod(folder_above.path(), 0o1777);
        folder(&home, &us()).unwrap();
    }

    /// Whoever is in the group of a folder above could rename it, and put their own in its place.
    #[test]
    fn a_group_that_can_write_above_is_refused_unless_it_is_the_owners_own() {
        let (folder_above, home) = home();
        let there = folder_above.path().metadata().unwrap();
        chmod(folder_above.path(), 0o770);
        if there.gid() == there.uid() || there.gid() == 0 {
            folder(&home, &us()).unwrap();
        }
        if chown(folder_above.path(), None, Some(4321)).is_ok() {
            let error = refusal(folder(&home, &us()));
            for part in ["to which group 4321 can write", "`chmod go-w '"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(folder(&home.join("not/yet"), &us()).is_err());
            chmod(folder_above.path(), 0o1770);
            folder(&home, &us()).unwrap();
            chmod(folder_above.path(), 0o750);
            folder(&home, &us()).unwrap();
        }
    }

    #[test]
    fn links_inside_are_refused_wherever_they_lead() {
        let (_folder, home) = home();
        symlink("/etc", home.join("share/images/x")).unwrap();
        assert!(refusal(below(&home, 9, &us())).contains("is a link"));
        std::fs::remove_file(home.join("share/images/x")).unwrap();
        // An editor's lock, which leads nowhere, and a link that only looks like one.
        symlink("me@box.17:1", home.join("share/.#site.yaml")).unwrap();
        below(&home, 9, &us()).unwrap();
        symlink("/etc", home.join("share/.#x")).unwrap();
        assert!(refusal(below(&home, 9, &us())).contains("is a link"));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let (folder_above, home) = home();
        if chown(&home, Some(4321), None).is_err() {
            // Only root can give files away; then what is root's is somebody else's.
            assert!(refusal(folder(Path::new("/etc"), &us())).contains("belongs to user 0"));
            return;
        }
        assert!(refusal(folder(&home, &us())).contains("belongs to user 4321"));
        folder(&home, &Us::new(Some(4321))).unwrap();
        assert!(pool(&home, &us()).unwrap().contains("user 4321"));
        chown(&home, Some(0), None).unwrap();
        assert_eq!(pool(&home, &us()), None);
        let link = folder_above.path().join("link");
        symlink(&home, &link).unwrap();
        assert_eq!(pool(&link, &us()), None);
        std::os::unix::fs::lchown(&link, Some(4321), None).unwrap();
        assert!(
            pool(&link, &us())
                .unwrap()
                .contains("link, which belongs to user 4321")
        );
        std::fs::remove_file(&link).unwrap();
        chown(home.join("share"), Some(4321), None).unwrap();
        assert!(refusal(below(&home, 9, &us())).contains("belongs to user 4321"));
        chown(folder_above.path(), Some(4321), None).unwrap();
        assert!(refusal(folder(&home, &us())).contains("put another in its place"));
        assert!(pool(&home, &us()).unwrap().contains("is reached by"));
        chown(folder_above.path(), Some(0), None).unwrap();
        chmod(&home, 0o777);
        assert!(pool(&home, &us()).unwrap().contains("everybody"));
        chmod(&home, 0o1777);
        assert_eq!(pool(&home, &us()), None);
    }
}
