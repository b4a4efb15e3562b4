//! [`Removal`]: all of a cluster, as libvirt tells it, and what this machine has of it; snapshots of etcd stay.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::value::Label;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::plan::Plan as Machines;

use crate::event::Ending;
use crate::failure::Failure;
use crate::home::{ClusterDir, Home, Lock};
use crate::hosts::hosts_of;
use crate::job::Options;
use crate::run::several_threads;
use crate::{personal, pipeline};

/// All that goes with a cluster. While this is held, no other run works on it. `Display` shows it to people.
pub struct Removal {
    cluster: Label,
    options: Options,
    hosts: Hosts,
    machines: Machines,
    here: Here,
    lock: Lock,
}

impl Removal {
    /// Whether anything goes with the cluster of this name. Leaves nothing behind, not even a lock.
    pub fn is_due(
        cluster: &Label,
        with_snapshots: bool,
        options: &Options,
    ) -> Result<bool, Failure> {
        let (_, machines, here) = look(cluster, with_snapshots, options)?;
        Ok(!(machines.is_empty() && here.is_empty()))
    }

    /// Finds what goes with the cluster of this name: with its snapshots of etcd, or without.
    pub fn plan(cluster: Label, with_snapshots: bool, options: Options) -> Result<Self, Failure> {
        let lock = options.home.cluster(&cluster).lock()?;
        let (hosts, machines, here) = look(&cluster, with_snapshots, &options)?;
        Ok(Self {
            cluster,
            options,
            hosts,
            machines,
            here,
            lock,
        })
    }

    /// Whether there is no such cluster.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.here.is_empty()
    }

    /// Removes it all for good. Needs a runtime of several threads.
    pub async fn carry_out(self) -> Result<(), Failure> {
        let nothing = self.is_empty();
        let Self {
            cluster,
            options,
            hosts,
            machines,
            here,
            lock,
        } = self;
        if nothing {
            let removed = async { lock.remove() };
            return options.end(&cluster, Ending::Unchanged, removed).await;
        }
        let work = async {
            several_threads()?;
            pipeline::destroy(&machines, &hosts, &options).await?;
            fail::fail_point!("cli::destroy");
            here.remove(&cluster, &options)?;
            lock.remove()
        };
        options.end(&cluster, Ending::Removed, work).await
    }
}

/// The hosts of a cluster, what goes on them, and what goes here.
fn look(
    cluster: &Label,
    with_snapshots: bool,
    options: &Options,
) -> Result<(Hosts, Machines, Here), Failure> {
    let home = &options.home;
    let dir = home.cluster(cluster);
    let hosts = hosts_of(options.world.as_ref(), home, &dir, &options.site)?;
    let machines = kubitect_provision::plan::plan_destroy(cluster, &hosts)
        .map_err(|e| Failure::because(format!("plan the removal of {cluster}"), e))?;
    let here = Here::look(home, cluster, dir, with_snapshots)?;
    Ok((hosts, machines, here))
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machines.fmt(f)?;
        self.here.fmt(f)
    }
}

/// What this machine has of a cluster.
struct Here {
    dir: ClusterDir,
    /// What lies in the cluster's folder and goes, and how many files of it there are.
    goes: Vec<(PathBuf, usize)>,
    /// The snapshots of etcd that stay.
    stays: Option<(PathBuf, usize)>,
    /// The person's `known_hosts`, if lines of the cluster are in it.
    known_hosts: Option<PathBuf>,
    /// The person's kubeconfig, if the cluster is in it.
    kubeconfig: Option<PathBuf>,
}

impl Here {
    fn look(
        home: &Home,
        cluster: &Label,
        dir: ClusterDir,
        with_snapshots: bool,
    ) -> Result<Self, Failure> {
        let snapshots = dir.root().join("backups");
        let (mut goes, mut stays) = (Vec::new(), None);
        let failed = |e| Failure::io("list", dir.root(), e);
        let entries = match std::fs::read_dir(dir.root()) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            other => Some(other.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(failed)?.path();
            let files = files(&path);
            if path == snapshots && !with_snapshots && files > 0 {
                stays = Some((path, files));
            } else {
                goes.push((path, files));
            }
        }
        // The configuration goes last: it says where the machines were.
        goes.sort_by_key(|(path, _)| (*path == dir.config_dir(), path.clone()));
        let known_hosts = home
            .known_hosts()
            .ok()
            .filter(|path| kubitect_provision::ssh::known_hosts::has(path, cluster));
        let kubeconfig = home
            .kubeconfig()
            .ok()
            .filter(|path| personal::has(path, cluster, &dir.kubeconfig()));
        Ok(Self {
            dir,
            goes,
            stays,
            known_hosts,
            kubeconfig,
        })
    }

    /// Whether nothing goes.
    fn is_empty(&self) -> bool {
        self.goes.is_empty() && self.known_hosts.is_none() && self.kubeconfig.is_none()
    }

    fn remove(&self, cluster: &Label, options: &Options) -> Result<(), Failure> {
        let Options { events, .. } = options;
        let remove_lines = || match &self.known_hosts {
            Some(path) => kubitect_provision::ssh::known_hosts::remove(path, cluster)
                .map(drop)
                .map_err(|e| Failure::because("remove the machines from your known_hosts", e)),
            None => Ok(()),
        };
        // A file is written anew before it takes the place of the old one: on a full disk there is room for that only when the
        // cluster's folder is gone.
        let early = remove_lines();
        fail::fail_point!("cli::destroy");
        // A kubeconfig that can't be worked with is the person's to mend, and no reason to keep the rest.
        let unmerged = match &self.kubeconfig {
            Some(path) => personal::unmerge(path, cluster, &self.dir.kubeconfig()),
            None => options
                .home
                .kubeconfig()
                .map_or(Ok(()), |path| personal::forget_lock(&path)),
        };
        if let Err(e) = unmerged {
            events.warn(e.to_string());
        }
        fail::fail_point!("cli::destroy");
        for (path, _) in &self.goes {
            remove_all(path)?;
        }
        if self.stays.is_none() {
            remove_all(self.dir.root())?;
        }
        if early.is_err()
            && let Err(e) = remove_lines()
        {
            events.warn(e.to_string());
        }
        Ok(())
    }
}

/// How many files are in a folder and all below it; 1 for a file.
fn files(path: &Path) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| files(&entry.path())).sum(),
        Err(_) => 1,
    }
}

fn remove_all(path: &Path) -> Result<(), Failure> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Failure::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// A line each, as the plan's other lines.
impl fmt::Display for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() && self.stays.is_none() {
            return Ok(());
        }
        let count = |files: usize| match files {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        writeln!(f, "On this machine:")?;
        for (path, files) in &self.goes {
            let what = match path.file_name().and_then(|name| name.to_str()) {
                Some("config") => "configuration, keys, kubeconfig: ",
                Some("logs") => "logs: ",
                Some("backups") => "snapshots of etcd: ",
                _ => "",
            };
            writeln!(f, "  - remove {} ({what}{})", path.display(), count(*files))?;
        }
        if let Some(path) = &self.known_hosts {
            writeln!(f, "  - remove the machines' lines from {}", path.display())?;
        }
        if let Some(path) = &self.kubeconfig {
            writeln!(
                f,
                "  - remove the cluster, its context and its user from {}",
                path.display()
            )?;
        }
        match &self.stays {
            Some((path, files)) => writeln!(
                f,
                "    keep {} (snapshots of etcd: {}; --with-snapshots removes them, too)",
                path.display(),
                count(*files)
            ),
            None => Ok(()),
        }
    }
}
