//! [`Hypervisor`], the port: what provisioning asks of one host's libvirt. Blocking, because libvirt is.
//!
//! Verbs that make or remove something are "ensure": done twice, they do no harm.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use kubitect_config::value::{Label, Mac, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Source};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};
use crate::state::{Capability, DomainState, NetworkState, PoolState, PowerState, VolumeState};

/// A verb that failed: what was tried on what, and why it did not work.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct Failure {
    /// What was tried, as "define network demo-network".
    pub action: String,
    /// What libvirt said.
    pub source: Source,
}

impl Failure {
    /// A failed `action`.
    pub fn new(action: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            action: action.into(),
            source: source.into(),
        }
    }

    /// The same as an error of this host.
    pub fn on(self, host: &Name) -> Error {
        Error::Hypervisor {
            host: host.to_string(),
            action: self.action,
            source: self.source,
        }
    }
}

/// A lock that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    /// Tells it from those before it and after it.
    pub id: String,
    /// Who holds it; empty: somebody else made what has its name.
    pub holder: String,
}

/// One host's libvirt.
pub trait Hypervisor: Send + Sync {
    /// What the host can do and has to give.
    fn capability(&self) -> Result<Capability, Failure>;

    /// All networks, ours and others'.
    fn networks(&self) -> Result<Vec<NetworkState>, Failure>;
    /// All pools, ours and others', with the volumes of those that are active.
    fn pools(&self) -> Result<Vec<PoolState>, Failure>;
    /// The names of the pools that are started, ours and others'.
    fn started_pools(&self) -> Result<Vec<String>, Failure>;
    /// All domains, ours and others'.
    fn domains(&self) -> Result<Vec<DomainState>, Failure>;

    /// The pool of this name, with its volumes if it is active.
    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure>;
    /// The volume of this name, if its pool is active.
    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure>;
    /// The domain of this name.
    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure>;
    /// Another connection to the same host: libvirt carries out only a few calls of one connection at a time. Nothing, where one
    /// connection is as good as many, or where no other can be had.
    fn another(&self) -> Option<Arc<dyn Hypervisor>>;

    /// Defines a network to be started with the host.
    fn define_network(&self, network: &Network) -> Result<(), Failure>;
    /// Starts a defined network that is not active.
    fn start_network(&self, name: &str) -> Result<(), Failure>;
    /// Keeps an address of a network for one machine, from now on and for good.
    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure>;
    /// Keeps an address of a network for this machine no longer.
    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure>;
    /// Stops and removes a network, if it is there.
    fn remove_network(&self, name: &str) -> Result<(), Failure>;

    /// Makes a lock of this name that says who holds it, unless there is one; the one that is there then. Of two that ask at once,
    /// one makes it.
    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure>;
    /// The lock of this name.
    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure>;
    /// Removes the lock with this number, if it is there; another one of its name stays.
    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure>;

    /// Defines a pool to be started with the host, makes its folder and starts it; whichever of it is missing.
    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure>;
    /// Starts a defined pool, whose folder must be there.
    fn start_pool(&self, name: &str) -> Result<(), Failure>;
    /// Stops a pool; what is in it stays.
    fn stop_pool(&self, name: &str) -> Result<(), Failure>;
    /// Has libvirt look into the pool's folder again.
    fn refresh_pool(&self, name: &str) -> Result<(), Failure>;
    /// Stops and removes a pool, if it is there, and its folder if that is empty; else tells why the folder stays.
    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure>;

    /// Makes a volume; one of that name must not be there.
    fn create_volume(&self, volume: &Volume) -> Result<(), Failure>;
    /// Fills a volume with all of `content`, which has `length` bytes; a raw one that is smaller grows as it is written.
    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure>;
    /// Copies a volume's bytes from `offset` to its end.
    fn download(
        &self,
        pool: &str,
        volume: &str,
        offset: u64,
        to: &mut dyn Write,
    ) -> Result<(), Failure>;
    /// Makes a volume larger, unless it is; under the eyes of this domain, if that is on and has it.
    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        domain: &Label,
    ) -> Result<(), Failure>;
    /// Removes a volume, if it is there.
    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure>;

    /// Defines a domain to be started with the host. One that is there stays the same one, with its note; while it is on,
    /// only its next start will tell the difference.
    fn define_domain(&self, domain: &Domain) -> Result<(), Failure>;
    /// Starts a domain that is not running.
    fn start_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Gives a domain a disk that it has not: first at once, if it is on, then from its next start on.
    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure>;
    /// Takes the disk of this path from a domain that has it: first at once, if it is on, and only when its guest has let
    /// go of it, from its next start on.
    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure>;
    /// Gives a domain more processors: first at once, if it is on, then from its next start on.
    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure>;
    /// Asks a domain to shut down; returns before it has.
    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Cuts a domain's power, if it runs.
    fn power_off_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Cuts a domain's power and removes it with all that libvirt keeps of it but its disks, if it is there.
    fn remove_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Keeps a short text with a domain, from now on and for as long as it is defined.
    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure>;
    /// Lets whoever has this key log in on a running domain's system as `user`: its guest agent writes it down.
    fn let_in(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure>;
    /// Keeps with a domain what it was given and has not yet taken into use, in place of what was kept; nothing of it, once it
    /// is empty.
    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure>;
    /// The IPv4 addresses of a running domain: those leased to it, else those that its agent tells.
    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure>;
}

/// The connected libvirt hosts, by their configured name, and those that can't be reached.
#[derive(Clone)]
pub struct Hosts {
    hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>,
    away: BTreeMap<Name, Arc<Error>>,
}

impl Hosts {
    /// These hypervisors, as they are.
    pub(crate) fn of(hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>) -> Self {
        Self {
            hypervisors,
            away: BTreeMap::new(),
        }
    }

    /// Adds other hosts.
    pub fn extend(&mut self, others: Self) {
        self.hypervisors.extend(others.hypervisors);
        self.away.extend(others.away);
    }

    /// Adds a host that can't be reached, and why.
    pub fn is_away(&mut self, name: Name, why: Error) {
        self.away.insert(name, Arc::new(why));
    }

    /// The host of this name.
    pub fn get(&self, name: &Name) -> Result<&Arc<dyn Hypervisor>, Error> {
        let away = || self.away.get(name).cloned().map(Error::Shared);
        let host = self.hypervisors.get(name);
        host.ok_or_else(|| away().unwrap_or_else(|| Error::not_connected(name)))
    }

    /// An error if any host can't be reached.
    pub fn all_reached(&self) -> Result<(), Error> {
        let mut errors: Vec<_> = self.away.values().cloned().map(Error::Shared).collect();
        match (errors.len(), errors.pop()) {
            (_, None) => Ok(()),
            (1, Some(only)) => Err(only),
            (_, Some(last)) => {
                errors.push(last);
                Err(Error::Hosts(errors))
            }
        }
    }

    /// All hosts that are reached, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<dyn Hypervisor>)> {
        self.hypervisors.iter()
    }

    /// Asks all hosts side by side. The answers are in the order of the hosts' names; so is the failure, if there are several.
    /// A host that can't be reached is one.
    pub fn ask<T: Send>(
        &self,
        ask: impl Fn(&Name, &dyn Hypervisor) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<(&Name, T)>, Error> {
        self.all_reached()?;
        let answers = self.ask_each(ask).into_iter();
        answers.map(|(name, answer)| Ok((name, answer?))).collect()
    }

    /// Asks all hosts side by side, and gives what became of each, in the order of their names: those that can't be reached last.
    pub fn ask_each<T: Send>(
        &self,
        ask: impl Fn(&Name, &dyn Hypervisor) -> Result<T, Failure> + Sync,
    ) -> Vec<(&Name, Result<T, Error>)> {
        let hosts: Vec<_> = self.iter().collect();
        let answers = in_threads(AT_ONCE, &hosts, |(name, host)| ask(name, host.as_ref()));
        let answers = hosts.into_iter().zip(answers);
        let answers = answers.map(|((name, _), answer)| {
            let answer = answer.map_err(|failure| failure.on(name));
            (name, answer)
        });
        let away = self.away.iter();
        let away = away.map(|(name, why)| (name, Err(Error::Shared(Arc::clone(why)))));
        answers.chain(away).collect()
    }

    /// Whether a machine runs; none: it is not there.
    pub fn power_state(&self, host: &Name, node: &Label) -> Result<Option<PowerState>, Error> {
        let domain = self.get(host)?.domain_state(node);
        let domain = domain.map_err(|failure| failure.on(host))?;
        Ok(domain.map(|domain| domain.power))
    }
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.hypervisors.keys()).finish()
    }
}
