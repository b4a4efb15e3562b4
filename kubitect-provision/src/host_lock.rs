//! [`HostLocks`]: at most one run at a time changes a cluster on its hosts, also where runs have their clusters in different folders.
//!
//! The lock of a folder only stops runs that use that folder. So a run also makes a lock in the libvirt of each host, which says who
//! holds it; making one is refused where another exists. A killed run leaves its lock behind. Such a lock is removed where that run
//! has ended for sure: this run holds the lock of its folder, its process does not exist, or its machine was rebooted since. For a run
//! on another machine this can't be known, so a person has to confirm it (`--take-over`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubitect_config::text;
use kubitect_config::value::{Label, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};

use crate::Error;
use crate::hypervisor::{Failure, Hosts, Hypervisor, LockState};

mod holder;

pub use holder::Holder;
use holder::RunState;

/// How often an ended run's lock is removed before taking the lock fails: each time, another run may have made its own first.
const ATTEMPTS: usize = 5;

/// Numbers the runs of this process.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// The name of a cluster's lock in libvirt.
pub(crate) fn name_of(cluster: &Label) -> String {
    format!("kubitect-lock-{cluster}")
}

/// The locks that one run holds on the cluster's hosts. They are released when this is dropped.
#[must_use = "the cluster is held only while this is"]
pub struct HostLocks {
    name: String,
    own: String,
    hosts: BTreeMap<Name, (Arc<dyn Hypervisor>, LockState)>,
}

kubitect_config::debug_fields!(HostLocks, name, own);

impl HostLocks {
    /// Takes the lock on all these hosts, or on none. The run `me` must hold the lock of its folder.
    ///
    /// With `take_over`, the lock is also taken from a run of which it is unknown whether it has ended. It is never taken from one that
    /// runs.
    pub fn take(
        cluster: &Label,
        hosts: &Hosts,
        me: &Holder,
        take_over: bool,
    ) -> Result<Self, Error> {
        let name = name_of(cluster);
        let own = me.text(&new_run())?;
        let all: Vec<_> = hosts.iter().collect();
        let taken = in_threads(AT_ONCE, &all, |(host, hypervisor)| {
            take(hypervisor.as_ref(), &name, &own, me, take_over)
                .map_err(|refusal| refusal.error(cluster, host))
        });
        // On an error, this is dropped, which releases the locks that were taken.
        let mut locks = Self {
            name,
            own,
            hosts: BTreeMap::new(),
        };
        let mut failed = None;
        for ((host, hypervisor), lock) in all.into_iter().zip(taken) {
            match lock {
                Ok(lock) => drop(
                    locks
                        .hosts
                        .insert(host.clone(), (Arc::clone(hypervisor), lock)),
                ),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        fail::fail_point!("provision::locked");
        failed.map_or(Ok(locks), Err)
    }

    /// An error if another run has taken a lock over since: then this run must change nothing more.
    pub fn check(&self, cluster: &Label) -> Result<(), Error> {
        let hosts: Vec<_> = self.hosts.iter().collect();
        let locks = in_threads(AT_ONCE, &hosts, |(_, (hypervisor, _))| {
            hypervisor.lock_state(&self.name)
        });
        for ((host, _), lock) in hosts.into_iter().zip(locks) {
            let existing = lock.map_err(|failure| failure.on(host))?;
            if existing
                .as_ref()
                .is_none_or(|existing| existing.holder != self.own)
            {
                let by = existing.map_or_else(
                    || "nobody".to_owned(),
                    |existing| describe_holder(&existing.holder),
                );
                return Err(Error::TakenOver {
                    cluster: cluster.to_string(),
                    host: host.to_string(),
                    by,
                });
            }
        }
        Ok(())
    }
}

impl Drop for HostLocks {
    fn drop(&mut self) {
        let hosts: Vec<_> = self.hosts.values().collect();
        in_threads(AT_ONCE, &hosts, |(hypervisor, lock)| {
            // A lock that stays does no harm: the next run of this folder finds that this one has ended, and removes it.
            if let Err(failure) = hypervisor.unlock(&self.name, &lock.id) {
                tracing::debug!(error = %failure.source, "lock not removed");
            }
        });
    }
}

/// Another run that changes the cluster, or may do so: the first that is found. Hosts that do not answer are passed over.
pub fn other_run(cluster: &Label, hosts: &Hosts, me: &Holder) -> Option<Holder> {
    let name = name_of(cluster);
    let locks = hosts.ask_each(|_, hypervisor| hypervisor.lock_state(&name));
    let locks = locks.into_iter().filter_map(|(_, lock)| lock.ok()?);
    let mut holders = locks.filter_map(|lock| Holder::read(&lock.holder).ok());
    holders.find(|holder| holder.run_state(me, &holder::ProcFs) != RunState::Ended)
}

/// Whether any of the hosts has a lock of the cluster.
pub fn has_lock(cluster: &Label, hosts: &Hosts) -> Result<bool, Error> {
    let name = name_of(cluster);
    let locks = hosts.ask(|_, hypervisor| hypervisor.lock_state(&name))?;
    Ok(locks.iter().any(|(_, lock)| lock.is_some()))
}

/// Why a lock was not taken.
enum Refusal {
    Failed(Failure),
    /// A network that is no lock has its name.
    Foreign(String),
    Held(Box<Held>),
}

struct Held {
    by: String,
    run_state: RunState,
}

impl Refusal {
    fn error(self, cluster: &Label, host: &Name) -> Error {
        match self {
            Self::Failed(failure) => failure.on(host),
            Self::Foreign(name) => Error::Foreign {
                host: host.to_string(),
                kind: "network",
                name,
                why: "it has no mark of a lock of Kubitect's".to_owned(),
            },
            Self::Held(held) => Error::Locked {
                cluster: cluster.to_string(),
                host: host.to_string(),
                by: held.by,
                at_work: held.run_state == RunState::Running,
            },
        }
    }
}

/// Takes the lock on one host.
fn take(
    hypervisor: &dyn Hypervisor,
    name: &str,
    own: &str,
    me: &Holder,
    take_over: bool,
) -> Result<LockState, Refusal> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        let existing = hypervisor.lock(name, own).map_err(Refusal::Failed)?;
        if existing.holder == own {
            return Ok(existing);
        }
        if existing.holder.is_empty() {
            return Err(Refusal::Foreign(name.to_owned()));
        }
        // A text that can't be read was written by a newer Kubitect, which may be running.
        let run_state = Holder::read(&existing.holder).map_or(RunState::Unknown, |holder| {
            holder.run_state(me, &holder::ProcFs)
        });
        let may_take = match run_state {
            RunState::Ended => true,
            RunState::Unknown => take_over,
            RunState::Running => false,
        };
        if !may_take || attempts.next().is_none() {
            let by = describe_holder(&existing.holder);
            return Err(Refusal::Held(Box::new(Held { by, run_state })));
        }
        // By its number: another run may have removed this lock and made its own since, which must stay.
        hypervisor
            .unlock(name, &existing.id)
            .map_err(Refusal::Failed)?;
        fail::fail_point!("provision::halfway");
    }
}

/// A lock's holder, as text for a person.
fn describe_holder(holder: &str) -> String {
    let description = Holder::read(holder).map_or_else(|why| why, |holder| holder.to_string());
    text::line(&description)
}

/// A text that no other run of this machine has.
fn new_run() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.as_ref().map_or(0, Duration::as_nanos);
    format!("{nanos:x}-{:x}", RUNS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;
