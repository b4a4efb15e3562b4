//! The port in memory, failing on demand; for tests.

mod domain;
mod kept;
mod meeting;
mod shared;
mod verbs;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubitect_config::value::Mac;
pub use meeting::Meeting;
use serde::{Deserialize, Serialize};

use crate::hypervisor::{Failure, LockState};
use crate::observe::{
    Capability, DomainState, HostState, Live, PoolState, PowerState, VolumeState,
};

/// When a verb fails, seen from its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// A part of it has: half of an upload, a disk without its header, a pool defined and not started.
    Halfway,
    /// All of it has, but the caller never hears of it.
    After,
    /// libvirt has accepted it, and goes on with it: it happens while the next process asks for its first change.
    Late,
}

/// A host in memory.
#[derive(Debug, Default)]
pub struct FakeHost {
    state: Mutex<State>,
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
            state: Mutex::new(state),
            kept: None,
            calls: Calls::default(),
            meeting: Mutex::default(),
            shared: shared::Shared::default(),
        }
    }

    /// Makes the n-th writing verb from now (from 0) fail, and all verbs after it.
    pub fn fail_at(&self, n: usize, when: When) {
        let mut state = self.lock();
        state.fail = Some((state.writes + n, when));
    }

    /// Lets everything work again, as for a new process.
    pub fn revive(&self) {
        let mut state = self.lock();
        state.fail = None;
        state.dead = false;
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

    /// Puts a lock in place behind our back.
    pub fn put_lock(&self, name: &str, holder: &str) {
        self.change(|state| drop(state.lock(name, holder)));
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

    /// Puts a file into a folder, behind libvirt's back.
    pub fn put_file(&self, folder: impl Into<PathBuf>, name: &str, bytes: &[u8]) {
        let file = File {
            format: "raw".to_owned(),
            capacity: bytes.len() as u64,
            allocation: bytes.len() as u64,
            backing: None,
            bytes: bytes.to_vec(),
        };
        self.change(|state| {
            let folder = state.folders.entry(folder.into()).or_default();
            folder.insert(name.to_owned(), file);
        });
    }

    /// Lets the host offer only these domain types, and no processor models, from now on.
    pub fn offer(&self, virt: &[&str]) {
        let capability = &mut self.lock().host.capability;
        capability.virt = virt.iter().map(|&kind| kind.to_owned()).collect();
        capability.cpu_models.clear();
    }

    /// Leases an address to a machine.
    pub fn lease(&self, domain: &str, mac: Mac, ip: Ipv4Addr) {
        self.change(|state| {
            let leases = state.addresses.entry(domain.to_owned());
            leases.or_default().push((mac, ip));
        });
    }

    /// Takes a folder with all that is in it away, as where its file system is no longer mounted; pools in it stop.
    pub fn unmount(&self, folder: impl Into<PathBuf>) {
        let folder = folder.into();
        self.change(|state| {
            if let Some(files) = state.folders.remove(&folder) {
                state.unmounted.insert(folder.clone(), files);
            }
            let pools = state.host.pools.iter_mut();
            pools
                .filter(|pool| pool.path.as_ref() == Some(&folder))
                .for_each(|pool| pool.active = false);
        });
    }

    /// Brings a folder back that was taken away.
    pub fn mount(&self, folder: impl Into<PathBuf>) {
        let folder = folder.into();
        self.change(|state| {
            if let Some(files) = state.unmounted.remove(&folder) {
                state.folders.insert(folder, files);
            }
        });
    }

    /// Makes an empty folder, behind libvirt's back.
    pub fn make_folder(&self, folder: impl Into<PathBuf>) {
        self.change(|state| {
            state.folders.entry(folder.into()).or_default();
        });
    }

    /// Removes a file from a folder, behind libvirt's back.
    pub fn lose_file(&self, folder: impl Into<PathBuf>, name: &str) {
        self.change(|state| {
            if let Some(folder) = state.folders.get_mut(&folder.into()) {
                folder.remove(name);
            }
        });
    }

    /// Changes a domain behind our back.
    pub fn meddle(&self, name: &str, change: impl FnOnce(&mut DomainState)) {
        self.change(|state| {
            if let Ok(domain) = state.domain_mut(name) {
                change(domain);
            }
        });
    }

    /// Saves a domain that runs, as a host does that shuts down.
    pub fn save(&self, name: &str) {
        self.change(|state| {
            let Ok(domain) = state.domain_mut(name) else {
                return;
            };
            if let Some(live) = domain.live.take() {
                domain.power = PowerState::Off;
                domain.saved = true;
                state.saved.insert(name.to_owned(), live);
            }
        });
    }

    /// Lets a domain's guest ignore that it is to shut down.
    pub fn be_stubborn(&self, name: &str) {
        self.change(|state| state.stubborn.insert(name.to_owned()));
    }

    /// Lets the question for a domain's addresses fail, as where its agent hangs.
    pub fn be_mute(&self, name: &str) {
        self.change(|state| state.mute.insert(name.to_owned()));
    }

    /// Lets a domain be given no processors while it runs.
    pub fn be_rigid(&self, name: &str) {
        self.lock().rigid.insert(name.to_owned());
    }

    /// Lets a domain that is off not be started any more, or again.
    pub fn be_broken(&self, name: &str, broken: bool) {
        self.change(|state| match broken {
            true => state.broken.insert(name.to_owned()),
            false => state.broken.remove(name),
        });
    }

    /// Leaves the bridge of a network behind, as a libvirtd does that is killed while it starts it.
    pub fn leave_bridge(&self, network: &str) {
        self.change(|state| state.left_bridges.insert(network.to_owned()));
    }

    /// Stops a domain, a network or a pool behind our back.
    pub fn stop(&self, name: &str) {
        self.change(|state| {
            let host = &mut state.host;
            for domain in host.domains.iter_mut().filter(|d| d.name == name) {
                domain.power = PowerState::Off;
                domain.live = None;
            }
            for network in host.networks.iter_mut().filter(|n| n.name == name) {
                network.active = false;
            }
            for pool in host.pools.iter_mut().filter(|p| p.name == name) {
                pool.active = false;
            }
        });
    }

    /// Reads, unless the process is dead.
    fn read<T>(&self, action: &str, read: impl FnOnce(&State) -> T) -> Result<T, Failure> {
        self.calls.made(1);
        let meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let meeting = meeting.clone();
        meeting.iter().for_each(|meeting| meeting.join());
        let state = self.lock();
        if state.dead {
            return Err(killed(action));
        }
        Ok(read(&state))
    }

    /// Writes, or fails as told. `part` is what has happened when it fails halfway.
    fn write<T>(
        &self,
        action: String,
        part: impl FnOnce(&mut State),
        whole: impl FnOnce(&mut State) -> Result<T, String>,
    ) -> Result<T, Failure> {
        // It is looked up, and then acted on.
        self.calls.made(2);
        let mut state = self.lock();
        if state.dead {
            return Err(killed(&action));
        }
        if let Some(accepted) = state.land()
            && accepted == action
            && REFUSED_TWICE.iter().any(|verb| action.starts_with(verb))
        {
            return Err(Failure::new(action, "it is so already"));
        }
        let due = state.fail.filter(|(n, _)| *n == state.writes);
        state.writes += 1;
        // Nobody goes on with an upload whose sender is gone.
        let when = due.map(|(_, when)| match when {
            When::Late if action.starts_with("fill ") => When::Halfway,
            when => when,
        });
        match when {
            Some(When::Before) => {
                state.dead = true;
                return Err(killed(&action));
            }
            Some(When::Halfway) => {
                part(&mut state);
                state.dead = true;
                return Err(killed(&action));
            }
            Some(When::After) => {
                state.dead = true;
                whole(&mut state).map_err(|why| Failure::new(action.clone(), why))?;
                return Err(killed(&action));
            }
            Some(When::Late) => {
                let mut later = state.clone();
                // What libvirt refuses never happens.
                if whole(&mut later).is_ok() {
                    state.late = Some((action.clone(), Box::new(later)));
                }
                state.dead = true;
                return Err(killed(&action));
            }
            None => {}
        }
        let done = whole(&mut state).map_err(|why| Failure::new(action, why));
        self.keep(&state);
        done
    }
}

fn killed(action: &str) -> Failure {
    Failure::new(action, "killed")
}

/// What libvirt refuses where it is so already.
const REFUSED_TWICE: [&str; 9] = [
    "start ",
    "make ",
    "remove ",
    "keep ",
    "attach ",
    "detach ",
    "power off ",
    "shut down ",
    "give ",
];

impl State {
    /// A pool, with its volumes if it is active.
    fn with_volumes(&self, pool: &PoolState) -> PoolState {
        let path = pool.path.clone().unwrap_or_default();
        let files = self.folders.get(&path).filter(|_| pool.active);
        let volumes = files.into_iter().flatten();
        let volumes = volumes.map(|(name, file)| VolumeState {
            name: name.clone(),
            path: path.join(name),
            format: file.format.clone(),
            capacity: file.capacity,
            allocation: file.allocation,
            physical: Some(file.bytes.len() as u64),
            backing: file.backing.clone(),
        });
        PoolState {
            volumes: volumes.collect(),
            ..pool.clone()
        }
    }

    /// Lets what was accepted happen; what it was.
    fn land(&mut self) -> Option<String> {
        let (accepted, mut later) = self.late.take()?;
        (later.writes, later.fail, later.dead) = (self.writes, self.fail, self.dead);
        *self = *later;
        Some(accepted)
    }

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

    fn folder(&mut self, pool: &str) -> Result<&mut BTreeMap<String, File>, String> {
        let found = self.host.pool(pool).ok_or(format!("no pool {pool}"))?;
        if !found.active {
            return Err(format!("pool {pool} is not active"));
        }
        let path = found.path.clone().unwrap_or_default();
        self.folders
            .get_mut(&path)
            .ok_or(format!("no folder {}", path.display()))
    }

    fn pool_mut(&mut self, name: &str) -> Option<&mut PoolState> {
        self.host.pools.iter_mut().find(|pool| pool.name == name)
    }

    /// A domain that has a definition.
    fn defined(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let there = self.domain_mut(name)?;
        match there.transient {
            true => Err("cannot modify the persistent configuration of a transient domain".into()),
            false => Ok(there),
        }
    }

    fn domain_mut(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let mut domains = self.host.domains.iter_mut();
        domains
            .find(|domain| domain.name == name)
            .ok_or(format!("no domain {name}"))
    }
}
