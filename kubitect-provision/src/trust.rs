//! Which files and folders are trusted: those of the [`TrustedUsers`] to which no other user can write.
//!
//! Kubitect runs as root, or as a user who may use libvirt, and does what its files say. Whoever can write to such a file or
//! replace it could run commands as that user. So a folder of another user, or one in which others can write or create links, is
//! refused, and the error says what to do.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kubitect_config::text::quoted;

use crate::{Error, file};

mod named;

pub use named::{named, named_with_all};

/// The write permissions of group and others.
const OTHERS: u32 = 0o022;
/// The sticky bit of a folder: only the owner of a file may remove or rename it.
const STICKY: u32 = 0o1000;

/// The users whose files are trusted: this process's user, and the one who started it by sudo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedUsers(Vec<u32>);

impl TrustedUsers {
    /// This process's user; where that is root, also `behind_sudo`, the user who started it by sudo.
    pub fn new(behind_sudo: Option<u32>) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let behind = behind_sudo.filter(|_| own == 0);
        Self([Some(own), behind].into_iter().flatten().collect())
    }

    fn include(&self, user: u32) -> bool {
        self.0.contains(&user)
    }

    fn include_or_root(&self, user: u32) -> bool {
        // In a container, files of users that its namespace does not map belong to this number; root of the machine is one.
        user == 0 || self.include(user) || Some(user) == unmapped_user()
    }
}

/// The number that stands for users that this user namespace does not map; none where it maps all.
fn unmapped_user() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let maps_all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let number = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    number.trim().parse().ok().filter(|_| !maps_all)
}

fn refused(path: &Path, why: impl Into<String>, cure: impl Into<String>) -> Error {
    Error::Untrusted {
        path: path.to_owned(),
        why: why.into(),
        cure: cure.into(),
    }
}

/// The remedy for a folder that is not trusted.
const USE_ANOTHER_FOLDER: &str = "use a folder of your own: KUBITECT_HOME or --home names it";

/// The metadata of what is at `path`, without following a link; none: nothing is there.
fn metadata_of(path: &Path) -> Result<Option<Metadata>, Error> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => Ok(None),
        Err(e) => Err(file::error("look at", path)(e)),
    }
}

/// An error unless this file or folder is no link, belongs to a trusted user, and only its owner can write to it.
fn check_private(path: &Path, metadata: &Metadata, users: &TrustedUsers) -> Result<(), Error> {
    if metadata.is_symlink() {
        return Err(refused(
            path,
            "it is a link, which could lead anywhere",
            "put what it leads to in its place, or remove it",
        ));
    }
    if !users.include(metadata.uid()) {
        return Err(refused(
            path,
            format!(
                "it belongs to user {}, not to you (user {}), and says what is done in your name",
                metadata.uid(),
                users.0[0]
            ),
            format!(
                "{USE_ANOTHER_FOLDER}; or make it yours: `sudo chown -R {} {}`",
                users.0[0],
                quoted(path)
            ),
        ));
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(refused(
            path,
            format!(
                "others can write to it (mode {:04o}), and it says what is done in your name",
                metadata.mode() & 0o7777
            ),
            format!(
                "see that all in it is yours, then: `chmod -R go-w {}`",
                quoted(path)
            ),
        ));
    }
    Ok(())
}

/// An error unless the folder at `path`, if there is one, belongs to a trusted user, only its owner can write to it, and no other
/// user can put another folder in its place. The path may lead through links of trusted users and of root.
pub fn folder(path: &Path, users: &TrustedUsers) -> Result<(), Error> {
    let Some(metadata) = metadata_of(path)? else {
        return check_ancestors(path, users);
    };
    if metadata.is_symlink() && !users.include_or_root(metadata.uid()) {
        return Err(refused(
            path,
            format!("it is a link of user {}'s", metadata.uid()),
            USE_ANOTHER_FOLDER,
        ));
    }
    let real = path.canonicalize().map_err(file::error("look at", path))?;
    if let Some(metadata) = metadata_of(&real)? {
        check_private(&real, &metadata, users)?;
    }
    check_ancestors(path, users)?;
    check_ancestors(&real, users)
}

/// An error unless only trusted users and root can rename or replace the folders above `path`.
fn check_ancestors(path: &Path, users: &TrustedUsers) -> Result<(), Error> {
    for folder in path
        .ancestors()
        .skip(1)
        .filter(|folder| *folder != Path::new(""))
    {
        let Some(metadata) = metadata_of(folder)? else {
            continue;
        };
        if !users.include_or_root(metadata.uid()) {
            return Err(refused(
                path,
                format!(
                    "it lies in {}, which belongs to user {}: they could put another in its place",
                    folder.display(),
                    metadata.uid()
                ),
                USE_ANOTHER_FOLDER,
            ));
        }
        let who =
            writers(&metadata).filter(|_| !metadata.is_symlink() && metadata.mode() & STICKY == 0);
        if let Some(who) = who {
            return Err(refused(
                path,
                format!(
                    "it lies in {}, to which {who} can write (mode {:04o}): they could put another in its place",
                    folder.display(),
                    metadata.mode() & 0o7777
                ),
                format!(
                    "see that nobody can: `chmod go-w {}`; or {USE_ANOTHER_FOLDER}",
                    quoted(folder)
                ),
            ));
        }
    }
    Ok(())
}

/// Who may write to a folder besides its owner; none: nobody. Two groups don't count: the owner's own, which many systems create
/// with each user under the user's number, and root's, which has no other members.
fn writers(metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode();
    let is_own = metadata.gid() == metadata.uid() || metadata.gid() == 0;
    match (mode & 0o002 != 0, mode & 0o020 != 0 && !is_own) {
        (true, _) => Some("everybody".to_owned()),
        (false, true) => Some(format!("group {}", metadata.gid())),
        (false, false) => None,
    }
}

/// An error unless all files and folders below this one, `levels` deep, belong to trusted users and only their owners can write to
/// them; links are refused. A file that disappears meanwhile is no error: another run may have removed it.
pub fn below(path: &Path, levels: u32, users: &TrustedUsers) -> Result<(), Error> {
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
            let Some(metadata) = metadata_of(&path)? else {
                continue;
            };
            if is_editor_lock(&path, &metadata) {
                continue;
            }
            check_private(&path, &metadata, users)?;
            if metadata.is_dir() && levels > 1 {
                folders.push((path, levels - 1));
            }
        }
    }
    Ok(())
}

/// Whether this is an editor's lock of the file beside it (`.#site.yaml`): a link to nothing.
fn is_editor_lock(path: &Path, metadata: &Metadata) -> bool {
    let name = path.file_name().unwrap_or_default();
    metadata.is_symlink() && name.as_encoded_bytes().starts_with(b".#") && path.metadata().is_err()
}

/// Why a folder for disks is not trusted; none: it is. It has to belong to root or a trusted user. Everybody may write to it only
/// if it has the sticky bit, like `/tmp`; the folder that libvirt uses in it is then checked by itself.
pub(crate) fn pool(path: &Path, users: &TrustedUsers) -> Option<String> {
    let metadata = path.metadata().ok()?;
    if !users.include_or_root(metadata.uid()) {
        return Some(format!(
            "belongs to user {}, who could exchange the disks in it",
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o002 != 0 && metadata.mode() & STICKY == 0 {
        return Some(
            "can be written to by everybody, who could exchange the disks in it".to_owned(),
        );
    }
    // The owner of a folder above, or of a link, could put another folder in its place.
    let real = path.canonicalize().ok()?;
    let mut folders = path.ancestors().chain(real.ancestors());
    folders.find_map(|folder| {
        let metadata = folder.symlink_metadata().ok()?;
        (!users.include_or_root(metadata.uid())).then(|| {
            let (folder, owner) = (folder.display(), metadata.uid());
            format!("is reached by {folder}, which belongs to user {owner}, who could exchange it")
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn users() -> TrustedUsers {
        TrustedUsers::new(None)
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
        folder(&home, &users()).unwrap();
        below(&home, 9, &users()).unwrap();
        folder(&home.join("not/yet"), &users()).unwrap();
        let link = folder_above.path().join("link");
        symlink(&home, &link).unwrap();
        folder(&link, &users()).unwrap();
    }

    #[test]
    fn what_others_can_write_to_is_refused() {
        let (folder_above, home) = home();
        for mode in [0o777, 0o775, 0o1777] {
            chmod(&home, mode);
            let cure = format!("`chmod -R go-w '{}'`", home.display());
            assert!(refusal(folder(&home, &users())).contains(&cure), "{mode:o}");
        }
        chmod(&home, 0o700);
        chmod(&home.join("share/images"), 0o777);
        folder(&home, &users()).unwrap();
        assert!(refusal(below(&home, 9, &users())).contains("share/images"));
        below(&home, 1, &users()).unwrap();
        chmod(folder_above.path(), 0o777);
        assert!(refusal(folder(&home, &users())).contains("everybody can write"));
        chmod(folder_above.path(), 0o1777);
        folder(&home, &users()).unwrap();
    }

    /// A member of the group of a folder above could rename it and put another in its place.
    #[test]
    fn a_group_that_can_write_above_is_refused_unless_it_is_the_owners_own() {
        let (folder_above, home) = home();
        let metadata = folder_above.path().metadata().unwrap();
        chmod(folder_above.path(), 0o770);
        if metadata.gid() == metadata.uid() || metadata.gid() == 0 {
            folder(&home, &users()).unwrap();
        }
        if chown(folder_above.path(), None, Some(4321)).is_ok() {
            let error = refusal(folder(&home, &users()));
            for part in ["to which group 4321 can write", "`chmod go-w '"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(folder(&home.join("not/yet"), &users()).is_err());
            chmod(folder_above.path(), 0o1770);
            folder(&home, &users()).unwrap();
            chmod(folder_above.path(), 0o750);
            folder(&home, &users()).unwrap();
        }
    }

    #[test]
    fn links_inside_are_refused_wherever_they_lead() {
        let (_folder, home) = home();
        symlink("/etc", home.join("share/images/x")).unwrap();
        assert!(refusal(below(&home, 9, &users())).contains("is a link"));
        std::fs::remove_file(home.join("share/images/x")).unwrap();
        // An editor's lock is a link to nothing; a link to a file is none.
        symlink("me@box.17:1", home.join("share/.#site.yaml")).unwrap();
        below(&home, 9, &users()).unwrap();
        symlink("/etc", home.join("share/.#x")).unwrap();
        assert!(refusal(below(&home, 9, &users())).contains("is a link"));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let (folder_above, home) = home();
        if chown(&home, Some(4321), None).is_err() {
            // Only root can change a file's owner; without root, a folder of root's is another user's.
            assert!(refusal(folder(Path::new("/etc"), &users())).contains("belongs to user 0"));
            return;
        }
        assert!(refusal(folder(&home, &users())).contains("belongs to user 4321"));
        folder(&home, &TrustedUsers::new(Some(4321))).unwrap();
        assert!(pool(&home, &users()).unwrap().contains("user 4321"));
        chown(&home, Some(0), None).unwrap();
        assert_eq!(pool(&home, &users()), None);
        let link = folder_above.path().join("link");
        symlink(&home, &link).unwrap();
        assert_eq!(pool(&link, &users()), None);
        std::os::unix::fs::lchown(&link, Some(4321), None).unwrap();
        assert!(
            pool(&link, &users())
                .unwrap()
                .contains("link, which belongs to user 4321")
        );
        std::fs::remove_file(&link).unwrap();
        chown(home.join("share"), Some(4321), None).unwrap();
        assert!(refusal(below(&home, 9, &users())).contains("belongs to user 4321"));
        chown(folder_above.path(), Some(4321), None).unwrap();
        assert!(refusal(folder(&home, &users())).contains("put another in its place"));
        assert!(pool(&home, &users()).unwrap().contains("is reached by"));
        chown(folder_above.path(), Some(0), None).unwrap();
        chmod(&home, 0o777);
        assert!(pool(&home, &users()).unwrap().contains("everybody"));
        chmod(&home, 0o1777);
        assert_eq!(pool(&home, &users()), None);
    }
}
