//! [`Fleet`]: the machines of one cluster: create them, wait for them, log in on them, restart them.
//!
//! Blocking work runs on the thread of the caller, so the runtime needs several threads.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubitect_config::cluster::{Host, NetworkMode, Node};
use kubitect_config::jump::Jump;
use kubitect_config::release::Hop;
use kubitect_config::remote::{BoxError, BoxFuture, Machines};
use kubitect_config::value::{Label, Name};
use kubitect_config::{Cluster, Facts, Remote, Site, chain};

use crate::cancel::Cancel;
use crate::change::Change;
use crate::gather::{self, Leaving};
use crate::home::{ClusterDir, Home};
use crate::hosts::{self, Connected};
use crate::hypervisor::Hosts;
use crate::observe::{self, Notes};
use crate::plan::Plan;
use crate::reach::Reach;
use crate::ssh::{self, Keys, Target};
use crate::{Error, Event, machine, recovery};

mod bring_up;
mod known_hosts;
mod power;
mod restart;

/// The time limit of a command on a machine that answers.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// What all clusters share: folder, settings, connections, cancellation, events.
#[derive(Clone)]
pub struct Context {
    /// The folder of all clusters.
    pub home: Home,
    /// The settings for all clusters.
    pub site: Site,
    /// How hosts and machines are connected to.
    pub reach: Arc<dyn Reach>,
    /// The token by which a run is asked to stop.
    pub cancel: Cancel,
    /// The receiver of events.
    pub on_event: Arc<dyn Fn(Event) + Send + Sync>,
}

kubitect_config::debug_fields!(Context, home, cancel);

/// The machines of one cluster, with the connections to their hosts.
pub struct Fleet {
    /// The cluster as its file describes it.
    pub cluster: Cluster,
    /// The cluster's folder.
    pub dir: ClusterDir,
    /// The connected hosts: those that carry the cluster, and those that carried it before.
    pub hosts: Hosts,
    /// Hosts that carried the cluster before, are no longer in its file, and can't be reached: a sentence each.
    pub lost: Vec<String>,
    /// The hosts that carried the cluster before and, by its file, carry no machine of it now.
    former: Vec<Host>,
    /// The versions that the cluster has, if its file leaves versions out.
    current_versions: Option<Hop>,
    context: Context,
    /// The machines on which a login succeeded, which proves that their host keys are at their addresses.
    verified: Mutex<BTreeSet<Label>>,
}

kubitect_config::debug_fields!(Fleet, cluster.name, hosts);

impl Fleet {
    /// Connects to the hosts of a cluster, and to those that carried it before: machines that are left there have to be removed.
    pub fn connect(context: Context, mut cluster: Cluster) -> Result<Self, Error> {
        let Context {
            home, site, reach, ..
        } = &context;
        hosts::expand_paths(home, &mut cluster)?;
        let connected = hosts::connect(reach.as_ref(), home, site, &cluster)?;
        Ok(Self::on(context, cluster, connected))
    }

    /// The machines of a cluster on hosts that are connected already.
    pub fn on(context: Context, cluster: Cluster, connected: Connected) -> Self {
        let Connected {
            hosts,
            former,
            lost,
        } = connected;
        Self {
            dir: context.home.cluster(&cluster.name),
            cluster,
            hosts,
            lost,
            former,
            current_versions: None,
            context,
            verified: Mutex::default(),
        }
    }

    /// An error if a host can't be reached. Without one of its hosts, a cluster can't be planned: its machines would seem to be
    /// gone.
    pub fn all_reached(&self) -> Result<(), Error> {
        let name = &self.cluster.name;
        let failed = |e| Error::because(format!("reach the hosts of {name}"), e);
        self.hosts.all_reached().map_err(failed)
    }

    /// The notes of the cluster's machines, of all hosts that can be reached.
    pub fn notes(&self) -> Notes {
        observe::notes(&self.cluster.name, &self.hosts)
    }

    /// Replaces the cluster by the same one with the versions that it has, `current`, where its file leaves them out.
    pub fn set_versions(
        &mut self,
        mut cluster: Cluster,
        current: Option<Hop>,
    ) -> Result<(), Error> {
        hosts::expand_paths(&self.context.home, &mut cluster)?;
        (self.cluster, self.current_versions) = (cluster, current);
        Ok(())
    }

    /// The configuration that was applied last; none: none ever was.
    pub fn applied(&self) -> Result<Option<Cluster>, Error> {
        let Context { home, site, .. } = &self.context;
        let mut applied = hosts::read_applied(&self.dir, site, self.current_versions.as_ref())?;
        if let Some(applied) = &mut applied {
            hosts::expand_paths(home, applied)?;
        }
        Ok(applied)
    }

    /// The configuration of the last run, if it did not succeed; none: it did, or its configuration was this `text`.
    pub fn unfinished(&self, text: &str) -> Result<Option<Cluster>, Error> {
        let Context { home, site, .. } = &self.context;
        let mut unfinished =
            hosts::read_unfinished(&self.dir, site, text, self.current_versions.as_ref())?;
        if let Some(unfinished) = &mut unfinished {
            hosts::expand_paths(home, unfinished)?;
        }
        Ok(unfinished)
    }

    /// The path of the private key that the configuration names; none: Kubitect makes the key.
    fn private_key(&self) -> Result<Option<PathBuf>, Error> {
        let path = self.cluster.guest.private_key.as_deref();
        path.map(|path| self.context.home.expand(path)).transpose()
    }

    /// The keys of these machines; none if one is missing.
    fn all_keys(&self, machines: &Cluster) -> Result<Option<Keys>, Error> {
        let named_key = self.private_key()?;
        Keys::read_all(&self.dir.ssh(), machines, named_key.as_deref())
    }

    /// The machines that exist and that the cluster's file does not name, of all hosts that can be reached. Reads libvirt.
    pub fn leaving(&self) -> Vec<Leaving> {
        gather::leaving(
            &self.cluster,
            &observe::observe_machines(&self.cluster, &self.hosts),
        )
    }

    /// The cluster, and these machines that leave it.
    pub fn cluster_with<'a>(&self, leaving: impl IntoIterator<Item = &'a Leaving>) -> Cluster {
        let mut cluster = self.cluster.clone();
        cluster.nodes.extend(leaving.into_iter().map(Leaving::node));
        cluster
    }

    /// The keys and facts with which to log in on machines that are set up, those that leave among them: those whose host keys and
    /// addresses are known. None if the private key is lost. No key is made here: existing machines would not accept a new one.
    pub fn access(&self, leaving: &[Leaving]) -> Result<Option<(Keys, Facts)>, Error> {
        let failed = |e| Error::because(format!("reach the machines of {}", self.cluster.name), e);
        // One that is off may have an address that another machine has by now.
        let machines = self.cluster_with(leaving.iter().filter(|machine| machine.answers()));
        let Some(keys) = self.available_keys_of(&machines).map_err(failed)? else {
            return Ok(None);
        };
        let mut facts = gather::available_facts(&machines, &self.hosts).map_err(failed)?;
        facts.nodes.retain_mut(|node| {
            node.host_key = keys.host_key_line(&node.name).unwrap_or_default();
            !node.host_key.is_empty()
        });
        Ok(Some((keys, facts)))
    }

    /// As [`Self::access`], for the action `what`; an error if the private key is lost.
    pub fn access_for(&self, what: &str, leaving: &[Leaving]) -> Result<(Keys, Facts), Error> {
        let (cluster, folder) = (&self.cluster.name, self.dir.ssh());
        let lost = "`kubitect apply` with its file brings it back";
        let folder = folder.display();
        let why = format!("the key that opens its machines is not in {folder}; {lost}");
        let lost = || Error::failed(format!("{what} of {cluster}: {why}"));
        self.access(leaving)?.ok_or_else(lost)
    }

    /// Recovers lost keys of these machines, all of which have to run for that. Whether any key was lost.
    pub fn recover_keys(&self, machines: &Cluster) -> Result<bool, Error> {
        let folder = self.dir.ssh();
        let failed = |e| {
            let what =
                "what is set up on machines can't be changed without the keys that they know";
            Error::because(
                format!(
                    "use the keys in {}: they are lost, and {what}",
                    folder.display()
                ),
                e,
            )
        };
        let existing = self.all_keys(machines);
        let existing = existing.map_err(|e| Error::because("read the cluster's keys", e))?;
        if machines.nodes.is_empty() || existing.is_some() {
            return Ok(false);
        }
        let named_key = self.private_key()?;
        recovery::recover(&folder, machines, named_key.as_deref(), &self.hosts).map_err(failed)?;
        Ok(true)
    }

    /// The keys for a plan: those that machines have, and new ones for machines that the plan makes. Whether any had to be
    /// recovered.
    pub fn keys(&self, plan: &Plan, leaving: &[Leaving]) -> Result<(Keys, bool), Error> {
        let all = self.cluster_with(leaving);
        // A new machine gets its key with its seed. A leaving one that does not answer is skipped: recovery needs a running
        // machine.
        let mut existing = self.cluster_with(leaving.iter().filter(|machine| machine.answers()));
        let is_new = |node: &Node| plan.needs_seeds().any(|new| *new == node.name);
        existing.nodes.retain(|node| !is_new(node));
        let recovered = self.recover_keys(&existing);
        let recovered = recovered.map_err(|e| Error::because("recover lost keys", e))?;
        let keys = Keys::ensure(&self.dir.ssh(), &all, self.private_key()?.as_deref())
            .map_err(|e| Error::because("make the cluster's keys", e))?;
        Ok((keys, recovered))
    }

    fn target(&self, facts: &Facts, keys: &Keys, name: &Label) -> Result<Target, Error> {
        let machine = || name.to_string();
        let host_key = keys.host_key(name);
        let host_key = host_key.ok_or_else(|| keys.no_host_key(name))?;
        let node = facts.node(name);
        let node = node.ok_or_else(|| Error::NoAddress { machine: machine() })?;
        Ok(Target {
            machine: machine(),
            address: (node.ip, 22).into(),
            user: facts.user.clone(),
            private_key: keys.private_key(),
            host_key: host_key.clone(),
            jump: self.jump(&node.host),
        })
    }

    /// The SSH jump to the machines on a host, where they can only be reached through it.
    fn jump(&self, host: &Name) -> Option<Jump> {
        let former = || self.former.iter().find(|former| former.name == *host);
        match self.cluster.host(host) {
            Some(_) => self.cluster.jump(host),
            None if self.cluster.network.mode == NetworkMode::Nat => former()?.connection.jump(),
            None => None,
        }
    }

    /// Logs in on a machine that answers.
    pub async fn login(
        &self,
        facts: &Facts,
        keys: &Keys,
        name: &Label,
    ) -> Result<Arc<dyn Remote>, Error> {
        let target = self.target(facts, keys, name)?;
        let session = self.context.reach.connect(target, COMMAND_TIMEOUT).await?;
        self.mark_verified(name);
        Ok(session)
    }

    /// Removes the machines and disks of these changes. The machines in `facts` stay, and with them their pinned host keys.
    pub fn remove(&self, changes: &[Change], facts: &Facts, keys: &Keys) -> Result<(), Error> {
        let remaining = facts.nodes.iter().map(|node| (&node.name, Some(node.ip)));
        keys.write_known_hosts(remaining)
            .map_err(|e| Error::because("remove the pinned host keys of leaving machines", e))?;
        self.carry_out(changes, keys)?.map_err(|e| {
            Error::because("remove machines and disks that the file no longer names", e)
        })
    }

    /// The last lines of the console of each machine, those that leave among them; or why there are none.
    pub fn console_tails(&self, lines: usize) -> Vec<(String, Result<Vec<String>, String>)> {
        let machines = self.cluster_with(&self.leaving());
        let tail = |node: &Node| {
            let tail = machine::console_tail(&self.hosts, &machines, node, lines);
            (node.name.to_string(), tail.map_err(|e| chain(&e)))
        };
        machines.nodes.iter().map(tail).collect()
    }

    /// Removes the keys of machines that no longer exist: a new machine of such a name gets a key of its own.
    pub fn remove_old_keys(&self) -> Result<(), Error> {
        ssh::remove_other_host_keys(&self.dir.ssh(), &self.cluster)
            .map_err(|e| Error::because("remove the keys of machines that no longer exist", e))
    }

    fn mark_verified(&self, name: &Label) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.insert(name.clone());
    }

    fn is_verified(&self, name: &Label) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.contains(name)
    }
}

/// Logins on the machines of a fleet, including those that leave the cluster.
pub struct Logins<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The facts of the machines.
    pub facts: Facts,
    /// Their keys.
    pub keys: &'a Keys,
}

kubitect_config::debug_fields!(Logins<'_>, fleet, facts);

impl Machines for Logins<'_> {
    fn connect<'a>(&'a self, name: &'a Label) -> BoxFuture<'a, Arc<dyn Remote>> {
        Box::pin(async { Ok(self.fleet.login(&self.facts, self.keys, name).await?) })
    }

    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError> {
        Ok(machine::note(&self.fleet.hosts, node, text)?)
    }
}

/// Adds to an error that it was a login on this machine that failed.
fn no_login(name: &Label) -> impl FnOnce(Error) -> Error {
    let what = format!("log in on {name}");
    move |e| Error::because(what, e)
}
