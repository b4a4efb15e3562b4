//! [`Home`]: the folder of all clusters. [`ClusterDir`]: the folder of one cluster in it, with a lock: one run per cluster at a
//! time.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::Pip;
use kubitect_config::file::{private_folder, replace};
use kubitect_config::value::Label;
use kubitect_config::{Refusal, RefusalKind, Site};

use crate::Error;
use crate::trust::{self, TrustedUsers};

mod configurations;
mod contents;
mod left_out;
mod lock;
mod runs;

pub use contents::Contents;
pub use lock::Lock;
pub use runs::new_log;

/// The most levels of folders below that of all clusters.
const DEPTH: u32 = 16;

/// The folder of all clusters, and the home folder of the person who uses it.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    person: Option<PathBuf>,
    users: TrustedUsers,
    /// `.kubitect` in the person's home folder, if `root` is another one that somebody else may have filled (`--local`): settings
    /// that run programs are then read from here only.
    personal: Option<PathBuf>,
}

impl Home {
    /// The folder at `path`, which need not exist yet. An existing one, and the files in it that decide what a run does, have to
    /// belong to this process's user, with nobody else allowed to write to them; links in it are refused.
    ///
    /// `person` is the home folder that `~/` stands for, and to whose `.kube/config` and `.ssh/known_hosts` a cluster is added if
    /// its file asks for that. Without one, a file that needs it is an error.
    pub fn open(path: &Path, person: Option<PathBuf>) -> Result<Self, Error> {
        Self::open_for(path, person, TrustedUsers::new(None))
    }

    /// As [`Home::open`], where files of these users are trusted.
    pub fn open_for(
        path: &Path,
        person: Option<PathBuf>,
        users: TrustedUsers,
    ) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
        trust::folder(&path, &users).map_err(untrusted)?;
        trust::below(&path, 1, &users).map_err(untrusted)?;
        // Not deeper: checkouts and Python environments contain links.
        trust::below(&path.join("share"), 2, &users).map_err(untrusted)?;
        trust::below(&path.join("clusters"), DEPTH, &users).map_err(untrusted)?;
        trust::below(&path.join(runs::REMOVALS), 2, &users).map_err(untrusted)?;
        Ok(Self {
            root: path,
            person,
            users,
            personal: None,
        })
    }

    /// The same folder, as `./.kubitect` of a folder that somebody else may have filled (`--local`): settings that run programs
    /// are read from `.kubitect` in the person's home folder only.
    pub fn local(mut self) -> Result<Self, Error> {
        let personal = self.person()?.join(".kubitect");
        Self::open_for(&personal, None, self.users.clone())?;
        self.personal = Some(personal);
        Ok(self)
    }

    /// An error if another user has created the folder since it was opened, as is possible below `/tmp`.
    fn check_owner(&self) -> Result<(), Error> {
        trust::folder(&self.root, &self.users).map_err(untrusted)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether somebody else may have filled the folder (`--local`).
    pub fn is_local(&self) -> bool {
        self.personal.is_some()
    }

    /// The users whose files are trusted.
    pub fn trusted_users(&self) -> &TrustedUsers {
        &self.users
    }

    /// An error if `path`, which the command line names, is not trusted; see [`trust::named`].
    pub fn check_named(&self, path: &Path) -> Result<(), Error> {
        let failed = |e| Error::because(format!("use {}", path.display()), e);
        trust::named(path, &self.users).map_err(failed)
    }

    /// The person's home folder.
    pub fn person(&self) -> Result<&Path, Error> {
        self.person.as_deref().ok_or_else(no_home)
    }

    /// `path` with a leading `~/` resolved.
    pub fn expand(&self, path: &Path) -> Result<PathBuf, Error> {
        match path.strip_prefix("~") {
            Ok(rest) => Ok(self.person()?.join(rest)),
            Err(_) => Ok(path.to_owned()),
        }
    }

    /// The path of the person's kubeconfig.
    pub fn kubeconfig(&self) -> Result<PathBuf, Error> {
        Ok(self.person()?.join(".kube/config"))
    }

    /// The path of the person's `known_hosts`.
    pub fn known_hosts(&self) -> Result<PathBuf, Error> {
        Ok(self.person()?.join(".ssh/known_hosts"))
    }

    /// The folder of what clusters share: images, and the checkouts and Python environments that run on this machine.
    pub fn share(&self) -> PathBuf {
        self.personal.as_ref().unwrap_or(&self.root).join("share")
    }

    /// The path of the site file, which need not exist.
    pub fn site_file(&self) -> PathBuf {
        self.root.join("site.yaml")
    }

    /// The folder of one cluster.
    pub fn cluster(&self, name: &Label) -> ClusterDir {
        let root = self.root.join("clusters").join(name.as_str());
        ClusterDir(root, self.users.clone())
    }

    /// The names of all clusters that have a folder, in order.
    pub fn clusters(&self) -> Result<Vec<Label>, Error> {
        let dir = self.root.join("clusters");
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| Error::io("list", &dir, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", &dir, e))?;
            // An entry that is no valid cluster name was not made by Kubitect.
            if let Some(name) = entry.file_name().to_str().and_then(|n| n.parse().ok())
                && self.cluster(&name).has_cluster()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The site file, or the defaults where there is none. With `--local`, settings that run programs on this machine come from
    /// the person's own site file only: `./.kubitect` may have come with a checkout.
    pub fn site(&self) -> Result<Site, Error> {
        let mut site = site(&self.site_file())?;
        self.check_owner()?;
        if let Some(personal) = &self.personal {
            let path = personal.join("site.yaml");
            let kubespray = &site.kubespray;
            let runs = kubespray.python.is_some() || kubespray.any_commit == Some(true);
            if runs || !site.libvirt_uris.is_empty() || site.pip != Pip::default() {
                let why = "`libvirtUris`, `pip`, `kubespray.python` and `kubespray.anyCommit` say what runs on this machine, and \
                           the folder may come from elsewhere";
                let path = path.display();
                let instead = format!("write them into {path}, which counts with --local, too");
                let refusal = Refusal::new(RefusalKind::Site, why, instead);
                return Err(Error::Site(refusal.of(self.site_file().display()).into()));
            }
            let personal = self::site(&path)?;
            site.libvirt_uris = personal.libvirt_uris;
            site.pip = personal.pip;
            site.kubespray.python = personal.kubespray.python;
            site.kubespray.any_commit = Some(personal.kubespray.any_commit == Some(true));
        }
        Ok(site)
    }
}

fn untrusted(why: Error) -> Error {
    Error::because("use Kubitect's folder", why)
}

fn site(path: &Path) -> Result<Site, Error> {
    match Site::load(path) {
        Err(kubitect_config::Error::Read { source, .. })
            if source.kind() == ErrorKind::NotFound =>
        {
            Ok(Site::default())
        }
        other => other.map_err(Error::Config),
    }
}

/// The error that there is no home folder.
pub fn no_home() -> Error {
    Error::failed("find your home folder: set HOME, or KUBITECT_HOME, or use --local")
}

/// The folder of one cluster, and the users whose files in it are trusted.
#[derive(Debug, Clone)]
pub struct ClusterDir(PathBuf, TrustedUsers);

impl ClusterDir {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Whether the folder is that of a cluster; else it has only the snapshots of a removed one.
    fn has_cluster(&self) -> bool {
        self.config_dir().is_dir() || self.left_out_dir().is_dir()
    }

    /// The folder of the cluster's configuration.
    pub fn config_dir(&self) -> PathBuf {
        self.0.join("config")
    }

    /// The folder of the full logs, one a run.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The folder of the snapshots of etcd.
    pub fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    /// The folder of SSH keys and pinned host keys.
    pub fn ssh(&self) -> PathBuf {
        self.config_dir().join(".ssh")
    }

    /// The configuration of the last run, whether it succeeded or not.
    pub fn wanted(&self) -> PathBuf {
        self.config_dir().join("kubitect.yaml")
    }

    /// The configuration that was applied last, by a run that succeeded.
    pub fn applied(&self) -> PathBuf {
        self.config_dir().join("kubitect-applied.yaml")
    }

    /// The [`Facts`](kubitect_config::Facts) of the last run: names, addresses and keys of the machines.
    pub fn facts(&self) -> PathBuf {
        self.config_dir().join("infrastructure.yaml")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.config_dir().join("admin.conf")
    }

    /// Creates the folders of configuration and logs (0700).
    pub fn create(&self) -> Result<(), Error> {
        for dir in [self.config_dir(), self.logs()] {
            create_private_dir(&dir)?;
        }
        Ok(())
    }
}

/// Creates a folder, and those above it, for the owner only. An existing one keeps its mode.
pub fn create_private_dir(dir: &Path) -> Result<(), Error> {
    private_folder(dir).map_err(|e| Error::io("create", dir, e))
}

/// Replaces a file whole or not at all.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, content, mode).map_err(|e| Error::io("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release::Hop;
    use kubitect_config::{Facts, NodeFacts, cluster::Role};

    /// These names must not change: under others, keys and configurations on users' machines would no longer be found.
    #[test]
    fn golden_files_of_a_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        let names = [
            (dir.wanted(), "config/kubitect.yaml"),
            (dir.applied(), "config/kubitect-applied.yaml"),
            (dir.facts(), "config/infrastructure.yaml"),
            (dir.kubeconfig(), "config/admin.conf"),
            (dir.ssh(), "config/.ssh"),
            (dir.logs(), "logs"),
            (dir.backups(), "backups"),
        ];
        let root = folder.path().join("clusters/demo");
        for (path, name) in names {
            assert_eq!(path, root.join(name));
        }
        assert_eq!(home.share(), folder.path().join("share"));
        dir.create().unwrap();
        dir.begin("a").unwrap();
        dir.begin("b").unwrap();
        let unfinished = root.join("config/kubitect-unfinished-ca978112.yaml");
        assert_eq!(dir.abandoned().unwrap(), [unfinished]);
        let lock = dir.lock().unwrap();
        let holder = std::fs::read_to_string(folder.path().join("clusters/.demo.lock")).unwrap();
        assert_eq!(holder, format!("{}\n", std::process::id()));
        drop(lock);
        let versions_set_up = Hop {
            kubernetes: "v1.33.5".parse().unwrap(),
            kubespray: "v2.29.1".parse().unwrap(),
        };
        dir.end("b", &versions_set_up).unwrap();
        let versions = root.join("config/kubitect-versions.yaml");
        let text = std::fs::read_to_string(&versions).unwrap();
        assert_eq!(text, "kubernetes: v1.33.5\nkubespray: v2.29.1\n");
        assert_eq!(dir.applied_versions().unwrap(), Some(versions_set_up));
        // A file that can't be read is an error, not the same as none.
        std::fs::write(versions, "kubernetes: 1").unwrap();
        let error = dir.applied_versions().unwrap_err().to_string();
        assert!(
            error.contains("kubitect-versions.yaml, which says"),
            "{error}"
        );
    }

    /// Below `/tmp`, another user can create the folder between the check and its first use.
    #[test]
    fn a_folder_that_was_made_meanwhile_is_checked_again() {
        use std::os::unix::fs::PermissionsExt;
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("home");
        let home = Home::open(&path, None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("site.yaml"), "virtType: qemu\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let refused = |error: Error| {
            let why = kubitect_config::chain(&error);
            assert!(why.contains("can write"), "{why}");
        };
        refused(home.site().map(drop).unwrap_err());
        refused(dir.lock().map(drop).unwrap_err());
        assert!(!path.join("clusters/.demo.lock").exists());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        home.site().unwrap();
        drop(dir.lock().unwrap());
    }

    /// Programs read this file.
    #[test]
    fn golden_facts_of_machines() {
        let node = NodeFacts {
            name: "demo-master-1".parse().unwrap(),
            role: Role::Master,
            id: "1".parse().unwrap(),
            host: "box".parse().unwrap(),
            ip: "10.0.0.1".parse().unwrap(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            host_key: "ssh-ed25519 AAAA".to_owned(),
        };
        let facts = Facts {
            user: "k8s".to_owned(),
            private_key: "/k/id_ed25519".into(),
            known_hosts: "/k/known_hosts".into(),
            nodes: vec![node],
        };
        let text = kubitect_config::yaml::write(&facts).unwrap();
        assert_eq!(
            text,
            "\
user: k8s
privateKey: /k/id_ed25519
knownHosts: /k/known_hosts
nodes:
- name: demo-master-1
  role: master
  id: \"1\"
  host: box
  ip: \"10.0.0.1\"
  mac: \"52:54:00:00:00:01\"
  hostKey: \"ssh-ed25519 AAAA\"
"
        );
    }
}
