//! [`Fleet`]: the machines of one cluster under work: made, waited for, logged in on, restarted.
//!
//! Work that blocks is done on the thread that asks for it: the runtime needs several.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubitect_config::cluster::{Host, NetworkMode, Node};
use kubitect_config::jump::Jump;
use kubitect_config::release::Hop;
use kubitect_config::remote::{BoxError, Doing, Machines};
use kubitect_config::value::{Label, Name};
use kubitect_config::{Cluster, Facts, Remote, Site};

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

/// For a command on a machine that answers.
const COMMAND: Duration = Duration::from_secs(60);

/// Where clusters are worked on, and how.
#[derive(Clone)]
pub struct Context {
    /// The folder of all clusters.
    pub home: Home,
    /// What counts for all clusters.
    pub site: Site,
    /// By which way hosts and machines are reached.
    pub reach: Arc<dyn Reach>,
    /// Asks the work to stop.
    pub cancel: Cancel,
    /// Who hears of what happens.
    pub on_event: Arc<dyn Fn(Event) + Send + Sync>,
}

kubitect_config::shown_by!(Context, home, cancel);

/// The machines of a cluster under work.
pub struct Fleet {
    /// What is wanted.
    pub cluster: Cluster,
    /// The cluster's folder.
    pub dir: ClusterDir,
    /// The connected hosts: those that carry the cluster, and those that did.
    pub hosts: Hosts,
    /// Hosts that carried the cluster, are in its file no more, and can't be reached.
    pub lost: Vec<String>,
    /// The hosts that did, and carry none of it by its file.
    former: Vec<Host>,
    /// What the cluster has, where its file leaves versions out.
    living: Option<Hop>,
    context: Context,
    /// The machines that were logged in on: their keys are at their addresses.
    proven: Mutex<BTreeSet<Label>>,
}

kubitect_config::shown_by!(Fleet, cluster.name, hosts);

impl Fleet {
    /// Connects to the hosts of a cluster, and to those that carried it before.
    pub fn connect(context: Context, mut cluster: Cluster) -> Result<Self, Error> {
        let Context {
            home, site, reach, ..
        } = &context;
        hosts::settle(home, &mut cluster)?;
        let connected = hosts::connect(reach.as_ref(), home, site, &cluster)?;
        Ok(Self::on(context, cluster, connected))
    }

    /// The machines on hosts that are connected already.
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
            living: None,
            context,
            proven: Mutex::default(),
        }
    }

    /// An error if a host can't be reached: nothing is planned without one.
    pub fn all_reached(&self) -> Result<(), Error> {
        let name = &self.cluster.name;
        let failed = |e| Error::because(format!("reach the hosts of {name}"), e);
        self.hosts.all_reached().map_err(failed)
    }

    /// What was noted of each of the cluster's machines that can be seen.
    pub fn notes(&self) -> Notes {
        observe::notes(&self.cluster.name, &self.hosts)
    }

    /// The same machines, where versions are those that the cluster has, which are these.
    pub fn keep(&mut self, mut cluster: Cluster, living: Option<Hop>) -> Result<(), Error> {
        hosts::settle(&self.context.home, &mut cluster)?;
        (self.cluster, self.living) = (cluster, living);
        Ok(())
    }

    /// The configuration that was applied last; none, where none ever was.
    pub fn applied(&self) -> Result<Option<Cluster>, Error> {
        let Context { home, site, .. } = &self.context;
        let mut applied = hosts::read_applied(&self.dir, site, self.living.as_ref())?;
        if let Some(applied) = &mut applied {
            hosts::settle(home, applied)?;
        }
        Ok(applied)
    }

    /// What a run was to make last that did not end; none: the last one ended, or was to make just this `text`.
    pub fn begun(&self, text: &str) -> Result<Option<Cluster>, Error> {
        let Context { home, site, .. } = &self.context;
        let mut begun = hosts::read_begun(&self.dir, site, text, self.living.as_ref())?;
        if let Some(begun) = &mut begun {
            hosts::settle(home, begun)?;
        }
        Ok(begun)
    }

    /// The cluster's own private key, if the configuration names one.
    fn private_key(&self) -> Result<Option<PathBuf>, Error> {
        let path = self.cluster.guest.private_key.as_deref();
        path.map(|path| self.context.home.expand(path)).transpose()
    }

    /// The keys of these machines, if all are here.
    fn existing_keys(&self, machines: &Cluster) -> Result<Option<Keys>, Error> {
        let own = self.private_key()?;
        Keys::existing(&self.dir.ssh(), machines, own.as_deref())
    }

    /// What machines that are set up are reached with, of those whose keys and addresses are known; nothing if the key that
    /// opens them is lost. No key is made: they would not accept it.
    pub fn reach(&self) -> Result<Option<(Keys, Facts)>, Error> {
        let failed = |e| Error::because(format!("reach the machines of {}", self.cluster.name), e);
        let Some(keys) = self.present_keys().map_err(failed)? else {
            return Ok(None);
        };
        let mut facts = gather::now(&self.cluster, &self.hosts).map_err(failed)?;
        facts.nodes.retain_mut(|node| {
            node.host_key = keys.host_key_line(&node.name).unwrap_or_default();
            !node.host_key.is_empty()
        });
        Ok(Some((keys, facts)))
    }

    /// The same, for this `what` of the cluster, which can't be done without them.
    pub fn reach_for(&self, what: &str) -> Result<(Keys, Facts), Error> {
        let (cluster, folder) = (&self.cluster.name, self.dir.ssh());
        let lost = "`kubitect apply` with its file brings it back";
        let folder = folder.display();
        let why = format!("the key that opens its machines is not in {folder}; {lost}");
        let lost = || Error::failed(format!("{what} of {cluster}: {why}"));
        self.reach()?.ok_or_else(lost)
    }

    /// Recovers lost keys of these machines, which exist; all of them have to run for that. Whether any was lost.
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
        let known = self.existing_keys(machines);
        let known = known.map_err(|e| Error::because("read the cluster's keys", e))?;
        if machines.nodes.is_empty() || known.is_some() {
            return Ok(false);
        }
        let own = self.private_key()?;
        recovery::recover(&folder, machines, own.as_deref(), &self.hosts).map_err(failed)?;
        Ok(true)
    }

    /// The keys for a plan: those that machines have, and new ones for machines that are yet to be made. Whether any was lost.
    pub fn keys(&self, plan: &Plan, leaving: &[Leaving]) -> Result<(Keys, bool), Error> {
        let with = |leaving: &mut dyn Iterator<Item = &Leaving>| {
            let mut cluster = self.cluster.clone();
            cluster.nodes.extend(leaving.map(Leaving::node));
            cluster
        };
        let whole = with(&mut leaving.iter());
        // Who has yet to get a seed gets a key with it; who leaves and does not answer is not asked.
        let mut living = with(&mut leaving.iter().filter(|own| own.answers()));
        let is_new = |node: &Node| plan.needs_seeds().any(|new| *new == node.name);
        living.nodes.retain(|node| !is_new(node));
        let recovered = self.recover_keys(&living);
        let recovered = recovered.map_err(|e| Error::because("bring back lost keys", e))?;
        let keys = Keys::ensure(&self.dir.ssh(), &whole, self.private_key()?.as_deref())
            .map_err(|e| Error::because("make the cluster's keys", e))?;
        Ok((keys, recovered))
    }

    fn target(&self, facts: &Facts, keys: &Keys, name: &Label) -> Result<Target, Error> {
        let machine = || name.to_string();
        let host_key = keys.host_key(name);
        let host_key = host_key.ok_or_else(|| keys.no_host_key(name))?;
        let known = facts.node(name);
        let known = known.ok_or_else(|| Error::NoAddress { machine: machine() })?;
        Ok(Target {
            machine: machine(),
            address: (known.ip, 22).into(),
            user: facts.user.clone(),
            private_key: keys.private_key(),
            host_key: host_key.clone(),
            jump: self.jump(&known.host),
        })
    }

    /// The way to the machines on a host, if it leads through the host.
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
        let session = self.context.reach.connect(target, COMMAND).await?;
        self.prove(name);
        Ok(session)
    }

    /// Removes machines and disks that are not wanted; those in `facts` stay.
    pub fn remove(&self, changes: &[Change], facts: &Facts, keys: &Keys) -> Result<(), Error> {
        let stay = facts.nodes.iter().map(|node| (&node.name, Some(node.ip)));
        keys.write_known_hosts(stay)
            .map_err(|e| Error::because("forget the host keys of what leaves", e))?;
        self.carry_out(changes, keys)?
            .map_err(|e| Error::because("remove what is not wanted any more", e))
    }

    /// Forgets the keys of machines that are gone: a new machine of such a name gets a key of its own.
    pub fn forget_keys(&self) -> Result<(), Error> {
        ssh::forget_others(&self.dir.ssh(), &self.cluster)
            .map_err(|e| Error::because("forget the keys of machines that are gone", e))
    }

    fn prove(&self, name: &Label) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.insert(name.clone());
    }

    fn is_proven(&self, name: &Label) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.contains(name)
    }
}

/// The machines of a fleet that can be logged in on, those that leave among them.
pub struct Logins<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// What is known of the machines.
    pub facts: Facts,
    /// Their keys.
    pub keys: &'a Keys,
}

kubitect_config::shown_by!(Logins<'_>, fleet, facts);

impl Machines for Logins<'_> {
    fn connect<'a>(&'a self, name: &'a Label) -> Doing<'a, Arc<dyn Remote>> {
        Box::pin(async { Ok(self.fleet.login(&self.facts, self.keys, name).await?) })
    }

    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError> {
        Ok(machine::note(&self.fleet.hosts, node, text)?)
    }
}

/// The failure to log in on a machine.
fn no_login(name: &Label) -> impl FnOnce(Error) -> Error {
    let what = format!("log in on {name}");
    move |e| Error::because(what, e)
}
