//! [`HostLocks`]: one run per cluster at a time on its hosts, whatever folders the runs keep their clusters in.
//!
//! The lock of a folder is seen by those alone who use that folder. So a run also makes a lock in libvirt of each host: making one
//! is refused where another is, and it says who holds it. A run that was killed leaves it. It counts no more where that run is over
//! for sure: its folder is locked by this run, its process is gone, or its machine was started anew since. Of a run on another
//! machine this can't be known, so that a person has to say it.

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
use holder::Standing;

/// How often another lock may come in the place of one that was removed, before it is given up.
const TRIES: usize = 5;

/// Tells the runs of one process apart.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// The name of a cluster's lock in libvirt.
pub(crate) fn name_of(cluster: &Label) -> String {
    format!("kubitect-lock-{cluster}")
}

/// Holds a cluster on its hosts for one run.
#[must_use = "the cluster is held only while this is"]
pub struct HostLocks {
    name: String,
    own: String,
    hosts: BTreeMap<Name, (Arc<dyn Hypervisor>, LockState)>,
}

kubitect_config::shown_by!(HostLocks, name, own);

impl HostLocks {
    /// Takes the cluster on all these hosts, or on none. `me` has the lock of its folder already.
    ///
    /// With `take_over`, it is taken from a run of which nobody knows whether it is over. It is never taken from one that is at work.
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
        // Whatever fails, what was taken is given back when this is dropped.
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

    /// An error if another run took the cluster over meanwhile: nothing more may be changed then.
    pub fn check(&self, cluster: &Label) -> Result<(), Error> {
        let hosts: Vec<_> = self.hosts.iter().collect();
        let seen = in_threads(AT_ONCE, &hosts, |(_, (hypervisor, _))| {
            hypervisor.lock_state(&self.name)
        });
        for ((host, _), seen) in hosts.into_iter().zip(seen) {
            let there = seen.map_err(|failure| failure.on(host))?;
            if there.as_ref().is_none_or(|there| there.holder != self.own) {
                let by = there.map_or_else(|| "nobody".to_owned(), |there| said(&there.holder));
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
            // Nobody to tell; the next run of this folder takes it.
            if let Err(failure) = hypervisor.unlock(&self.name, &lock.id) {
                tracing::debug!(error = %failure.source, "lock not removed");
            }
        });
    }
}

/// Who else is at work on a cluster, or may be: the first that is found. What can't be asked is not known of.
pub fn other_run(cluster: &Label, hosts: &Hosts, me: &Holder) -> Option<Holder> {
    let name = name_of(cluster);
    let locks = hosts.ask_each(|_, hypervisor| hypervisor.lock_state(&name));
    let locks = locks.into_iter().filter_map(|(_, lock)| lock.ok()?);
    let mut holders = locks.filter_map(|lock| Holder::read(&lock.holder).ok());
    holders.find(|holder| holder.standing(me, &holder::Processes) != Standing::Over)
}

/// Whether a lock of the cluster is on any of the hosts.
pub fn is_left(cluster: &Label, hosts: &Hosts) -> Result<bool, Error> {
    let name = name_of(cluster);
    let locks = hosts.ask(|_, hypervisor| hypervisor.lock_state(&name))?;
    Ok(locks.iter().any(|(_, lock)| lock.is_some()))
}

/// Why a lock was not had.
enum Refusal {
    Failed(Failure),
    /// Something else has its name.
    Foreign(String),
    Held(Box<Held>),
}

struct Held {
    by: String,
    standing: Standing,
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
                at_work: held.standing == Standing::AtWork,
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
    let mut tries = 0..TRIES;
    loop {
        let there = hypervisor.lock(name, own).map_err(Refusal::Failed)?;
        if there.holder == own {
            return Ok(there);
        }
        if there.holder.is_empty() {
            return Err(Refusal::Foreign(name.to_owned()));
        }
        // What can't be read is of a newer Kubitect.
        let standing = Holder::read(&there.holder).map_or(Standing::Unknown, |holder| {
            holder.standing(me, &holder::Processes)
        });
        let may = match standing {
            Standing::Over => true,
            Standing::Unknown => take_over,
            Standing::AtWork => false,
        };
        if !may || tries.next().is_none() {
            let by = said(&there.holder);
            return Err(Refusal::Held(Box::new(Held { by, standing })));
        }
        // Exactly this one: another run may have put its own in its place meanwhile.
        hypervisor
            .unlock(name, &there.id)
            .map_err(Refusal::Failed)?;
        fail::fail_point!("provision::halfway");
    }
}

/// Who holds a lock, in words.
fn said(holder: &str) -> String {
    let said = Holder::read(holder).map_or_else(|why| why, |holder| holder.to_string());
    text::line(&said)
}

/// What tells this run from all others.
fn new_run() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.as_ref().map_or(0, Duration::as_nanos);
    format!("{nanos:x}-{:x}", RUNS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;
