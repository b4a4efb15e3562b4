//! [`Hypervisor`]: the operations that provisioning needs of one host's libvirt, as a trait, so that tests can take another
//! implementation. They block, because libvirt's do.
//!
//! Operations that make or remove something are idempotent: done twice, they do no harm.

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

/// A failed operation: what was tried on what, and why it failed.
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

    /// This failure as an error that names the host.
    pub fn on(self, host: &Name) -> Error {
        Error::Hypervisor {
            host: host.to_string(),
            action: self.action,
            source: self.source,
        }
    }
}

/// A lock that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    /// Its number, which no earlier or later lock of the same name has.
    pub id: String,
    /// The text that its holder gave; empty if what has its name is no lock of Kubitect.
    pub holder: String,
}

/// One host's libvirt.
pub trait Hypervisor: Send + Sync {
    /// The host's capabilities and resources.
    fn capability(&self) -> Result<Capability, Failure>;

    /// All networks, the cluster's and others'.
    fn networks(&self) -> Result<Vec<NetworkState>, Failure>;
    /// All pools, the cluster's and others', with the volumes of those that are active.
    fn pools(&self) -> Result<Vec<PoolState>, Failure>;
    /// The names of the pools that are started, the cluster's and others'.
    fn started_pools(&self) -> Result<Vec<String>, Failure>;
    /// All domains, the cluster's and others'.
    fn domains(&self) -> Result<Vec<DomainState>, Failure>;

    /// The pool of this name, with its volumes if it is active.
    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure>;
    /// The volume of this name, if its pool is active.
    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure>;
    /// The domain of this name.
    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure>;
    /// Another connection to the same host, since libvirt carries out only a few calls of one connection at a time. None where one
    /// connection is enough, or where no other can be opened.
    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>>;

    /// Defines a network, with autostart.
    fn define_network(&self, network: &Network) -> Result<(), Failure>;
    /// Starts a defined network that is not active.
    fn start_network(&self, name: &str) -> Result<(), Failure>;
    /// Reserves an address of a network for one machine, in the running network and in its definition.
    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure>;
    /// Removes a reservation of a network, if it exists.
    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure>;
    /// Stops and removes a network, if it exists.
    fn remove_network(&self, name: &str) -> Result<(), Failure>;

    /// Makes a lock of this name and holder unless one of the name exists, and returns the one that exists then. It is atomic: of two
    /// callers at the same time, one makes it.
    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure>;
    /// The lock of this name.
    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure>;
    /// Removes the lock with this name and number, if it exists. Another lock of the name stays.
    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure>;

    /// Defines a pool, with autostart, makes its folder and starts it: whatever of this is missing.
    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure>;
    /// Starts a defined pool, whose folder must exist.
    fn start_pool(&self, name: &str) -> Result<(), Failure>;
    /// Stops a pool; what is in it stays.
    fn stop_pool(&self, name: &str) -> Result<(), Failure>;
    /// Has libvirt list the files in the pool's folder again.
    fn refresh_pool(&self, name: &str) -> Result<(), Failure>;
    /// Stops and removes a pool, if it exists, and its folder if that is empty; else returns why the folder stays.
    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure>;

    /// Makes a volume; none of its name may exist.
    fn create_volume(&self, volume: &Volume) -> Result<(), Failure>;
    /// Writes all of `content`, which has `length` bytes, into a volume; a raw volume that is smaller grows.
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
    /// Enlarges a volume to this capacity, unless it is as large. If this domain runs and has it as a disk, QEMU enlarges it, so that
    /// the guest sees the new size.
    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        domain: &Label,
    ) -> Result<(), Failure>;
    /// Removes a volume, if it exists.
    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure>;

    /// Defines a domain, with autostart. A domain that exists keeps its UUID and its note; if it runs, the definition holds from its
    /// next start on.
    fn define_domain(&self, domain: &Domain) -> Result<(), Failure>;
    /// Starts a domain that is not running.
    fn start_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Attaches a disk to a domain that does not have it: first by hot-plug, if it runs, then in its definition.
    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure>;
    /// Detaches the disk of this path from a domain that has it: first by hot-unplug, if it runs, and only when its guest has released
    /// the disk, in its definition.
    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure>;
    /// Gives a domain more processors: first by hot-plug, if it runs, then in its definition.
    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure>;
    /// Asks a domain's guest to shut down, and returns without waiting for it.
    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Powers a domain off without its guest, if it runs.
    fn power_off_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Powers a domain off and removes its definition, NVRAM, saved state and snapshots' metadata, if it exists. Its disks stay.
    fn remove_domain(&self, name: &Label) -> Result<(), Failure>;
    /// Writes a note into a domain's metadata, in place of an older one. It stays as long as the domain is defined.
    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure>;
    /// Has the guest agent of a running domain add a public key to the authorized keys of `user`.
    fn authorize_key(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure>;
    /// Writes into a domain's metadata which hardware it was given that its guest does not use yet, in place of an older list. An empty
    /// list removes it.
    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure>;
    /// The IPv4 addresses of a running domain: those leased to it, else those that its guest agent reports.
    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure>;
}

/// The connected hosts, by their configured names, and those that can't be reached.
#[derive(Clone)]
pub struct Hosts {
    hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>,
    unreachable: BTreeMap<Name, Arc<Error>>,
}

impl Hosts {
    /// Hosts of these hypervisors, all of them reached.
    pub(crate) fn of(hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>) -> Self {
        Self {
            hypervisors,
            unreachable: BTreeMap::new(),
        }
    }

    /// Adds other hosts.
    pub fn extend(&mut self, others: Self) {
        self.hypervisors.extend(others.hypervisors);
        self.unreachable.extend(others.unreachable);
    }

    /// Adds a host that can't be reached, with the error.
    pub fn add_unreachable(&mut self, name: Name, why: Error) {
        self.unreachable.insert(name, Arc::new(why));
    }

    /// The host of this name.
    pub fn get(&self, name: &Name) -> Result<&Arc<dyn Hypervisor>, Error> {
        let unreachable = || self.unreachable.get(name).cloned().map(Error::Shared);
        let host = self.hypervisors.get(name);
        host.ok_or_else(|| unreachable().unwrap_or_else(|| Error::not_connected(name)))
    }

    /// An error if any host can't be reached.
    pub fn all_reached(&self) -> Result<(), Error> {
        let mut errors: Vec<_> = self
            .unreachable
            .values()
            .cloned()
            .map(Error::Shared)
            .collect();
        match (errors.len(), errors.pop()) {
            (_, None) => Ok(()),
            (1, Some(only)) => Err(only),
            (_, Some(last)) => {
                errors.push(last);
                Err(Error::Hosts(errors))
            }
        }
    }

    /// The hosts that are reached, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<dyn Hypervisor>)> {
        self.hypervisors.iter()
    }

    /// Asks all hosts in parallel, and returns the answers in the order of the hosts' names; of several failures, the first in this
    /// order. A host that can't be reached is a failure.
    pub fn ask<T: Send>(
        &self,
        ask: impl Fn(&Name, &dyn Hypervisor) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<(&Name, T)>, Error> {
        self.all_reached()?;
        let answers = self.ask_each(ask).into_iter();
        answers.map(|(name, answer)| Ok((name, answer?))).collect()
    }

    /// Asks all hosts in parallel, and returns the answer or failure of each in the order of their names; hosts that can't be reached
    /// come last.
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
        let unreachable = self.unreachable.iter();
        let unreachable =
            unreachable.map(|(name, why)| (name, Err(Error::Shared(Arc::clone(why)))));
        answers.chain(unreachable).collect()
    }

    /// A machine's power state; none if it does not exist.
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
