//! [`Removal`]: removes all of a cluster: what libvirt has of it on the hosts, and its files on this machine. Snapshots of etcd
//! stay unless they are asked for.

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

/// How much of a cluster is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Whether its snapshots of etcd are removed, too.
    pub with_snapshots: bool,
    /// Hosts that are left out: they are not connected to. What they carry stays, and is remembered, so that a later run removes
    /// it.
    pub without_hosts: Vec<Name>,
    /// Hosts that are left out and never come back: what they carry is not remembered.
    pub forget_hosts: Vec<Name>,
}

/// All that is removed with a cluster; `Display` shows it to people. While this exists, no other run works on the cluster.
#[must_use = "nothing is removed until it is carried out"]
pub struct Removal {
    cluster: Label,
    options: Options,
    found: Found,
    // Dropped before the folder's lock: fields are dropped in their order.
    on_hosts: HostLocks,
    lock: Lock,
}

kubitect_config::debug_fields!(Removal, cluster, options, on_hosts);

/// What is removed with a cluster: on its hosts, and on this machine.
struct Found {
    hosts: Hosts,
    left_out: Vec<LeftOut>,
    machines: Machines,
    local: LocalFiles,
}

impl Removal {
    /// Whether there is anything to remove of the cluster of this name. Creates nothing, not even a lock.
    pub fn is_due(cluster: &Label, extent: &Extent, options: &Options) -> Result<bool, Failure> {
        let (hosts, left_out) = reach(cluster, extent, options)?;
        let is_left = host_lock::has_lock(cluster, &hosts)?;
        Ok(is_left || !Found::look(cluster, extent, options, hosts, left_out)?.is_empty())
    }

    /// Takes the cluster of this name, and finds all that is to be removed of it.
    pub fn plan(cluster: Label, extent: &Extent, options: Options) -> Result<Self, Failure> {
        let options = options.for_run();
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

    /// All that is removed on the hosts, a line each.
    pub fn table(&self) -> String {
        let changes = self.found.machines.changes.iter();
        Table(&changes.map(Row::from).collect::<Vec<_>>()).to_string()
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What stays on the hosts that are left out, a sentence each.
    pub fn left_out(&self) -> Vec<String> {
        let hosts = self.found.left_out.iter();
        hosts.map(|own| own.sentence(&self.cluster)).collect()
    }

    /// For programs: one object, as of a plan.
    pub fn json(&self) -> serde_json::Value {
        let rows = self.found.machines.changes.iter().map(Row::from);
        let rows = rows.chain(self.found.local.rows());
        let rows: Vec<_> = rows.map(|row| Row { phase: 1, ..row }).collect();
        let left_out = self.left_out();
        let notes: Vec<_> = self
            .found
            .local
            .folder
            .retained()
            .into_iter()
            .chain(left_out)
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
            // The host locks are removed while the folder, which names the hosts, still exists.
            drop(on_hosts);
            fail::fail_point!("cli::destroy");
            let mut hosts = found.left_out.iter();
            hosts.try_for_each(|own| own.store(&found.local.folder.dir))?;
            found.local.remove(&cluster, &options)?;
            let hosts = found.left_out.iter();
            hosts.for_each(|own| options.events.warn(own.sentence(&cluster)));
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
            local: LocalFiles::find(home, cluster, dir, extent.with_snapshots, &remembered)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.local.is_empty()
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found {
            hosts: _,
            left_out,
            machines,
            local,
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
        local.fmt(f)?;
        let mut hosts = left_out.iter();
        hosts.try_for_each(|own| writeln!(f, "{}", own.sentence(&self.cluster)))
    }
}

/// The files of a cluster on this machine.
struct LocalFiles {
    folder: Contents,
    /// The person's `known_hosts`, if lines of the cluster are in it.
    known_hosts: Option<PathBuf>,
    /// The person's kubeconfig, if the cluster is in it.
    kubeconfig: Option<PathBuf>,
}

impl LocalFiles {
    fn find(
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
            .filter(|path| personal::contains(path, cluster, &dir.kubeconfig()));
        Ok(Self {
            folder: Contents::read(dir, with_snapshots, left_out)?,
            known_hosts,
            kubeconfig,
        })
    }

    /// Whether nothing is removed.
    fn is_empty(&self) -> bool {
        self.folder.is_empty() && self.known_hosts.is_none() && self.kubeconfig.is_none()
    }

    /// What is removed, for programs.
    fn rows(&self) -> Vec<Row> {
        let files = self.folder.removed().map(|path| (Action::Remove, path));
        let changed = self.known_hosts.iter().chain(&self.kubeconfig);
        let changed = changed.map(|path| (Action::Change, path.as_path()));
        let rows = files.chain(changed).map(|(action, path)| Row {
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
        // A changed file is written beside the old one and then renamed. On a full disk that fails; it is tried again when the
        // cluster's folder is removed.
        let first_try = remove_lines();
        fail::fail_point!("cli::destroy");
        // A kubeconfig that can't be changed is only a warning: the person can repair it, and the rest is removed all the same.
        let unmerged = match &self.kubeconfig {
            Some(path) => personal::unmerge(path, cluster, &self.folder.dir.kubeconfig()),
            None => options
                .home
                .kubeconfig()
                .map_or(Ok(()), |path| personal::remove_stale_lock(&path)),
        };
        if let Err(e) = unmerged {
            events.warn(Failure::from(e).to_string());
        }
        fail::fail_point!("cli::destroy");
        self.folder.remove()?;
        if first_try.is_err()
            && let Err(e) = remove_lines()
        {
            events.warn(e.to_string());
        }
        Ok(())
    }
}

/// A line for each file, in the form of the plan's other lines.
impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retained = self.folder.retained();
        if self.is_empty() && retained.is_none() {
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
        match retained {
            Some(retained) => writeln!(f, "    {retained}"),
            None => Ok(()),
        }
    }
}
