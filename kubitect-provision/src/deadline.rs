//! [`Bounded`]: a host's libvirt whose calls end within a time.
//!
//! libvirt itself waits for ever: for a QEMU that hangs, for a guest agent that began to answer, for a job that never ends. A
//! call that takes too long is left to end by itself in a thread of its own; whoever made it hears that it did not end, and
//! what to do. What libvirt then still does, the next run sees.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::value::{Label, Mac, Name};

use crate::blocking::answer;
use crate::hypervisor::{Failure, Hypervisor, LockState};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};
use crate::state::{Capability, DomainState, NetworkState, PoolState, VolumeState};

/// How long any call may take: removing a large disk, or starting a machine on a busy host.
const CALL: Duration = Duration::from_secs(10 * 60);
/// How long a short question may take: whether a host answers at all shows in this time.
const SHORT: Duration = Duration::from_secs(2 * 60);
/// How long a guest's agent may take to answer, and libvirt to tell of it.
const AGENT: Duration = Duration::from_secs(60);
/// The most characters of what a call is given that are shown.
const WORD: usize = 60;

/// A host's libvirt whose calls end within a time, and each of which `--debug` shows. Uploads and downloads have no limit of their
/// own: they take as long as their bytes do, and a connection that falls silent ends them.
pub(crate) struct Bounded {
    /// The host's name.
    pub host: Name,
    /// Its libvirt.
    pub libvirt: Arc<dyn Hypervisor>,
}

/// What a call gives within `limit`.
fn within<T: Send + 'static>(
    limit: Duration,
    action: &str,
    call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let given = answer(limit, &|| false, call);
    given.unwrap_or_else(|| Err(Failure::new(action, Unanswered(limit))))
}

/// Why a call gave nothing: whoever asks the same host again waits again.
#[derive(Debug, thiserror::Error)]
#[error(
    "libvirt has not answered within {} s: a job of it is stuck, or a QEMU hangs (`virsh list`, `virsh domjobinfo` \
     and the log of libvirtd on that host tell); machines run on while libvirtd is restarted",
    .0.as_secs()
)]
struct Unanswered(Duration);

impl Failure {
    /// Whether nobody answered in time: the host hangs, and is asked nothing more.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.source.is::<Unanswered>()
    }
}

/// Makes a call of the host's within [`CALL`], or the time after `in`: its verb, what it is given by reference, and after a
/// semicolon by value.
macro_rules! bounded {
    ($self:ident.$verb:ident($($reference:ident),* $(; $value:ident),*)) => {
        bounded!($self.$verb($($reference),* $(; $value),*) in CALL)
    };
    ($self:ident.$verb:ident($($reference:ident),* $(; $value:ident),*) in $limit:ident) => {{
        let host = Arc::clone(&$self.libvirt);
        let words = [stringify!($verb).replace('_', " "), $($reference.called(),)* $($value.to_string()),*];
        let action = words.join(" ");
        $(let $reference = $reference.to_owned();)*
        $self.within($limit, &action, move || host.$verb($(&$reference,)* $($value),*))
    }};
}

/// What a call is given, in a word.
trait Called {
    fn called(&self) -> String;
}

impl Called for str {
    fn called(&self) -> String {
        let whole = kubitect_config::text::line(self);
        let cut: String = whole.chars().take(WORD).collect();
        match cut.len() < whole.len() {
            true => format!("{cut}…"),
            false => cut,
        }
    }
}

impl Called for Path {
    fn called(&self) -> String {
        self.display().to_string()
    }
}

impl Called for [String] {
    fn called(&self) -> String {
        self.join(",").called()
    }
}

macro_rules! called_by_name {
    ($($kind:ty: $name:ident),*) => {$(
        impl Called for $kind {
            fn called(&self) -> String {
                self.$name.to_string().called()
            }
        }
    )*};
}

called_by_name!(Network: name, Pool: name, Volume: name, Domain: name, Reservation: name);

impl Called for Label {
    fn called(&self) -> String {
        self.to_string()
    }
}

impl Called for Disk {
    fn called(&self) -> String {
        self.path.called()
    }
}

impl Bounded {
    /// What a call gives within `limit`.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        action: &str,
        call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.timed(action, || within(limit, action, call))
    }

    /// Makes a call, and says which and how long it took.
    fn timed<T>(
        &self,
        action: &str,
        call: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let result = call();
        let (host, took) = (self.host.as_str(), began.elapsed());
        match &result {
            Ok(_) => tracing::debug!(host, ?took, "libvirt: {action}"),
            Err(failure) => {
                let error = &failure.source;
                tracing::debug!(host, ?took, %error, "libvirt: {action}: failed");
            }
        }
        result
    }
}

impl Hypervisor for Bounded {
    fn capability(&self) -> Result<Capability, Failure> {
        bounded!(self.capability())
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        bounded!(self.networks() in SHORT)
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        bounded!(self.pools())
    }

    fn started_pools(&self) -> Result<Vec<String>, Failure> {
        bounded!(self.started_pools() in SHORT)
    }

    fn domains(&self) -> Result<Vec<DomainState>, Failure> {
        bounded!(self.domains())
    }

    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure> {
        bounded!(self.pool_state(name))
    }

    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure> {
        bounded!(self.volume_state(pool, name))
    }

    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure> {
        bounded!(self.domain_state(name) in SHORT)
    }

    fn another(&self) -> Option<Arc<dyn Hypervisor>> {
        Some(Arc::new(Self {
            host: self.host.clone(),
            libvirt: self.libvirt.another()?,
        }))
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        bounded!(self.define_network(network))
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        bounded!(self.start_network(name))
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        bounded!(self.reserve(network, reservation))
    }

    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        bounded!(self.unreserve(network, reservation))
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        bounded!(self.remove_network(name))
    }

    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure> {
        bounded!(self.lock(name, holder))
    }

    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure> {
        bounded!(self.lock_state(name))
    }

    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure> {
        bounded!(self.unlock(name, id))
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        bounded!(self.ensure_pool(pool))
    }

    fn start_pool(&self, name: &str) -> Result<(), Failure> {
        bounded!(self.start_pool(name))
    }

    fn stop_pool(&self, name: &str) -> Result<(), Failure> {
        bounded!(self.stop_pool(name))
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        bounded!(self.refresh_pool(name))
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        bounded!(self.remove_pool(name))
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        bounded!(self.create_volume(volume))
    }

    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        self.timed(
            &format!("upload {volume} to {pool}, {length} bytes"),
            || self.libvirt.upload(pool, volume, content, length),
        )
    }

    fn download(
        &self,
        pool: &str,
        volume: &str,
        offset: u64,
        to: &mut dyn Write,
    ) -> Result<(), Failure> {
        self.timed(&format!("download {volume} from {pool}"), || {
            self.libvirt.download(pool, volume, offset, to)
        })
    }

    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        domain: &Label,
    ) -> Result<(), Failure> {
        let host = Arc::clone(&self.libvirt);
        let (pool, volume, domain) = (pool.to_owned(), volume.to_owned(), domain.clone());
        let action = format!("grow volume {volume} to {capacity} bytes");
        self.within(CALL, &action, move || {
            host.grow_volume(&pool, &volume, capacity, &domain)
        })
    }

    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure> {
        bounded!(self.remove_volume(pool, volume))
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        bounded!(self.define_domain(domain))
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        bounded!(self.start_domain(name))
    }

    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure> {
        bounded!(self.attach_disk(name, disk))
    }

    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure> {
        bounded!(self.detach_disk(name, path))
    }

    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure> {
        bounded!(self.set_vcpus(name; vcpus))
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        bounded!(self.shut_down_domain(name))
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        bounded!(self.power_off_domain(name))
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        bounded!(self.remove_domain(name))
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        bounded!(self.note_domain(name, note))
    }

    fn let_in(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        let host = Arc::clone(&self.libvirt);
        let (name, user) = (name.clone(), user.to_owned());
        let public_key = public_key.to_owned();
        let action = format!("have the guest agent of {name} let a key in");
        self.within(AGENT, &action, move || {
            host.let_in(&name, &user, &public_key)
        })
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        bounded!(self.note_given(name, given))
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        let host = Arc::clone(&self.libvirt);
        let name = name.clone();
        let action = format!("ask for addresses of {name}");
        self.within(AGENT, &action, move || host.addresses(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::fake::FakeHost;
    use crate::observe::HostState;

    #[test]
    fn a_call_that_hangs_ends_in_time_and_says_what_to_do() {
        let (_held, stuck) = mpsc::channel::<()>();
        let began = Instant::now();
        let failure = within(Duration::from_millis(50), "start domain", move || {
            // Until the test ends.
            let _ = stuck.recv();
            Ok(())
        })
        .unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert_eq!(failure.action, "start domain");
        let said = failure.source.to_string();
        assert!(
            said.contains("has not answered") && said.contains("libvirtd"),
            "{said}"
        );
        // One that ends gives what it gives, and what it failed with.
        assert_eq!(within(CALL, "x", || Ok(7)).unwrap(), 7);
        let failed = within(CALL, "x", || Err::<(), _>(Failure::new("y", "z")));
        assert_eq!(failed.unwrap_err().action, "y");
        let host = Bounded {
            host: "box".parse().unwrap(),
            libvirt: Arc::new(FakeHost::new(HostState::default())),
        };
        assert!(host.domains().unwrap().is_empty());
    }
}
