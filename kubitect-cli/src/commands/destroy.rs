//! `destroy`: removes all of a cluster, as libvirt tells it, and what this machine has of it; snapshots of etcd stay.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::value::Label;

use crate::approve;
use crate::args::Destroy;
use crate::failure::Failure;
use crate::home::{ClusterDir, Home, user_home};
use crate::hosts::hosts_of;
use crate::names;
use crate::personal;
use crate::pipeline;
use crate::report::Reporter;
use crate::world::World;

/// Carries the command out.
pub fn destroy(world: &Arc<dyn World>, home: &Home, args: &Destroy) -> Result<(), Failure> {
    let Some(cluster) = names::named(&args.cluster) else {
        return Err(Failure::Usage(
            "what is to be removed for good has to be named: `kubitect destroy CLUSTER`",
        ));
    };
    let (dir, site) = (home.cluster(&cluster), home.site()?);
    let look = || -> Result<_, Failure> {
        let hosts = hosts_of(world.as_ref(), &dir, &site)?;
        let plan = kubitect_provision::plan::plan_destroy(&cluster, &hosts)
            .map_err(|e| Failure::because(format!("plan the removal of {cluster}"), e))?;
        let here = Here::look(&cluster, dir.clone(), args.with_snapshots)?;
        Ok((hosts, plan, here))
    };
    // Of a name that is mistyped nothing is left behind, not even its lock.
    if !dir.is_known() {
        let unknown = names::unknown(&cluster, &home.clusters()?);
        match look() {
            Ok((_, plan, here)) if plan.is_empty() && here.is_empty() => return Err(unknown),
            Ok(_) => {}
            Err(error) => return Err(unknown.below(error)),
        }
    }
    let lock = dir.lock()?;
    let (hosts, plan, here) = look()?;
    let reporter = Reporter::new();
    if plan.is_empty() && here.is_empty() {
        lock.remove()?;
        reporter.line(format!("{cluster}: nothing of it is left"));
        return Ok(());
    }
    reporter.text(&plan);
    reporter.text(&here);
    if !args.auto_approve {
        approve::ask("Shall all of this be removed for good?")?;
    }
    reporter.begin([]);
    let work = || {
        pipeline::destroy(&plan, &hosts, &reporter)?;
        fail::fail_point!("cli::destroy");
        here.remove(&cluster, &reporter)?;
        lock.remove()
    };
    match work() {
        Ok(()) => reporter.line(format!("{cluster}: removed")),
        Err(failure) => {
            let again = "the same command goes on from here".to_owned();
            reporter.failed(&failure.to_string(), failure.code(), &[again]);
            return Err(failure);
        }
    }
    reporter.done(&[]);
    Ok(())
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
    fn look(cluster: &Label, dir: ClusterDir, with_snapshots: bool) -> Result<Self, Failure> {
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
        let person = user_home().ok();
        let known_hosts = person
            .as_ref()
            .map(|home| home.join(".ssh/known_hosts"))
            .filter(|path| kubitect_provision::ssh::known_hosts::has(path, cluster));
        let kubeconfig = person
            .map(|home| home.join(".kube/config"))
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

    fn remove(&self, cluster: &Label, reporter: &Reporter) -> Result<(), Failure> {
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
            None => personal::path().map_or(Ok(()), |path| personal::forget_lock(&path)),
        };
        if let Err(e) = unmerged {
            reporter.line(format!("warning: {e}"));
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
            reporter.line(format!("warning: {e}"));
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
