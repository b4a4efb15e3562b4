//! [`Hypervisor`] on the host in memory.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use kubitect_config::value::{Label, Mac};

use super::{FakeHost, State};
use crate::hypervisor::{Failure, Hypervisor, LockState};
use crate::observe::{Capability, DomainState, NetworkState, PoolState, PowerState, VolumeState};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};

impl Hypervisor for FakeHost {
    fn capability(&self) -> Result<Capability, Failure> {
        self.read("read capabilities", |state| state.host.capability.clone())
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        self.read("list networks", |state| state.host.networks.clone())
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        let pools: Vec<_> = self.read("list pools", |state| {
            let pools = state.host.pools.iter();
            pools.map(|pool| state.with_volumes(pool)).collect()
        })?;
        let volumes: usize = pools.iter().map(|pool| pool.volumes.len()).sum();
        self.calls.count(3 * pools.len() + volumes);
        Ok(pools)
    }

    fn started_pools(&self) -> Result<Vec<String>, Failure> {
        self.read("list started pools", |state| {
            let pools = state.host.pools.iter().filter(|pool| pool.active);
            pools.map(|pool| pool.name.clone()).collect()
        })
    }

    fn domains(&self) -> Result<Vec<DomainState>, Failure> {
        let domains = self.read("list domains", |state| self.own_domains(state))?;
        self.calls.count(5 * domains.len());
        Ok(domains)
    }

    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure> {
        let pool = self.read("look at a pool", |state| {
            state.host.pool(name).map(|pool| state.with_volumes(pool))
        })?;
        self.calls
            .count(3 + pool.as_ref().map_or(0, |pool| pool.volumes.len()));
        Ok(pool)
    }

    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure> {
        self.calls.count(3);
        self.read("look at a volume", |state| {
            let pool = state.with_volumes(state.host.pool(pool)?);
            pool.volume(name).cloned()
        })
    }

    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure> {
        self.calls.count(4);
        self.read("look at a domain", |state| {
            let mut own = self.own_domains(state).into_iter();
            own.find(|domain| domain.name == name.as_str())
        })
    }

    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        None
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        self.write_whole(format!("define network {}", network.name), |state| {
            state.define_network(network);
            Ok(())
        })
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        self.write_whole(format!("start network {name}"), |state| {
            state.start_network(name)
        })
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let action = format!("reserve {} for {}", reservation.ip, reservation.name);
        self.write_whole(action, |state| state.reserve(network, reservation))
    }

    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        let action = format!("remove the reservation of {}", reservation.ip);
        self.write_whole(action, |state| {
            if let Ok(found) = state.network_mut(network) {
                found.reservations.retain(|own| own != reservation);
            }
            Ok(())
        })
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        self.write(
            format!("remove network {name}"),
            |state| {
                if let Ok(existing) = state.network_mut(name) {
                    existing.active = false;
                }
            },
            |state| {
                state.host.networks.retain(|existing| existing.name != name);
                Ok(())
            },
        )
    }

    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure> {
        let action = format!("lock {name}");
        self.write_whole(action, |state| Ok(state.lock(name, holder)))
    }

    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure> {
        self.read("look at a lock", |state| state.locks.get(name).cloned())
    }

    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure> {
        let action = format!("unlock {name}");
        self.write_whole(action, |state| {
            state.locks.retain(|own, lock| own != name || lock.id != id);
            Ok(())
        })
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        self.write(
            format!("make pool {}", pool.name),
            |state| state.define_pool(pool),
            |state| state.ensure_pool(pool),
        )
    }

    fn start_pool(&self, name: &str) -> Result<(), Failure> {
        self.write_whole(format!("start pool {name}"), |state| state.start_pool(name))
    }

    fn stop_pool(&self, name: &str) -> Result<(), Failure> {
        self.write_whole(format!("stop pool {name}"), |state| {
            let existing = state.pool_mut(name);
            existing.ok_or(format!("no pool {name}"))?.active = false;
            Ok(())
        })
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        let active = |state: &State| state.host.pool(name).is_some_and(|pool| pool.active);
        let failed = |why: &str| Err(Failure::new(format!("refresh pool {name}"), why));
        if !self.read("refresh pool", active)? {
            return failed("it is not active");
        }
        let mut state = self.lock();
        if state.folder(name).is_err() {
            // libvirt does so, too.
            state.stop_pool(name);
            self.persist(&state);
            return failed("cannot open directory");
        }
        Ok(())
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        self.write(
            format!("remove pool {name}"),
            |state| state.stop_pool(name),
            |state| Ok(state.remove_pool(name)),
        )
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        self.write(
            format!("make volume {}", volume.name),
            |state| state.begin_volume(volume),
            |state| state.make_volume(volume),
        )
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
            file.capacity = file.capacity.max(file.allocation);
            Ok(())
        };
        let half = |state: &mut State| {
            let _: Result<(), String> = put(state, &bytes[..bytes.len() / 2]);
        };
        self.write(action(), half, |state| put(state, &bytes))?;
        self.persist_bytes(pool, volume);
        Ok(())
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
        self.write_whole(format!("remove volume {volume}"), |state| {
            if let Ok(folder) = state.folder(pool) {
                folder.remove(volume);
            }
            Ok(())
        })
    }

    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        _domain: &Label,
    ) -> Result<(), Failure> {
        self.write_whole(format!("grow volume {volume}"), |state| {
            let folder = state.folder(pool)?;
            let file = folder.get_mut(volume);
            let file = file.ok_or(format!("no volume {volume}"))?;
            if file.format != "qcow2" {
                return Err(format!("{volume} is no qcow2"));
            }
            file.capacity = file.capacity.max(capacity);
            Ok(())
        })
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        self.write_whole(format!("define domain {}", domain.name), |state| {
            self.record_domain(state, domain.name.as_str());
            state.define(domain)
        })
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write_whole(format!("start domain {name}"), |state| {
            state.start(name.as_str())
        })
    }

    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure> {
        self.write(
            format!("attach a disk to {name}"),
            |state| drop(state.attach_live(name.as_str(), disk)),
            |state| {
                state.attach_live(name.as_str(), disk)?;
                let disks = &mut state.defined(name.as_str())?.disks;
                if !disks.contains(&disk.path) {
                    disks.push(disk.path.clone());
                }
                Ok(())
            },
        )
    }

    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure> {
        self.write(
            format!("detach a disk from {name}"),
            |state| drop(state.detach_live(name.as_str(), path)),
            |state| {
                state.detach_live(name.as_str(), path)?;
                let existing = state.defined(name.as_str())?;
                existing.disks.retain(|disk| disk != path);
                Ok(())
            },
        )
    }

    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure> {
        self.write(
            format!("give {name} {vcpus} processors"),
            |state| drop(state.set_vcpus_live(name.as_str(), vcpus)),
            |state| {
                state.set_vcpus_live(name.as_str(), vcpus)?;
                state.defined(name.as_str())?.vcpus = vcpus;
                Ok(())
            },
        )
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write_whole(format!("shut down domain {name}"), |state| {
            if state.domain_mut(name.as_str())?.power != PowerState::Running {
                return Err(format!("{name} does not run"));
            }
            if !state.stubborn.contains(name.as_str()) {
                state.power_off(name.as_str())?;
            }
            Ok(())
        })
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write_whole(format!("power off domain {name}"), |state| {
            state.power_off(name.as_str())
        })
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        self.write_whole(format!("note what is on domain {name}"), |state| {
            state.defined(name.as_str())?.note = Some(note.to_owned());
            Ok(())
        })
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        self.write_whole(format!("note what domain {name} is given"), |state| {
            state.defined(name.as_str())?.given = given.to_vec();
            Ok(())
        })
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        self.write(
            format!("remove domain {name}"),
            |state| drop(state.power_off(name.as_str())),
            |state| {
                state.saved.remove(name.as_str());
                state
                    .host
                    .domains
                    .retain(|existing| existing.name != name.as_str());
                Ok(())
            },
        )
    }

    fn authorize_key(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        self.write_whole(
            format!("have the guest agent of {name} authorize a key"),
            |state| {
                if state.domain_mut(name.as_str())?.power != PowerState::Running {
                    return Err(format!("{name} does not run"));
                }
                let entry = format!("{user} {public_key}");
                state
                    .let_in
                    .entry(name.to_string())
                    .or_default()
                    .insert(entry);
                Ok(())
            },
        )
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        let reported = self.read("ask for addresses", |state| {
            let reported = state.addresses.get(name.as_str()).cloned();
            match state.mute.contains(name.as_str()) {
                true => Err("guest agent is not responding"),
                false => Ok(reported.unwrap_or_default()),
            }
        })?;
        reported.map_err(|why| Failure::new(format!("ask for addresses of {name}"), why))
    }
}
