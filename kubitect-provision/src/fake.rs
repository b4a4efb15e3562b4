//! The port in memory, failing on demand; for tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kubitect_config::value::{Label, Mac};

use crate::hypervisor::{Failure, Hypervisor};
use crate::observe::{
    Capability, DomainState, HostState, NetworkState, PoolState, PowerState, VolumeState,
};
use crate::resource::{Domain, Format, Network, Pool, Reservation, Volume};

/// When a verb fails, seen from its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// A part of it has: half of an upload, a disk without its header, a pool defined and not started.
    Halfway,
    /// All of it has, but the caller never hears of it.
    After,
}

/// A host in memory.
#[derive(Debug, Default)]
pub struct FakeHost {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    host: HostState,
    /// Folders and the files in them; they outlive pools.
    folders: BTreeMap<PathBuf, BTreeMap<String, File>>,
    addresses: BTreeMap<String, Vec<(Mac, Ipv4Addr)>>,
    /// Writing verbs so far.
    writes: usize,
    fail: Option<(usize, When)>,
    /// After a failure everything fails, as it does for a process that was killed.
    dead: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct File {
    format: String,
    capacity: u64,
    allocation: u64,
    backing: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl FakeHost {
    /// An x86 host with KVM, on which these things are already.
    pub fn new(mut there: HostState) -> Self {
        there.capability = Capability {
            arch: "x86_64".to_owned(),
            virt: vec!["kvm".to_owned(), "qemu".to_owned()],
            cpu_models: vec!["Nehalem".to_owned()],
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
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// How many writing verbs there were.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// All that is there, inactive pools' folders included: two equal texts mean two equal hosts.
    pub fn inventory(&self) -> String {
        let state = self.lock();
        format!("{:#?}\n{:#?}", state.host, state.folders)
    }

    /// The bytes of a volume.
    pub fn bytes(&self, pool: &str, volume: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let path = state.host.pool(pool)?.path.clone()?;
        Some(state.folders.get(&path)?.get(volume)?.bytes.clone())
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
        let mut state = self.lock();
        let folder = state.folders.entry(folder.into()).or_default();
        folder.insert(name.to_owned(), file);
    }

    /// Lets the host offer only these domain types, and no processor models, from now on.
    pub fn offer(&self, virt: &[&str]) {
        let capability = &mut self.lock().host.capability;
        capability.virt = virt.iter().map(|&kind| kind.to_owned()).collect();
        capability.cpu_models.clear();
    }

    /// Leases an address to a machine.
    pub fn lease(&self, domain: &str, mac: Mac, ip: Ipv4Addr) {
        let mut state = self.lock();
        state
            .addresses
            .entry(domain.to_owned())
            .or_default()
            .push((mac, ip));
    }

    /// Stops a domain, a network or a pool behind our back.
    pub fn stop(&self, name: &str) {
        let mut state = self.lock();
        let host = &mut state.host;
        for domain in host.domains.iter_mut().filter(|d| d.name == name) {
            domain.power = PowerState::Off;
        }
        for network in host.networks.iter_mut().filter(|n| n.name == name) {
            network.active = false;
        }
        for pool in host.pools.iter_mut().filter(|p| p.name == name) {
            pool.active = false;
        }
    }

    /// Reads, unless the process is dead.
    fn read<T>(&self, action: &str, read: impl FnOnce(&State) -> T) -> Result<T, Failure> {
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
        let mut state = self.lock();
        if state.dead {
            return Err(killed(&action));
        }
        let due = state.fail.filter(|(n, _)| *n == state.writes);
        state.writes += 1;
        match due.map(|(_, when)| when) {
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
            None => {}
        }
        whole(&mut state).map_err(|why| Failure::new(action, why))
    }
}

fn killed(action: &str) -> Failure {
    Failure::new(action, "killed")
}

impl State {
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

    fn domain_mut(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let mut domains = self.host.domains.iter_mut();
        domains
            .find(|domain| domain.name == name)
            .ok_or(format!("no domain {name}"))
    }
}

impl Hypervisor for FakeHost {
    fn capability(&self) -> Result<Capability, Failure> {
        self.read("read capabilities", |state| state.host.capability.clone())
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        self.read("list networks", |state| state.host.networks.clone())
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        self.read("list pools", |state| {
            let pools = state.host.pools.iter().cloned().map(|mut pool| {
                let path = pool.path.clone().unwrap_or_default();
                let files = state.folders.get(&path).filter(|_| pool.active);
                pool.volumes = files
                    .into_iter()
                    .flatten()
                    .map(|(name, file)| VolumeState {
                        name: name.clone(),
                        path: path.join(name),
                        format: file.format.clone(),
                        capacity: file.capacity,
                        allocation: file.allocation,
                        physical: Some(file.bytes.len() as u64),
                        backing: file.backing.clone(),
                    })
                    .collect();
                pool
            });
            pools.collect()
        })
    }

    fn domains(&self) -> Result<Vec<DomainState>, Failure> {
        self.read("list domains", |state| state.host.domains.clone())
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        self.write(
            format!("define network {}", network.name),
            |_| {},
            |state| {
                state
                    .host
                    .networks
                    .retain(|there| there.name != network.name);
                state.host.networks.push(NetworkState {
                    name: network.name.clone(),
                    active: false,
                    mark: Some(network.mark()),
                    bridge: network.bridge.clone(),
                    cidr: Some(network.cidr.trunc()),
                    reservations: network.reservations.clone(),
                });
                Ok(())
            },
        )
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        self.write(
            format!("start network {name}"),
            |_| {},
            |state| {
                let mut networks = state.host.networks.iter_mut();
                let found = networks.find(|there| there.name == name);
                found.ok_or(format!("no network {name}"))?.active = true;
                Ok(())
            },
        )
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        self.write(
            format!("keep {} for {}", reservation.ip, reservation.name),
            |_| {},
            |state| {
                let mut networks = state.host.networks.iter_mut();
                let found = networks.find(|there| there.name == network);
                let found = found.ok_or(format!("no network {network}"))?;
                found
                    .reservations
                    .retain(|there| there.mac != reservation.mac);
                found.reservations.push(reservation.clone());
                Ok(())
            },
        )
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        self.write(
            format!("remove network {name}"),
            |state| {
                let mut networks = state.host.networks.iter_mut();
                if let Some(there) = networks.find(|there| there.name == name) {
                    there.active = false;
                }
            },
            |state| {
                state.host.networks.retain(|there| there.name != name);
                Ok(())
            },
        )
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        let define = |state: &mut State| {
            if state.host.pool(&pool.name).is_none() {
                state.host.pools.push(PoolState {
                    name: pool.name.clone(),
                    is_folder: true,
                    path: Some(pool.path.clone()),
                    active: false,
                    available: 1 << 40,
                    volumes: Vec::new(),
                });
            }
        };
        self.write(format!("make pool {}", pool.name), define, |state| {
            define(state);
            if let Some(there) = state.pool_mut(&pool.name) {
                there.active = true;
                let path = there.path.clone().unwrap_or_default();
                state.folders.entry(path).or_default();
            }
            Ok(())
        })
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        let known = self.read("refresh pool", |state| {
            state.host.pool(name).is_some_and(|pool| pool.active)
        })?;
        known
            .then_some(())
            .ok_or_else(|| Failure::new(format!("refresh pool {name}"), "it is not active"))
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        self.write(
            format!("remove pool {name}"),
            |state| {
                if let Some(pool) = state.pool_mut(name) {
                    pool.active = false;
                }
            },
            |state| {
                let path = state.host.pool(name).and_then(|pool| pool.path.clone());
                state.host.pools.retain(|pool| pool.name != name);
                let Some((path, folder)) = path.and_then(|p| state.folders.get_key_value(&p))
                else {
                    return Ok(None);
                };
                if !folder.is_empty() {
                    return Ok(Some("something else lies in it".to_owned()));
                }
                let path = path.clone();
                state.folders.remove(&path);
                Ok(None)
            },
        )
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        let half = |state: &mut State| {
            if let Ok(folder) = state.folder(&volume.pool) {
                // A raw file has no header that could be missing.
                let capacity = match volume.format {
                    Format::Raw => volume.capacity,
                    Format::Qcow2 => 0,
                };
                folder.entry(volume.name.clone()).or_insert_with(|| File {
                    format: "raw".to_owned(),
                    capacity,
                    allocation: 0,
                    backing: None,
                    bytes: Vec::new(),
                });
            }
        };
        self.write(format!("make volume {}", volume.name), half, |state| {
            if let Some(backing) = &volume.backing {
                let parent = backing.path.parent().unwrap_or(&backing.path);
                let name = backing
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                let folder = state.folders.get(parent);
                if !folder.is_some_and(|folder| folder.contains_key(name.as_ref())) {
                    return Err(format!("no image {}", backing.path.display()));
                }
            }
            let folder = state.folder(&volume.pool)?;
            if folder.contains_key(&volume.name) {
                return Err(format!("volume {} is there already", volume.name));
            }
            let file = File {
                format: volume.format.as_str().to_owned(),
                capacity: volume.capacity,
                allocation: match volume.format {
                    Format::Raw => 0,
                    Format::Qcow2 => 200 << 10,
                },
                backing: volume.backing.as_ref().map(|backing| backing.path.clone()),
                bytes: Vec::new(),
            };
            folder.insert(volume.name.clone(), file);
            Ok(())
        })
    }

    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        let action = || format!("fill volume {volume}");
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::new(action(), error))?;
        if bytes.len() as u64 != length {
            return Err(Failure::new(action(), "its content has another length"));
        }
        let put = |state: &mut State, bytes: &[u8]| {
            let folder = state.folder(pool)?;
            let file = folder
                .get_mut(volume)
                .ok_or(format!("no volume {volume}"))?;
            file.bytes = bytes.to_vec();
            file.allocation = bytes.len() as u64;
            Ok(())
        };
        let half = |state: &mut State| {
            let _: Result<(), String> = put(state, &bytes[..bytes.len() / 2]);
        };
        self.write(action(), half, |state| put(state, &bytes))
    }

    fn download(
        &self,
        pool: &str,
        volume: &str,
        offset: u64,
        to: &mut dyn Write,
    ) -> Result<(), Failure> {
        let action = format!("read volume {volume}");
        let bytes = self
            .bytes(pool, volume)
            .ok_or_else(|| Failure::new(action.clone(), "no such volume"))?;
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        to.write_all(&bytes[start..])
            .map_err(|error| Failure::new(action, error))
    }

    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure> {
        self.write(
            format!("remove volume {volume}"),
            |_| {},
            |state| {
                if let Ok(folder) = state.folder(pool) {
                    folder.remove(volume);
                }
                Ok(())
            },
        )
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        self.write(
            format!("define domain {}", domain.name),
            |_| {},
            |state| {
                state
                    .host
                    .domains
                    .retain(|there| there.name != domain.name.as_str());
                state.host.domains.push(DomainState {
                    name: domain.name.to_string(),
                    power: PowerState::Off,
                    mark: Some(domain.mark()),
                    note: None,
                    vcpus: domain.vcpus,
                    memory_mib: domain.memory_mib,
                    disks: domain.disks.iter().map(|disk| disk.path.clone()).collect(),
                });
                Ok(())
            },
        )
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write(
            format!("start domain {name}"),
            |_| {},
            |state| {
                let disks = state.domain_mut(name.as_str())?.disks.clone();
                for disk in &disks {
                    let file = disk.file_name().unwrap_or_default().to_string_lossy();
                    let folder = disk.parent().and_then(|parent| state.folders.get(parent));
                    let Some(file) = folder.and_then(|folder| folder.get(file.as_ref())) else {
                        return Err(format!("no disk {}", disk.display()));
                    };
                    if file.capacity == 0 {
                        return Err(format!("disk {} is empty", disk.display()));
                    }
                }
                state.domain_mut(name.as_str())?.power = PowerState::Running;
                Ok(())
            },
        )
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        self.power_off_domain(name)
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write(
            format!("power off domain {name}"),
            |_| {},
            |state| {
                state.domain_mut(name.as_str())?.power = PowerState::Off;
                Ok(())
            },
        )
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        self.write(
            format!("note what is on domain {name}"),
            |_| {},
            |state| {
                state.domain_mut(name.as_str())?.note = Some(note.to_owned());
                Ok(())
            },
        )
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write(
            format!("remove domain {name}"),
            |state| {
                if let Ok(there) = state.domain_mut(name.as_str()) {
                    there.power = PowerState::Off;
                }
            },
            |state| {
                state
                    .host
                    .domains
                    .retain(|there| there.name != name.as_str());
                Ok(())
            },
        )
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        self.read("ask for addresses", |state| {
            state
                .addresses
                .get(name.as_str())
                .cloned()
                .unwrap_or_default()
        })
    }
}
