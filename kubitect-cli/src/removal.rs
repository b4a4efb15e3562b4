//! [`Removal`]: all of a cluster, as libvirt tells it, and what this machine has of it; snapshots of etcd stay.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use kubitect_config::row::{Action, Fold, Kind, Row, Table};
use kubitect_config::value::{Label, Name};
use kubitect_provision::host_lock::{self, Holder, HostLocks};
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::plan::Plan as Machines;

use crate::event::Ending;
use crate::failure::Failure;
use crate::home::{ClusterDir, Contents, Home, Lock};
use crate::hosts::{self, LeftOut};
use crate::job::Options;
use crate::plan::document;
use crate::{personal, pipeline};

/// What of a cluster goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Whether its snapshots of etcd go, too.
    pub with_snapshots: bool,
    /// Hosts that are gone for good: they are not asked, and what they carry stays.
    pub without_hosts: Vec<Name>,
    /// The same, and what they carry is not remembered either.
    pub forget_hosts: Vec<Name>,
}

/// All that goes with a cluster. While this is held, no other run works on it. `Display` shows it to people.
#[must_use = "nothing is removed until it is carried out"]
pub struct Removal {
    cluster: Label,
    options: Options,
    found: Found,
    // Given back before the folder's own lock is.
    on_hosts: HostLocks,
    lock: Lock,
}

kubitect_config::shown_by!(Removal, cluster, options, on_hosts);

/// What goes with a cluster: on its hosts, and here.
struct Found {
    hosts: Hosts,
    left_out: Vec<LeftOut>,
    machines: Machines,
    here: Here,
}

impl Removal {
    /// Whether anything goes with the cluster of this name. Leaves nothing behind, not even a lock.
    pub fn is_due(cluster: &Label, extent: &Extent, options: &Options) -> Result<bool, Failure> {
        let (hosts, left_out) = reach(cluster, extent, options)?;
        let is_left = host_lock::is_left(cluster, &hosts)?;
        Ok(is_left || !Found::look(cluster, extent, options, hosts, left_out)?.is_empty())
    }

    /// Finds what goes with the cluster of this name.
    pub fn plan(cluster: Label, extent: &Extent, options: Options) -> Result<Self, Failure> {
        let options = options.of_run();
        let dir = options.home.cluster(&cluster);
        let lock = dir.lock()?;
        let (hosts, left_out) = reach(&cluster, extent, &options)?;
        let me = Holder::this(&dir);
        let on_hosts = HostLocks::take(&cluster, &hosts, &me, options.take_over)?;
        Ok(Self {
            found: Found::look(&cluster, extent, &options, hosts, left_out)?,
            cluster,
            options,
            on_hosts,
            lock,
        })
    }

    /// All that goes on the hosts, a line each.
    pub fn table(&self) -> String {
        let changes = self.found.machines.changes.iter();
        Table(&changes.map(Row::from).collect::<Vec<_>>()).to_string()
    }

    /// Whether there is no such cluster.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What stays on hosts that are left out, a sentence each.
    pub fn left_out(&self) -> Vec<String> {
        let left = self.found.left_out.iter();
        left.map(|own| own.sentence(&self.cluster)).collect()
    }

    /// For programs: one object, as of a plan.
    pub fn json(&self) -> serde_json::Value {
        let rows = self.found.machines.changes.iter().map(Row::from);
        let rows = rows.chain(self.found.here.rows());
        let rows: Vec<_> = rows.map(|row| Row { phase: 1, ..row }).collect();
        let left = self.found.left_out.iter();
        let left = left.map(|own| own.sentence(&self.cluster));
        let notes: Vec<_> = self
            .found
            .here
            .folder
            .stays()
            .into_iter()
            .chain(left)
            .collect();
        document(&self.cluster, &["remove".to_owned()], &rows, &notes)
    }

    /// Removes it all for good. Needs a runtime of several threads.
    pub async fn carry_out(self) -> Result<(), Failure> {
        let Self {
            cluster,
            options,
            found,
            on_hosts,
            lock,
        } = self;
        if found.is_empty() {
            drop(on_hosts);
            let removed = async { Ok(lock.remove()?) };
            return options.carry_out(&cluster, Ending::Unchanged, removed);
        }
        let work = async {
            if !found.machines.is_empty() {
                pipeline::destroy(&found.machines, &found.hosts, &options).await?;
            }
            // As long as the folder tells on which hosts it is.
            drop(on_hosts);
            fail::fail_point!("cli::destroy");
            let mut left = found.left_out.iter();
            left.try_for_each(|own| own.remember(&found.here.folder.dir))?;
            found.here.remove(&cluster, &options)?;
            let left = found.left_out.iter();
            left.for_each(|own| options.events.warn(own.sentence(&cluster)));
            Ok(lock.remove()?)
        };
        options.carry_out(&cluster, Ending::Removed, work)
    }
}

/// The hosts of a cluster, connected, and those that are left out.
fn reach(
    cluster: &Label,
    extent: &Extent,
    options: &Options,
) -> Result<(Hosts, Vec<LeftOut>), Failure> {
    let (home, site) = (&options.home, &options.site);
    let dir = home.cluster(cluster);
    let (without, forgotten) = (&extent.without_hosts, &extent.forget_hosts);
    let reach = options.world.as_ref();
    Ok(hosts::of_removal(
        reach, home, &dir, site, without, forgotten,
    )?)
}

impl Found {
    fn look(
        cluster: &Label,
        extent: &Extent,
        options: &Options,
        hosts: Hosts,
        left_out: Vec<LeftOut>,
    ) -> Result<Self, Failure> {
        let home = &options.home;
        let dir = home.cluster(cluster);
        let remembered = left_out.iter().filter(|own| !own.is_forgotten);
        let remembered = remembered.map(|own| own.host.clone()).collect();
        let machines = kubitect_provision::plan_destroy_without(cluster, &hosts, &left_out)
            .map_err(|e| Failure::because(format!("plan the removal of {cluster}"), e))?;
        Ok(Self {
            hosts,
            left_out,
            machines,
            here: Here::look(home, cluster, dir, extent.with_snapshots, &remembered)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.here.is_empty()
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found {
            hosts: _,
            left_out,
            machines,
            here,
        } = &self.found;
        match (machines.is_empty(), left_out.is_empty()) {
            (false, _) => {
                let rows: Vec<_> = machines.changes.iter().map(Row::from).collect();
                write!(f, "{}", Fold::new(self.cluster.as_str(), &rows))?;
            }
            (true, true) => writeln!(f, "{}: nothing of it is left on its hosts", self.cluster)?,
            (true, false) => writeln!(
                f,
                "{}: nothing of it is left on its other hosts",
                self.cluster
            )?,
        }
        here.fmt(f)?;
        let mut left = left_out.iter();
        left.try_for_each(|own| writeln!(f, "{}", own.sentence(&self.cluster)))
    }
}

/// What this machine has of a cluster.
struct Here {
    folder: Contents,
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
        left_out: &BTreeSet<Name>,
    ) -> Result<Self, Failure> {
        let known_hosts = home
            .known_hosts()
            .ok()
            .filter(|path| kubitect_provision::ssh::known_hosts::has(path, cluster));
        let kubeconfig = home
            .kubeconfig()
            .ok()
            .filter(|path| personal::has(path, cluster, &dir.kubeconfig()));
        Ok(Self {
            folder: Contents::look(dir, with_snapshots, left_out)?,
            known_hosts,
            kubeconfig,
        })
    }

    /// Whether nothing goes.
    fn is_empty(&self) -> bool {
        self.folder.is_empty() && self.known_hosts.is_none() && self.kubeconfig.is_none()
    }

    /// What goes, for programs.
    fn rows(&self) -> Vec<Row> {
        let files = self.folder.goes().map(|path| (Action::Remove, path));
        let own = self.known_hosts.iter().chain(&self.kubeconfig);
        let own = own.map(|path| (Action::Change, path.as_path()));
        let rows = files.chain(own).map(|(action, path)| Row {
            destructive: action == Action::Remove,
            ..Row::new(
                action,
                Kind::File,
                &path.display().to_string(),
                String::new(),
            )
        });
        rows.collect()
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
            Some(path) => personal::unmerge(path, cluster, &self.folder.dir.kubeconfig()),
            None => options
                .home
                .kubeconfig()
                .map_or(Ok(()), |path| personal::forget_lock(&path)),
        };
        if let Err(e) = unmerged {
            events.warn(Failure::from(e).to_string());
        }
        fail::fail_point!("cli::destroy");
        self.folder.remove()?;
        if early.is_err()
            && let Err(e) = remove_lines()
        {
            events.warn(e.to_string());
        }
        Ok(())
    }
}

/// A line each, as the plan's other lines.
impl fmt::Display for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stays = self.folder.stays();
        if self.is_empty() && stays.is_none() {
            return Ok(());
        }
        writeln!(f, "On this machine:")?;
        self.folder.fmt(f)?;
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
        match stays {
            Some(stays) => writeln!(f, "    {stays}"),
            None => Ok(()),
        }
    }
}
