//! A real libvirt that a run loses at its n-th writing verb.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kubitect_config::value::{Label, Mac};
use kubitect_provision::hypervisor::{Failure, Hypervisor, LockState};
use kubitect_provision::observe::{Capability, DomainState, NetworkState, PoolState, VolumeState};
use kubitect_provision::resource::{Disk, Domain, Network, Pool, Reservation, Volume};

/// Hands all on to a real libvirt until it fails, and from then on fails in all.
pub struct Failing {
    pub real: Arc<dyn Hypervisor>,
    /// How many writing verbs still work.
    pub left: AtomicUsize,
    /// Whether the one that fails has its effect, or a part of it.
    pub after: bool,
}

impl Failing {
    fn write<T>(&self, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let killed = || Failure::new("go on", "killed");
        let take = |left: usize| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        {
            Ok(1) if self.after => act().and(Err(killed())),
            Ok(1) | Err(_) => Err(killed()),
            Ok(_) => act(),
        }
    }
}

macro_rules! reads {
    ($($verb:ident($($name:ident: $kind:ty),*) -> $result:ty;)+) => {$(
        fn $verb(&self, $($name: $kind),*) -> Result<$result, Failure> {
            self.real.$verb($($name),*)
        }
    )+};
}

macro_rules! writes {
    ($($verb:ident($($name:ident: $kind:ty),*) -> $result:ty;)+) => {$(
        fn $verb(&self, $($name: $kind),*) -> Result<$result, Failure> {
            self.write(|| self.real.$verb($($name),*))
        }
    )+};
}

impl Hypervisor for Failing {
    reads! {
        capability() -> Capability;
        networks() -> Vec<NetworkState>;
        pools() -> Vec<PoolState>;
        domains() -> Vec<DomainState>;
        started_pools() -> Vec<String>;
        pool_state(name: &str) -> Option<PoolState>;
        volume_state(pool: &str, name: &str) -> Option<VolumeState>;
        domain_state(name: &Label) -> Option<DomainState>;
        lock_state(name: &str) -> Option<LockState>;
        refresh_pool(name: &str) -> ();
        download(pool: &str, volume: &str, offset: u64, to: &mut dyn Write) -> ();
        addresses(name: &Label) -> Vec<(Mac, Ipv4Addr)>;
    }
    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        None
    }

    writes! {
        define_network(network: &Network) -> ();
        start_network(name: &str) -> ();
        reserve(network: &str, reservation: &Reservation) -> ();
        unreserve(network: &str, reservation: &Reservation) -> ();
        remove_network(name: &str) -> ();
        lock(name: &str, holder: &str) -> LockState;
        unlock(name: &str, id: &str) -> ();
        ensure_pool(pool: &Pool) -> ();
        start_pool(name: &str) -> ();
        stop_pool(name: &str) -> ();
        remove_pool(name: &str) -> Option<String>;
        create_volume(volume: &Volume) -> ();
        grow_volume(pool: &str, volume: &str, capacity: u64, domain: &Label) -> ();
        remove_volume(pool: &str, volume: &str) -> ();
        define_domain(domain: &Domain) -> ();
        note_domain(name: &Label, note: &str) -> ();
        note_given(name: &Label, given: &[String]) -> ();
        authorize_key(name: &Label, user: &str, public_key: &str) -> ();
        start_domain(name: &Label) -> ();
        attach_disk(name: &Label, disk: &Disk) -> ();
        detach_disk(name: &Label, path: &Path) -> ();
        set_vcpus(name: &Label, vcpus: u32) -> ();
        shut_down_domain(name: &Label) -> ();
        power_off_domain(name: &Label) -> ();
        remove_domain(name: &Label) -> ();
    }

    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        self.write(|| {
            if self.left.load(Ordering::SeqCst) > 0 {
                return self.real.upload(pool, volume, content, length);
            }
            // The last one: half of it arrives.
            let half = length / 2;
            self.real
                .upload(pool, volume, &mut content.take(half), half)
        })
    }
}
