//! [`FakeHost`]: a host's libvirt in memory, for tests; its operations fail on demand.

mod domain;
mod failing;
mod meeting;
mod network;
mod operations;
mod outside;
mod part;
mod persistent;
mod pool;
mod shared;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use failing::When;
use kubitect_config::value::Mac;
pub use meeting::Meeting;
use serde::{Deserialize, Serialize};

use crate::hypervisor::LockState;
use crate::observe::{Capability, HostState, Live};

/// A host in memory.
#[derive(Debug, Default)]
pub struct FakeHost {
    state: Arc<Mutex<State>>,
    /// Its name, if it is one of several hosts with a common state.
    part: Option<String>,
    /// The folder to which its state is written, if it outlives the process.
    folder: Option<PathBuf>,
    calls: Calls,
    meeting: Mutex<Option<Arc<Meeting>>>,
    shared: shared::Shared,
}

/// How many calls a real libvirt would have got: there, a list is read with several calls for each of its elements.
#[derive(Debug, Default)]
struct Calls {
    total: AtomicU64,
    /// How long each takes, in microseconds.
    micros: AtomicU64,
}

impl Calls {
    fn count(&self, calls: usize) {
        self.total.fetch_add(calls as u64, Ordering::Relaxed);
        let micros = self.micros.load(Ordering::Relaxed) * calls as u64;
        if micros > 0 {
            std::thread::sleep(Duration::from_micros(micros));
        }
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct State {
    host: HostState,
    /// Folders and the files in them; they outlive pools.
    folders: shared::Folders,
    /// Folders whose file system is not mounted.
    #[serde(default)]
    unmounted: shared::Folders,
    addresses: BTreeMap<String, Vec<(Mac, Ipv4Addr)>>,
    /// The keys that guest agents have authorized, with the accounts, by domain.
    let_in: BTreeMap<String, BTreeSet<String>>,
    /// How often the volume of this path was made, or the domain of this name started.
    times: BTreeMap<String, u64>,
    /// How many changing operations there were.
    #[serde(skip)]
    writes: usize,
    #[serde(skip)]
    fail: Option<(usize, When)>,
    /// An operation that libvirt accepted from a killed process and still carries out, with the state after it.
    #[serde(skip)]
    late: Option<(String, Box<State>)>,
    /// The host of each domain, if several hosts have a common state.
    #[serde(default)]
    parts: BTreeMap<String, String>,
    /// Locks, by name.
    #[serde(default)]
    locks: BTreeMap<String, LockState>,
    /// Networks whose bridges a killed libvirtd left behind.
    #[serde(default)]
    left_bridges: BTreeSet<String>,
    /// The saved states of domains.
    #[serde(default)]
    saved: BTreeMap<String, Live>,
    /// Domains whose guests do not shut down.
    stubborn: BTreeSet<String>,
    /// Domains that refuse a hot-plug of processors.
    rigid: BTreeSet<String>,
    /// Domains whose guest agent does not answer.
    #[serde(default)]
    mute: BTreeSet<String>,
    /// Domains that can't be started.
    #[serde(default)]
    broken: BTreeSet<String>,
    /// Whether all operations fail, as for a process that was killed: so it is after a failure.
    #[serde(skip)]
    dead: bool,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct File {
    format: String,
    capacity: u64,
    allocation: u64,
    backing: Option<PathBuf>,
    /// Written to a file of its own.
    #[serde(skip)]
    bytes: Vec<u8>,
}

impl FakeHost {
    /// An x86 host with KVM, on which this state exists already.
    pub fn new(mut existing: HostState) -> Self {
        existing.capability = Capability {
            arch: "x86_64".to_owned(),
            virt: vec!["kvm".to_owned(), "qemu".to_owned()],
            cpu_models: vec!["Nehalem".to_owned()],
            max_vcpus: Some(64),
            cpus: 16,
            memory_mib: 64 << 10,
            memory_free_mib: Some(60 << 10),
            routes: existing.capability.routes,
        };
        let mut state = State::default();
        for pool in &mut existing.pools {
            let Some(path) = pool.path.clone() else {
                continue;
            };
            let folder = state.folders.entry(path).or_default();
            for volume in pool.volumes.drain(..) {
                folder.insert(
                    volume.name,
                    File {
                        format: volume.format,
                        capacity: volume.capacity,
                        allocation: volume.allocation,
                        backing: volume.backing,
                        bytes: Vec::new(),
                    },
                );
            }
        }
        state.host = existing;
        Self {
            state: Arc::new(Mutex::new(state)),
            part: None,
            folder: None,
            calls: Calls::default(),
            meeting: Mutex::default(),
            shared: shared::Shared::default(),
        }
    }

    /// How many calls a real libvirt would have got so far.
    pub fn calls(&self) -> u64 {
        self.calls.total.load(Ordering::Relaxed)
    }

    /// Makes every call take this long from now on.
    pub fn set_call_time(&self, each: Duration) {
        let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        self.calls.micros.store(micros, Ordering::Relaxed);
    }

    /// Makes each reading call of this host wait until as many hosts are read as the meeting expects.
    pub fn meet(&self, meeting: &Arc<Meeting>) {
        let mut own = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(Arc::clone(meeting));
    }

    /// How many changing operations there were.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// The whole state as text, with the folders of inactive pools: two equal texts mean two equal hosts.
    pub fn inventory(&self) -> String {
        let state = self.lock();
        let mut host = state.host.clone();
        // Machines are made in parallel, in no order.
        host.domains.sort_by(|a, b| a.name.cmp(&b.name));
        let locks = match state.locks.is_empty() {
            true => String::new(),
            false => format!("{:#?}\n", state.locks),
        };
        format!("{host:#?}\n{locks}{:#?}", state.folders)
    }

    /// The existing locks.
    pub fn locks(&self) -> BTreeMap<String, LockState> {
        self.lock().locks.clone()
    }

    /// The bytes of a volume.
    pub fn bytes(&self, pool: &str, volume: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let path = state.host.pool(pool)?.path.clone()?;
        Some(state.folders.get(&path)?.get(volume)?.bytes.clone())
    }

    /// The accounts with keys that a domain's guest agent has authorized.
    pub fn authorized_keys(&self, domain: &str) -> BTreeSet<String> {
        self.lock().let_in.get(domain).cloned().unwrap_or_default()
    }
}

impl State {
    /// Makes a lock unless one of its name exists, and returns the one that exists then.
    fn lock(&mut self, name: &str, holder: &str) -> LockState {
        let id = self.times.entry(format!("lock {name}")).or_default();
        let existing = self.locks.entry(name.to_owned()).or_insert_with(|| {
            *id += 1;
            LockState {
                id: id.to_string(),
                holder: holder.to_owned(),
            }
        });
        existing.clone()
    }
}
