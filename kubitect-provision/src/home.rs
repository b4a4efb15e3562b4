//! [`Home`]: the folder of all clusters, each cluster's own in it, and its lock: one run per cluster at a time.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::Pip;
use kubitect_config::file::{private_folder, replace};
use kubitect_config::value::Label;
use kubitect_config::{Refusal, RefusalKind, Site};

use crate::Error;
use crate::trust::{self, Us};

mod begun;
mod contents;
mod left_out;
mod lock;
mod runs;

pub use contents::Contents;
pub use lock::Lock;
pub use runs::new_log;

/// How deep the folders of a cluster are at most.
const DEPTH: u32 = 16;

/// The folder that holds all clusters, and the person whose own files belong to them.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    person: Option<PathBuf>,
    us: Us,
    /// The person's own folder, where this one may have come from elsewhere: what runs programs is taken from there only.
    own: Option<PathBuf>,
}

impl Home {
    /// The folder at `path`, which need not be there yet. One that is there has to be ours alone, with all in it that says what
    /// is done; no link in it is followed.
    ///
    /// `person` is the home folder from which `~/` counts, and whose `.kube/config` and `.ssh/known_hosts` a cluster comes into
    /// if its file asks for that. Without one, a file that needs it is an error.
    pub fn open(path: &Path, person: Option<PathBuf>) -> Result<Self, Error> {
        Self::open_for(path, person, Us::new(None))
    }

    /// As [`Home::open`], where these may have written what is in it.
    pub fn open_for(path: &Path, person: Option<PathBuf>, us: Us) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
        trust::folder(&path, &us).map_err(not_ours)?;
        trust::below(&path, 1, &us).map_err(not_ours)?;
        // Checkouts and Python environments have links in them, by right.
        trust::below(&path.join("share"), 2, &us).map_err(not_ours)?;
        trust::below(&path.join("clusters"), DEPTH, &us).map_err(not_ours)?;
        trust::below(&path.join(runs::REMOVALS), 2, &us).map_err(not_ours)?;
        Ok(Self {
            root: path,
            person,
            us,
            own: None,
        })
    }

    /// The same, if it may have come with a folder from elsewhere: what runs programs is taken from `.kubitect` in the person's
    /// home folder only.
    pub fn local(mut self) -> Result<Self, Error> {
        let own = self.person()?.join(".kubitect");
        Self::open_for(&own, None, self.us.clone())?;
        self.own = Some(own);
        Ok(self)
    }

    /// An error if somebody else has made the folder since it was opened, as they can below `/tmp`.
    fn still_ours(&self) -> Result<(), Error> {
        trust::folder(&self.root, &self.us).map_err(not_ours)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it may have come with a folder from elsewhere.
    pub fn is_local(&self) -> bool {
        self.own.is_some()
    }

    /// Who may have written what is believed.
    pub fn us(&self) -> &Us {
        &self.us
    }

    /// An error if what is at `path`, which a person names, is somebody else's, as [`trust::named`] says.
    pub fn check_named(&self, path: &Path) -> Result<(), Error> {
        let failed = |e| Error::because(format!("use {}", path.display()), e);
        trust::named(path, &self.us).map_err(failed)
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

    /// Where the person's kubeconfig is.
    pub fn kubeconfig(&self) -> Result<PathBuf, Error> {
        Ok(self.person()?.join(".kube/config"))
    }

    /// Where the person's known hosts are.
    pub fn known_hosts(&self) -> Result<PathBuf, Error> {
        Ok(self.person()?.join(".ssh/known_hosts"))
    }

    /// What clusters share: images, and the checkouts and Python environments that run on this machine.
    pub fn share(&self) -> PathBuf {
        self.own.as_ref().unwrap_or(&self.root).join("share")
    }

    /// The site file, which need not be there.
    pub fn site_file(&self) -> PathBuf {
        self.root.join("site.yaml")
    }

    /// The folder of one cluster.
    pub fn cluster(&self, name: &Label) -> ClusterDir {
        let root = self.root.join("clusters").join(name.as_str());
        ClusterDir(root, self.us.clone())
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
            // Anything that is not a cluster's name was not made by us.
            if let Some(name) = entry.file_name().to_str().and_then(|n| n.parse().ok())
                && self.cluster(&name).is_one()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The site file, or its defaults where there is none. What runs programs on this machine is taken from the person's own
    /// home only, never from `./.kubitect`.
    pub fn site(&self) -> Result<Site, Error> {
        let mut site = site(&self.site_file())?;
        self.still_ours()?;
        if let Some(own) = &self.own {
            let own = own.join("site.yaml");
            let kubespray = &site.kubespray;
            let runs = kubespray.python.is_some() || kubespray.any_commit == Some(true);
            if runs || !site.libvirt_uris.is_empty() || site.pip != Pip::default() {
                let why = "`libvirtUris`, `pip`, `kubespray.python` and `kubespray.anyCommit` say what runs on this machine, and \
                           the folder may come from elsewhere";
                let own = own.display();
                let instead = format!("write them into {own}, which counts with --local, too");
                let refusal = Refusal::new(RefusalKind::Site, why, instead);
                return Err(Error::Site(refusal.of(self.site_file().display()).into()));
            }
            let own = self::site(&own)?;
            site.libvirt_uris = own.libvirt_uris;
            site.pip = own.pip;
            site.kubespray.python = own.kubespray.python;
            site.kubespray.any_commit = Some(own.kubespray.any_commit == Some(true));
        }
        Ok(site)
    }
}

fn not_ours(why: Error) -> Error {
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

/// The failure of what needs a person's home folder where there is none.
pub fn no_home() -> Error {
    Error::failed("find your home folder: set HOME, or KUBITECT_HOME, or use --local")
}

/// The folder of one cluster, and who may have written what is in it.
#[derive(Debug, Clone)]
pub struct ClusterDir(PathBuf, Us);

impl ClusterDir {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Whether a cluster has this folder, and not only snapshots of one that is gone.
    fn is_one(&self) -> bool {
        self.config_dir().is_dir() || self.left_out_dir().is_dir()
    }

    /// The cluster's files.
    pub fn config_dir(&self) -> PathBuf {
        self.0.join("config")
    }

    /// The full logs, one a run.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Snapshots of etcd.
    pub fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    /// Keys and pinned host keys.
    pub fn ssh(&self) -> PathBuf {
        self.config_dir().join(".ssh")
    }

    /// The configuration that is wanted.
    pub fn wanted(&self) -> PathBuf {
        self.config_dir().join("kubitect.yaml")
    }

    /// The configuration that was applied last.
    pub fn applied(&self) -> PathBuf {
        self.config_dir().join("kubitect-applied.yaml")
    }

    /// What is known of the machines.
    pub fn facts(&self) -> PathBuf {
        self.config_dir().join("infrastructure.yaml")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.config_dir().join("admin.conf")
    }

    /// Makes the folders (0700).
    pub fn create(&self) -> Result<(), Error> {
        for dir in [self.config_dir(), self.logs()] {
            create_private_dir(&dir)?;
        }
        Ok(())
    }
}

/// Makes a folder, and those above it, for the owner only. One that is there stays as it is.
pub fn create_private_dir(dir: &Path) -> Result<(), Error> {
    private_folder(dir).map_err(|e| Error::io("create", dir, e))
}

/// Replaces a file whole.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, content, mode).map_err(|e| Error::io("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release::Hop;
    use kubitect_config::{Facts, NodeFacts, cluster::Role};

    /// Whoever changes a name here loses what lies on people's machines: keys, and on which hosts their clusters are.
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
        assert_eq!(dir.unfinished().unwrap(), [unfinished]);
        let lock = dir.lock().unwrap();
        let holder = std::fs::read_to_string(folder.path().join("clusters/.demo.lock")).unwrap();
        assert_eq!(holder, format!("{}\n", std::process::id()));
        drop(lock);
        let has = Hop {
            kubernetes: "v1.33.5".parse().unwrap(),
            kubespray: "v2.29.1".parse().unwrap(),
        };
        dir.end("b", &has).unwrap();
        let versions = root.join("config/kubitect-versions.yaml");
        let text = std::fs::read_to_string(&versions).unwrap();
        assert_eq!(text, "kubernetes: v1.33.5\nkubespray: v2.29.1\n");
        assert_eq!(dir.applied_versions().unwrap(), Some(has));
        // What can't be read is never taken for nothing.
        std::fs::write(versions, "kubernetes: 1").unwrap();
        let error = dir.applied_versions().unwrap_err().to_string();
        assert!(
            error.contains("kubitect-versions.yaml, which says"),
            "{error}"
        );
    }

    /// Below `/tmp`, another user can make the folder between the look at it and its first use.
    #[test]
    fn a_folder_that_was_made_meanwhile_is_looked_at_again() {
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
