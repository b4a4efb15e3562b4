//! [`Retrying`]: a host's libvirt whose failed calls are checked and repeated.
//!
//! libvirt carries on with the calls of a run that was killed. The next run sees a domain that is off and starts it, and libvirt
//! refuses, because the domain runs by then. So a failed call is no error if the result that it was for is there when the state is
//! read again. While libvirt is still busy with the same resource, the call is repeated for a while.

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

/// How long libvirt may be busy with the calls of a killed run.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Parts of the errors that libvirt gives while it is busy with the same resource.
const BUSY_ERRORS: [&str; 4] = [
    "is still being allocated",
    "has asynchronous jobs running",
    "cannot acquire state change lock",
    "is being started",
];

/// A host's libvirt whose failed calls are checked and repeated.
pub(crate) struct Retrying(pub Arc<dyn Hypervisor>);

impl Retrying {
    /// The result of `call`; or `done` if `call` fails and `is_done` says that its effect is there all the same.
    fn call<T>(
        &self,
        call: impl Fn() -> Result<T, Failure>,
        done: T,
        is_done: impl Fn() -> Result<bool, Failure>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        loop {
            let failure = match call() {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            if failure.is_unanswered() {
                return Err(failure);
            }
            // If the state can't be read either, the first failure is the better error.
            if is_done().unwrap_or(false) {
                tracing::debug!(action = failure.action, error = %failure.source, "refused, and so already");
                return Ok(done);
            }
            let message = failure.source.to_string();
            let is_busy = BUSY_ERRORS.iter().any(|text| message.contains(text));
            if !is_busy || started.elapsed() >= BUSY_TIMEOUT {
                return Err(failure);
            }
            thread::sleep(PAUSE);
        }
    }

    fn network(&self, name: &str) -> Result<Option<NetworkState>, Failure> {
        let networks = self.0.networks()?;
        Ok(networks.into_iter().find(|network| network.name == name))
    }

    fn is_pool_active(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.0.pool_state(name)?.is_some_and(|pool| pool.active))
    }

    /// Adds to the failed start of a network what to do if its bridge is left over from a libvirtd that was killed.
    fn explain(&self, name: &str, failure: Failure) -> Failure {
        let message = failure.source.to_string();
        let Ok(networks) = self.0.networks() else {
            return failure;
        };
        let network = networks.iter().find(|network| network.name == name);
        let Some(bridge) = network.and_then(|network| network.bridge.as_deref()) else {
            return failure;
        };
        let active = networks.iter().filter(|network| network.active);
        let used = active
            .filter_map(|network| network.bridge.as_deref())
            .any(|other| other == bridge);
        let mut words = message.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        let exists =
            message.contains("File exists") || message.contains("already in use by interface");
        if used || !exists || !words.any(|word| word.trim_end_matches('.') == bridge) {
            return failure;
        }
        let why = format!(
            "{message}; no active network is on the bridge {bridge}: a libvirtd that was killed while it started the network leaves \
             it behind; remove it on that host (ip link delete {bridge}), and apply again"
        );
        Failure::new(failure.action, why)
    }
}

impl Hypervisor for Retrying {
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

    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        let other = self.0.another_connection()?;
        Some(Arc::new(Self(other)))
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        self.call(|| self.0.define_network(network), (), || Ok(false))
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        let is_done = || Ok(self.network(name)?.is_some_and(|network| network.active));
        self.call(|| self.0.start_network(name), (), is_done)
            .map_err(|failure| self.explain(name, failure))
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let is_done = || {
            let state = self.network(network)?;
            Ok(state.is_some_and(|state| state.reservations.contains(reservation)))
        };
        self.call(|| self.0.reserve(network, reservation), (), is_done)
    }

    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let is_done = || {
            let state = self.network(network)?;
            Ok(state.is_none_or(|state| !state.reservations.contains(reservation)))
        };
        self.call(|| self.0.unreserve(network, reservation), (), is_done)
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        let is_done = || Ok(self.network(name)?.is_none());
        self.call(|| self.0.remove_network(name), (), is_done)
    }

    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure> {
        self.0.lock(name, holder)
    }

    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure> {
        self.0.lock_state(name)
    }

    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure> {
        let is_done = || Ok(self.0.lock_state(name)?.is_none_or(|lock| lock.id != id));
        self.call(|| self.0.unlock(name, id), (), is_done)
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        let is_done = || self.is_pool_active(&pool.name);
        self.call(|| self.0.ensure_pool(pool), (), is_done)
    }

    fn start_pool(&self, name: &str) -> Result<(), Failure> {
        self.call(|| self.0.start_pool(name), (), || self.is_pool_active(name))
    }

    fn stop_pool(&self, name: &str) -> Result<(), Failure> {
        let is_done = || Ok(!self.is_pool_active(name)?);
        self.call(|| self.0.stop_pool(name), (), is_done)
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        // Not repeated: the caller can go on with the state that libvirt has.
        self.0.refresh_pool(name)
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        let is_done = || Ok(self.0.pool_state(name)?.is_none());
        self.call(|| self.0.remove_pool(name), None, is_done)
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        let is_done = || {
            let pool = self.0.pool_state(&volume.pool)?;
            let state = pool.as_ref().and_then(|pool| pool.volume(&volume.name));
            Ok(state.is_some_and(|state| {
                let backing = volume.backing.as_ref().map(|backing| &backing.path);
                state.format == volume.format.as_str()
                    && state.capacity == volume.capacity
                    && state.backing.as_ref() == backing
            }))
        };
        self.call(|| self.0.create_volume(volume), (), is_done)
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
        let is_done = || {
            let pool = self.0.pool_state(pool)?;
            let state = pool.as_ref().and_then(|pool| pool.volume(volume));
            Ok(state.is_some_and(|state| state.capacity >= capacity))
        };
        let call = || self.0.grow_volume(pool, volume, capacity, domain);
        self.call(call, (), is_done)
    }

    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure> {
        let is_done = || {
            let state = self.0.pool_state(pool)?;
            // The volumes of a pool that is not active can't be listed.
            Ok(state.is_some_and(|pool| pool.active && pool.volume(volume).is_none()))
        };
        self.call(|| self.0.remove_volume(pool, volume), (), is_done)
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        self.call(|| self.0.define_domain(domain), (), || Ok(false))
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_done = || {
            let state = self.0.domain_state(name)?;
            Ok(state.is_some_and(|state| state.power == PowerState::Running))
        };
        self.call(|| self.0.start_domain(name), (), is_done)
    }

    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure> {
        let is_done = || {
            Ok(self.0.domain_state(name)?.is_some_and(|state| {
                let live = state.live.as_ref();
                state.disks.contains(&disk.path)
                    && live.is_none_or(|live| live.disks.contains(&disk.path))
            }))
        };
        self.call(|| self.0.attach_disk(name, disk), (), is_done)
    }

    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure> {
        let is_done = || {
            let state = self.0.domain_state(name)?;
            Ok(state.is_some_and(|state| !state.all_disks().any(|disk| disk == path)))
        };
        self.call(|| self.0.detach_disk(name, path), (), is_done)
    }

    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure> {
        let is_done = || {
            Ok(self.0.domain_state(name)?.is_some_and(|state| {
                let live = state.live.as_ref();
                state.vcpus == vcpus && live.is_none_or(|live| live.vcpus == vcpus)
            }))
        };
        self.call(|| self.0.set_vcpus(name, vcpus), (), is_done)
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_done = || {
            let state = self.0.domain_state(name)?;
            Ok(state.is_none_or(|state| state.live.is_none() && state.power != PowerState::Paused))
        };
        self.call(|| self.0.shut_down_domain(name), (), is_done)
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_done = || {
            let state = self.0.domain_state(name)?;
            let off = [PowerState::Off, PowerState::Crashed];
            Ok(state.is_none_or(|state| off.contains(&state.power)))
        };
        self.call(|| self.0.power_off_domain(name), (), is_done)
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        let is_done = || Ok(self.0.domain_state(name)?.is_none());
        self.call(|| self.0.remove_domain(name), (), is_done)
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        self.call(|| self.0.note_domain(name, note), (), || Ok(false))
    }

    fn authorize_key(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        self.0.authorize_key(name, user, public_key)
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        self.call(|| self.0.note_given(name, given), (), || Ok(false))
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        self.0.addresses(name)
    }
}
