//! [`WithDeadline`]: a host's libvirt whose calls have a time limit.
//!
//! libvirt itself has none: it waits for ever for a QEMU that hangs, a guest agent that stops in the middle of an answer, or a
//! job that never ends. So each call runs in a thread of its own. After the limit the caller gets an error that says what to do;
//! the thread is left to itself. The next run observes what libvirt has done by then.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::value::{Label, Mac, Name};

use crate::blocking::run_within;
use crate::hypervisor::{Failure, Hypervisor, LockState};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};
use crate::state::{Capability, DomainState, NetworkState, PoolState, VolumeState};

/// The limit of any call, as removing a large disk, or starting a machine on a busy host.
const CALL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The limit of a short query, which shows whether a host answers at all.
const QUERY_LIMIT: Duration = Duration::from_secs(2 * 60);
/// The limit of a call that a guest agent answers.
const AGENT_LIMIT: Duration = Duration::from_secs(60);
/// The most characters of an argument that the debug log shows.
const ARGUMENT_MAX: usize = 60;

/// A host's libvirt whose calls have a time limit and are written to the debug log (`--debug`). Uploads and downloads have no
/// limit: how long they take depends on their size, and a connection over which no more bytes come ends them.
pub(crate) struct WithDeadline {
    /// The host's name.
    pub host: Name,
    /// Its libvirt.
    pub libvirt: Arc<dyn Hypervisor>,
}

/// The result of a call, or [`Unanswered`] after `limit`.
fn within<T: Send + 'static>(
    limit: Duration,
    action: &str,
    call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let result = run_within(limit, &|| false, call);
    result.unwrap_or_else(|| Err(Failure::new(action, Unanswered(limit))))
}

/// The error of a call that reached its limit.
#[derive(Debug, thiserror::Error)]
#[error(
    "libvirt has not answered within {} s: a job of it is stuck, or a QEMU hangs (`virsh list`, `virsh domjobinfo` \
     and the log of libvirtd on that host tell); machines run on while libvirtd is restarted",
    .0.as_secs()
)]
struct Unanswered(Duration);

impl Failure {
    /// Whether the call reached its limit. Then the host hangs: a further call would wait as long.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.source.is::<Unanswered>()
    }
}

/// Makes a call of the host's within [`CALL_LIMIT`], or the limit after `in`: the method, its arguments by reference, and after a
/// semicolon those by value.
macro_rules! bounded {
    ($self:ident.$verb:ident($($reference:ident),* $(; $value:ident),*)) => {
        bounded!($self.$verb($($reference),* $(; $value),*) in CALL_LIMIT)
    };
    ($self:ident.$verb:ident($($reference:ident),* $(; $value:ident),*) in $limit:ident) => {{
        let host = Arc::clone(&$self.libvirt);
        let parts = [stringify!($verb).replace('_', " "), $($reference.describe(),)* $($value.to_string()),*];
        let action = parts.join(" ");
        $(let $reference = $reference.to_owned();)*
        $self.within($limit, &action, move || host.$verb($(&$reference,)* $($value),*))
    }};
}

/// An argument of a call, as the debug log shows it.
trait Describe {
    fn describe(&self) -> String;
}

impl Describe for str {
    fn describe(&self) -> String {
        let text = kubitect_config::text::line(self);
        let start: String = text.chars().take(ARGUMENT_MAX).collect();
        match start.len() < text.len() {
            true => format!("{start}…"),
            false => start,
        }
    }
}

impl Describe for Path {
    fn describe(&self) -> String {
        self.display().to_string()
    }
}

impl Describe for [String] {
    fn describe(&self) -> String {
        self.join(",").describe()
    }
}

macro_rules! describe_by_name {
    ($($kind:ty: $name:ident),*) => {$(
        impl Describe for $kind {
            fn describe(&self) -> String {
                self.$name.to_string().describe()
            }
        }
    )*};
}

describe_by_name!(Network: name, Pool: name, Volume: name, Domain: name, Reservation: name);

impl Describe for Label {
    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Describe for Disk {
    fn describe(&self) -> String {
        self.path.describe()
    }
}

impl WithDeadline {
    /// The result of a call, or [`Unanswered`] after `limit`.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        action: &str,
        call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.timed(action, || within(limit, action, call))
    }

    /// Makes a call and logs it with its duration.
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

impl Hypervisor for WithDeadline {
    fn capability(&self) -> Result<Capability, Failure> {
        bounded!(self.capability())
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        bounded!(self.networks() in QUERY_LIMIT)
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        bounded!(self.pools())
    }

    fn started_pools(&self) -> Result<Vec<String>, Failure> {
        bounded!(self.started_pools() in QUERY_LIMIT)
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
        bounded!(self.domain_state(name) in QUERY_LIMIT)
    }

    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        Some(Arc::new(Self {
            host: self.host.clone(),
            libvirt: self.libvirt.another_connection()?,
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
        self.within(CALL_LIMIT, &action, move || {
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

    fn authorize_key(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        let host = Arc::clone(&self.libvirt);
        let (name, user) = (name.clone(), user.to_owned());
        let public_key = public_key.to_owned();
        let action = format!("have the guest agent of {name} authorize a key");
        self.within(AGENT_LIMIT, &action, move || {
            host.authorize_key(&name, &user, &public_key)
        })
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        bounded!(self.note_given(name, given))
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        let host = Arc::clone(&self.libvirt);
        let name = name.clone();
        let action = format!("ask for addresses of {name}");
        self.within(AGENT_LIMIT, &action, move || host.addresses(&name))
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
            // Blocks until the test ends.
            let _ = stuck.recv();
            Ok(())
        })
        .unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert_eq!(failure.action, "start domain");
        let message = failure.source.to_string();
        assert!(
            message.contains("has not answered") && message.contains("libvirtd"),
            "{message}"
        );
        // A call that ends within the limit gives its own result.
        assert_eq!(within(CALL_LIMIT, "x", || Ok(7)).unwrap(), 7);
        let failed = within(CALL_LIMIT, "x", || Err::<(), _>(Failure::new("y", "z")));
        assert_eq!(failed.unwrap_err().action, "y");
        let host = WithDeadline {
            host: "box".parse().unwrap(),
            libvirt: Arc::new(FakeHost::new(HostState::default())),
        };
        assert!(host.domains().unwrap().is_empty());
    }
}
