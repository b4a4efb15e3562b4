//! [`Patient`]: a host's libvirt that is looked at again when it refuses.
//!
//! libvirt goes on with what a killed run asked of it: the next run sees a domain that is off, starts it, and is refused,
//! because it runs by then. So a refusal is no failure where what was asked for is so when it is looked at again; and where
//! libvirt is still at work on the same thing, it is asked again for a while.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kubitect_config::value::{Label, Mac};

use crate::hypervisor::{Failure, Hypervisor, LockState};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};
use crate::state::{Capability, DomainState, NetworkState, PoolState, PowerState, VolumeState};

/// How long libvirt may be at work on what a killed run asked of it.
const BUSY: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What libvirt says while it is still at work on the same thing.
const AT_WORK: [&str; 4] = [
    "is still being allocated",
    "has asynchronous jobs running",
    "cannot acquire state change lock",
    "is being started",
];

/// A host's libvirt, looked at again when it refuses.
pub(crate) struct Patient(pub Arc<dyn Hypervisor>);

impl Patient {
    /// What `ask` gives, or `given` where it is refused and `is_so` says that there is nothing left to do.
    fn ask<T>(
        &self,
        ask: impl Fn() -> Result<T, Failure>,
        given: T,
        is_so: impl Fn() -> Result<bool, Failure>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        loop {
            let failure = match ask() {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            if failure.is_unanswered() {
                return Err(failure);
            }
            // That it can't be looked at says nothing new.
            if is_so().unwrap_or(false) {
                tracing::debug!(action = failure.action, error = %failure.source, "refused, and so already");
                return Ok(given);
            }
            let said = failure.source.to_string();
            let at_work = AT_WORK.iter().any(|text| said.contains(text));
            if !at_work || started.elapsed() >= BUSY {
                return Err(failure);
            }
            thread::sleep(PAUSE);
        }
    }

    fn network(&self, name: &str) -> Result<Option<NetworkState>, Failure> {
        let networks = self.0.networks()?;
        Ok(networks.into_iter().find(|there| there.name == name))
    }

    fn is_pool_active(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.0.pool_state(name)?.is_some_and(|pool| pool.active))
    }

    /// A refused start of a network, with what to do where its bridge is what a killed libvirtd left.
    fn explain(&self, name: &str, failure: Failure) -> Failure {
        let said = failure.source.to_string();
        let Ok(networks) = self.0.networks() else {
            return failure;
        };
        let own = networks.iter().find(|there| there.name == name);
        let Some(bridge) = own.and_then(|own| own.bridge.as_deref()) else {
            return failure;
        };
        let users = networks.iter().filter(|there| there.active);
        let used = users
            .filter_map(|there| there.bridge.as_deref())
            .any(|other| other == bridge);
        let mut words = said.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        let exists = said.contains("File exists") || said.contains("already in use by interface");
        if used || !exists || !words.any(|word| word.trim_end_matches('.') == bridge) {
            return failure;
        }
        let why = format!(
            "{said}; no active network is on the bridge {bridge}: a libvirtd that was killed while it started the network leaves \
             it behind; remove it on that host (ip link delete {bridge}), and apply again"
        );
        Failure::new(failure.action, why)
    }
}

impl Hypervisor for Patient {
    fn capability(&self) -> Result<Capability, Failure> {
        self.0.capability()
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        self.0.networks()
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        self.0.pools()
    }

    fn started_pools(&self) -> Result<Vec<String>, Failure> {
        self.0.started_pools()
    }

    fn domains(&self) -> Result<Vec<DomainState>, Failure> {
        self.0.domains()
    }

    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure> {
        self.0.pool_state(name)
    }

    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure> {
        self.0.volume_state(pool, name)
    }

    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure> {
        self.0.domain_state(name)
    }

    fn another(&self) -> Option<Arc<dyn Hypervisor>> {
        let other = self.0.another()?;
        Some(Arc::new(Self(other)))
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        self.ask(|| self.0.define_network(network), (), || Ok(false))
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        let is_so = || Ok(self.network(name)?.is_some_and(|there| there.active));
        self.ask(|| self.0.start_network(name), (), is_so)
            .map_err(|failure| self.explain(name, failure))
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let is_so = || {
            let there = self.network(network)?;
            Ok(there.is_some_and(|there| there.reservations.contains(reservation)))
        };
        self.ask(|| self.0.reserve(network, reservation), (), is_so)
    }

    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let is_so = || {
            let there = self.network(network)?;
            Ok(there.is_none_or(|there| !there.reservations.contains(reservation)))
        };
        self.ask(|| self.0.unreserve(network, reservation), (), is_so)
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        let is_so = || Ok(self.network(name)?.is_none());
        self.ask(|| self.0.remove_network(name), (), is_so)
    }

    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure> {
        self.0.lock(name, holder)
    }

    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure> {
        self.0.lock_state(name)
    }

    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure> {
        let is_so = || Ok(self.0.lock_state(name)?.is_none_or(|lock| lock.id != id));
        self.ask(|| self.0.unlock(name, id), (), is_so)
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        let is_so = || self.is_pool_active(&pool.name);
        self.ask(|| self.0.ensure_pool(pool), (), is_so)
    }

    fn start_pool(&self, name: &str) -> Result<(), Failure> {
        self.ask(|| self.0.start_pool(name), (), || self.is_pool_active(name))
    }

    fn stop_pool(&self, name: &str) -> Result<(), Failure> {
        let is_so = || Ok(!self.is_pool_active(name)?);
        self.ask(|| self.0.stop_pool(name), (), is_so)
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        // Whoever asks goes on with what libvirt knows.
        self.0.refresh_pool(name)
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        let is_so = || Ok(self.0.pool_state(name)?.is_none());
        self.ask(|| self.0.remove_pool(name), None, is_so)
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        let is_so = || {
            let pool = self.0.pool_state(&volume.pool)?;
            let there = pool.as_ref().and_then(|pool| pool.volume(&volume.name));
            Ok(there.is_some_and(|there| {
                let backing = volume.backing.as_ref().map(|backing| &backing.path);
                there.format == volume.format.as_str()
                    && there.capacity == volume.capacity
                    && there.backing.as_ref() == backing
            }))
        };
        self.ask(|| self.0.create_volume(volume), (), is_so)
    }

    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        self.0.upload(pool, volume, content, length)
    }

    fn download(
        &self,
        pool: &str,
        volume: &str,
        offset: u64,
        to: &mut dyn Write,
    ) -> Result<(), Failure> {
        self.0.download(pool, volume, offset, to)
    }

    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        domain: &Label,
    ) -> Result<(), Failure> {
        let is_so = || {
            let pool = self.0.pool_state(pool)?;
            let there = pool.as_ref().and_then(|pool| pool.volume(volume));
            Ok(there.is_some_and(|there| there.capacity >= capacity))
        };
        let ask = || self.0.grow_volume(pool, volume, capacity, domain);
        self.ask(ask, (), is_so)
    }

    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure> {
        let is_so = || {
            let there = self.0.pool_state(pool)?;
            // What lies in a pool that is not active can't be seen.
            Ok(there.is_some_and(|pool| pool.active && pool.volume(volume).is_none()))
        };
        self.ask(|| self.0.remove_volume(pool, volume), (), is_so)
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        self.ask(|| self.0.define_domain(domain), (), || Ok(false))
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_so = || {
            let there = self.0.domain_state(name)?;
            Ok(there.is_some_and(|there| there.power == PowerState::Running))
        };
        self.ask(|| self.0.start_domain(name), (), is_so)
    }

    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure> {
        let is_so = || {
            Ok(self.0.domain_state(name)?.is_some_and(|there| {
                let live = there.live.as_ref();
                there.disks.contains(&disk.path)
                    && live.is_none_or(|live| live.disks.contains(&disk.path))
            }))
        };
        self.ask(|| self.0.attach_disk(name, disk), (), is_so)
    }

    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure> {
        let is_so = || {
            let there = self.0.domain_state(name)?;
            Ok(there.is_some_and(|there| !there.all_disks().any(|disk| disk == path)))
        };
        self.ask(|| self.0.detach_disk(name, path), (), is_so)
    }

    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure> {
        let is_so = || {
            Ok(self.0.domain_state(name)?.is_some_and(|there| {
                let live = there.live.as_ref();
                there.vcpus == vcpus && live.is_none_or(|live| live.vcpus == vcpus)
            }))
        };
        self.ask(|| self.0.set_vcpus(name, vcpus), (), is_so)
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_so = || {
            let there = self.0.domain_state(name)?;
            Ok(there.is_none_or(|there| there.live.is_none() && there.power != PowerState::Paused))
        };
        self.ask(|| self.0.shut_down_domain(name), (), is_so)
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_so = || {
            let there = self.0.domain_state(name)?;
            let off = [PowerState::Off, PowerState::Crashed];
            Ok(there.is_none_or(|there| off.contains(&there.power)))
        };
        self.ask(|| self.0.power_off_domain(name), (), is_so)
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_so = || Ok(self.0.domain_state(name)?.is_none());
        self.ask(|| self.0.remove_domain(name), (), is_so)
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        self.ask(|| self.0.note_domain(name, note), (), || Ok(false))
    }

    fn let_in(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        self.0.let_in(name, user, public_key)
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        self.ask(|| self.0.note_given(name, given), (), || Ok(false))
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        self.0.addresses(name)
    }
}
