//! The port in memory, failing on demand; for tests.

mod domain;
mod failing;
mod kept;
mod meddle;
mod meeting;
mod network;
mod part;
mod pool;
mod shared;
mod verbs;
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
    /// The one of several hosts that this is, if they are kept together.
    part: Option<String>,
    /// The folder in which it outlives the process, if it does.
    kept: Option<PathBuf>,
    calls: Calls,
    meeting: Mutex<Option<Arc<Meeting>>>,
    shared: shared::Shared,
}

/// What its verbs would cost on a real libvirt, where a list is read with several calls for each of its elements.
#[derive(Debug, Default)]
struct Calls {
    so_far: AtomicU64,
    /// How long each takes, in microseconds.
    micros: AtomicU64,
}

impl Calls {
    fn made(&self, calls: usize) {
        self.so_far.fetch_add(calls as u64, Ordering::Relaxed);
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
    /// Folders that were taken away.
    #[serde(default)]
    unmounted: shared::Folders,
    addresses: BTreeMap<String, Vec<(Mac, Ipv4Addr)>>,
    /// Keys that guest agents were told of, with their accounts.
    let_in: BTreeMap<String, BTreeSet<String>>,
    /// How often the volume of this path was made, and the domain of this name switched on.
    times: BTreeMap<String, u64>,
    /// Writing verbs so far.
    #[serde(skip)]
    writes: usize,
    #[serde(skip)]
    fail: Option<(usize, When)>,
    /// What will be, once libvirt is through with what a killed process asked for, and what that was.
    #[serde(skip)]
    late: Option<(String, Box<State>)>,
    /// The host that each domain is on, where several are kept together.
    #[serde(default)]
    parts: BTreeMap<String, String>,
    /// Locks, by name.
    #[serde(default)]
    locks: BTreeMap<String, LockState>,
    /// Networks whose bridges a killed libvirtd left.
    #[serde(default)]
    left_bridges: BTreeSet<String>,
    /// What domains had that were saved as they ran.
    #[serde(default)]
    saved: BTreeMap<String, Live>,
    /// Domains whose guests do not shut down.
    stubborn: BTreeSet<String>,
    /// Domains that can't be given processors while they run.
    rigid: BTreeSet<String>,
    /// Domains whose addresses nobody tells.
    #[serde(default)]
    mute: BTreeSet<String>,
    /// Domains that can't be started.
    #[serde(default)]
    broken: BTreeSet<String>,
    /// After a failure everything fails, as it does for a process that was killed.
    #[serde(skip)]
    dead: bool,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct File {
    format: String,
    capacity: u64,
    allocation: u64,
    backing: Option<PathBuf>,
    /// Kept apart.
    #[serde(skip)]
    bytes: Vec<u8>,
}

impl FakeHost {
    /// An x86 host with KVM, on which these things are already.
    pub fn new(mut there: HostState) -> Self {
        there.capability = Capability {
            arch: "x86_64".to_owned(),
            virt: vec!["kvm".to_owned(), "qemu".to_owned()],
            cpu_models: vec!["Nehalem".to_owned()],
            max_vcpus: Some(64),
            cpus: 16,
            memory_mib: 64 << 10,
            memory_free_mib: Some(60 << 10),
            routes: there.capability.routes,
        };
        let mut state = State::default();
        for pool in &mut there.pools {
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
        state.host = there;
        Self {
            state: Arc::new(Mutex::new(state)),
            part: None,
            kept: None,
            calls: Calls::default(),
            meeting: Mutex::default(),
            shared: shared::Shared::default(),
        }
    }

    /// How many calls a real libvirt would have had so far.
    pub fn calls(&self) -> u64 {
        self.calls.so_far.load(Ordering::Relaxed)
    }

    /// Lets every call take so long from now on.
    pub fn take(&self, each: Duration) {
        let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        self.calls.micros.store(micros, Ordering::Relaxed);
    }

    /// Lets whoever looks at this host wait for the others of a meeting.
    pub fn meet(&self, meeting: &Arc<Meeting>) {
        let mut own = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(Arc::clone(meeting));
    }

    /// How many writing verbs there were.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// All that is there, inactive pools' folders included: two equal texts mean two equal hosts.
    pub fn inventory(&self) -> String {
        let state = self.lock();
        let mut host = state.host.clone();
        // Machines are made side by side, in no order.
        host.domains.sort_by(|a, b| a.name.cmp(&b.name));
        let locks = match state.locks.is_empty() {
            true => String::new(),
            false => format!("{:#?}\n", state.locks),
        };
        format!("{host:#?}\n{locks}{:#?}", state.folders)
    }

    /// The locks that are there.
    pub fn locks(&self) -> BTreeMap<String, LockState> {
        self.lock().locks.clone()
    }

    /// The bytes of a volume.
    pub fn bytes(&self, pool: &str, volume: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let path = state.host.pool(pool)?.path.clone()?;
        Some(state.folders.get(&path)?.get(volume)?.bytes.clone())
    }

    /// The accounts and keys that a domain's guest agent was told of.
    pub fn let_in(&self, domain: &str) -> BTreeSet<String> {
        self.lock().let_in.get(domain).cloned().unwrap_or_default()
    }
}

impl State {
    /// Makes a lock, unless one of its name is there; the one that is.
    fn lock(&mut self, name: &str, holder: &str) -> LockState {
        let id = self.times.entry(format!("lock {name}")).or_default();
        let there = self.locks.entry(name.to_owned()).or_insert_with(|| {
            *id += 1;
            LockState {
                id: id.to_string(),
                holder: holder.to_owned(),
            }
        });
        there.clone()
    }
}
