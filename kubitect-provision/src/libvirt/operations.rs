//! [`Hypervisor`] over a connection to libvirt: each operation, with what its failure says.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use kubitect_config::value::{Label, Mac};
use virt::domain::{Domain as VirtDomain, DomainState as VirtState};
use virt::error::Error as VirtError;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;
use virt::sys;

use super::lookup::{domain_xml, failed, if_exists, network_xml, pool_xml, read_all, read_one};
use super::storage::pool_of;
use super::stream::{receive_all, send_all};
use super::{Libvirt, domain_state, metadata, network, volume};
use crate::hypervisor::{Failure, Hypervisor, LockState};
use crate::observe::{Capability, DomainState, NetworkState, PoolState, VolumeState};
use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};

impl Hypervisor for Libvirt {
    fn capability(&self) -> Result<Capability, Failure> {
        self.read_capability()
    }

    fn networks(&self) -> Result<Vec<NetworkState>, Failure> {
        let listed = self.connected().list_all_networks(0);
        let read = |(xml, active): &(String, bool)| network::from_xml(xml, *active);
        read_all("list networks", listed, network_xml, read)
    }

    fn pools(&self) -> Result<Vec<PoolState>, Failure> {
        let listed = self.connected().list_all_storage_pools(0);
        read_all("list pools and volumes", listed, pool_xml, pool_of)
    }

    fn started_pools(&self) -> Result<Vec<String>, Failure> {
        let only = sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE;
        let list = || -> Result<Vec<_>, VirtError> {
            let pools = self.connected().list_all_storage_pools(only)?;
            pools.iter().map(|pool| pool.name()).collect()
        };
        list().map_err(failed("list started pools"))
    }

    fn domains(&self) -> Result<Vec<DomainState>, Failure> {
        let listed = self.connected().list_all_domains(0);
        read_all("list domains", listed, domain_xml, domain_state::from_xml)
    }

    fn pool_state(&self, name: &str) -> Result<Option<PoolState>, Failure> {
        let action = format!("look at pool {name}");
        read_one(action, self.find_pool(name), pool_xml, pool_of)
    }

    fn volume_state(&self, pool: &str, name: &str) -> Result<Option<VolumeState>, Failure> {
        let action = format!("look at volume {name} in pool {pool}");
        let found = self.find_volume(pool, name);
        let fetch = |volume: &StorageVol| volume.xml_desc(0);
        read_one(action, found, fetch, |xml| volume::from_xml(xml))
    }

    fn domain_state(&self, name: &Label) -> Result<Option<DomainState>, Failure> {
        let action = format!("look at domain {name}");
        read_one(
            action,
            self.find_domain(name),
            domain_xml,
            domain_state::from_xml,
        )
    }

    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        self.open_another()
            .map(|other| Arc::new(other) as Arc<dyn Hypervisor>)
    }

    fn define_network(&self, network: &Network) -> Result<(), Failure> {
        self.connected()
            .define_network_xml(&network::to_xml(network))
            .and_then(|defined| defined.set_autostart(true))
            .map_err(failed(format!("define network {}", network.name)))
    }

    fn start_network(&self, name: &str) -> Result<(), Failure> {
        let start = || -> Result<(), VirtError> {
            let network = self.connected().lookup_network_by_name(name)?;
            network.set_autostart(true)?;
            if network.is_active()? {
                return Ok(());
            }
            network.create()
        };
        start().map_err(failed(format!("start network {name}")))
    }

    fn reserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        self.add_reservation(network, reservation)
            .map_err(failed(format!(
                "reserve {} for {}",
                reservation.ip, reservation.name
            )))
    }

    fn unreserve(&self, network: &str, reservation: &Reservation) -> Result<(), Failure> {
        self.remove_reservation(network, reservation)
            .map_err(failed(format!(
                "remove the reservation of {} for {}",
                reservation.ip, reservation.name
            )))
    }

    fn remove_network(&self, name: &str) -> Result<(), Failure> {
        let remove = || -> Result<(), VirtError> {
            let Some(network) = self.find_network(name)? else {
                return Ok(());
            };
            if network.is_active()? {
                network.destroy()?;
            }
            if_exists(network.undefine()).map(drop)
        };
        remove().map_err(failed(format!("remove network {name}")))
    }

    fn lock(&self, name: &str, holder: &str) -> Result<LockState, Failure> {
        self.make_lock(name, holder)
            .map_err(failed(format!("make lock {name}")))
    }

    fn lock_state(&self, name: &str) -> Result<Option<LockState>, Failure> {
        self.find_lock(name)
            .map_err(failed(format!("look at lock {name}")))
    }

    fn unlock(&self, name: &str, id: &str) -> Result<(), Failure> {
        self.remove_lock(id)
            .map_err(failed(format!("remove lock {name}")))
    }

    fn ensure_pool(&self, pool: &Pool) -> Result<(), Failure> {
        self.make_pool(pool).map_err(failed(format!(
            "make pool {} in {}",
            pool.name,
            pool.path.display()
        )))
    }

    fn start_pool(&self, name: &str) -> Result<(), Failure> {
        let start = || -> Result<(), VirtError> {
            let pool = self.pool(name)?;
            pool.set_autostart(true)?;
            if !pool.is_active()? {
                pool.create(0)?;
            }
            Ok(())
        };
        start().map_err(failed(format!("start pool {name}")))
    }

    fn stop_pool(&self, name: &str) -> Result<(), Failure> {
        let stop = |pool: StoragePool| match pool.is_active()? {
            true => pool.destroy(),
            false => Ok(()),
        };
        let stopped = self.pool(name).and_then(stop);
        stopped.map_err(failed(format!("stop pool {name}")))
    }

    fn refresh_pool(&self, name: &str) -> Result<(), Failure> {
        self.pool(name)
            .and_then(|pool| pool.refresh(0))
            .map_err(failed(format!("refresh pool {name}")))
    }

    fn remove_pool(&self, name: &str) -> Result<Option<String>, Failure> {
        self.delete_pool(name)
            .map_err(failed(format!("remove pool {name}")))
    }

    fn create_volume(&self, volume: &Volume) -> Result<(), Failure> {
        self.pool(&volume.pool)
            .and_then(|pool| StorageVol::create_xml(&pool, &volume::to_xml(volume), 0))
            .map(drop)
            .map_err(failed(format!(
                "make volume {} in pool {}",
                volume.name, volume.pool
            )))
    }

    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        let begin = |volume: &StorageVol, stream: &Stream| volume.upload(stream, 0, length, 0);
        self.transfer(pool, volume, begin, |stream| send_all(stream, content))
            .map_err(|source| Failure::new(format!("fill volume {volume} in pool {pool}"), source))
    }

    fn download(
        &self,
        pool: &str,
        volume: &str,
        offset: u64,
        to: &mut dyn Write,
    ) -> Result<(), Failure> {
        // libvirt reads to the end for a length of 0.
        let begin = |volume: &StorageVol, stream: &Stream| volume.download(stream, offset, 0, 0);
        self.transfer(pool, volume, begin, |stream| receive_all(stream, to))
            .map_err(|source| Failure::new(format!("read volume {volume} in pool {pool}"), source))
    }

    fn grow_volume(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        domain: &Label,
    ) -> Result<(), Failure> {
        self.grow(pool, volume, capacity, domain)
            .map_err(failed(format!("grow volume {volume} in pool {pool}")))
    }

    fn remove_volume(&self, pool: &str, volume: &str) -> Result<(), Failure> {
        self.find_volume(pool, volume)
            .and_then(|found| match found {
                Some(volume) => if_exists(volume.delete(0)).map(drop),
                None => Ok(()),
            })
            .map_err(failed(format!("remove volume {volume} in pool {pool}")))
    }

    fn define_domain(&self, domain: &Domain) -> Result<(), Failure> {
        self.define(domain)
            .map_err(failed(format!("define domain {}", domain.name)))
    }

    fn start_domain(&self, name: &Label) -> Result<(), Failure> {
        let start = || -> Result<(), VirtError> {
            let domain = self.domain(name)?;
            domain.set_autostart(true)?;
            match domain.info()?.state.known() {
                Some(VirtState::Paused) => domain.resume(),
                Some(VirtState::PMSuspended) => domain.pm_wakeup(0),
                _ if domain.is_active()? => Ok(()),
                _ => domain.create(),
            }
        };
        start().map_err(failed(format!("start domain {name}")))
    }

    fn attach_disk(&self, name: &Label, disk: &Disk) -> Result<(), Failure> {
        self.attach(name, disk).map_err(failed(format!(
            "attach disk {} to {name}",
            disk.path.display()
        )))
    }

    fn detach_disk(&self, name: &Label, path: &Path) -> Result<(), Failure> {
        self.detach(name, path).map_err(failed(format!(
            "detach disk {} from {name}",
            path.display()
        )))
    }

    fn set_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Failure> {
        self.hot_plug_vcpus(name, vcpus)
            .map_err(failed(format!("give domain {name} {vcpus} processors")))
    }

    fn shut_down_domain(&self, name: &Label) -> Result<(), Failure> {
        self.domain(name)
            .and_then(|domain| domain.shutdown())
            .map_err(failed(format!("shut down domain {name}")))
    }

    fn power_off_domain(&self, name: &Label) -> Result<(), Failure> {
        let power_off = |domain: VirtDomain| match domain.is_active()? {
            true => domain.destroy(),
            false => Ok(()),
        };
        let off = self.domain(name).and_then(power_off);
        off.map_err(failed(format!("power off domain {name}")))
    }

    fn remove_domain(&self, name: &Label) -> Result<(), Failure> {
        self.remove(name)
            .map_err(failed(format!("remove domain {name}")))
    }

    fn note_domain(&self, name: &Label, note: &str) -> Result<(), Failure> {
        let xml = metadata::note_xml(note);
        self.annotate(name, Some(&xml), "kubitect-note", metadata::NOTE_NAMESPACE)
            .map_err(failed(format!("note what is on domain {name}")))
    }

    fn note_given(&self, name: &Label, given: &[String]) -> Result<(), Failure> {
        let xml = metadata::given_xml(given);
        let space = metadata::GIVEN_NAMESPACE;
        self.annotate(name, xml.as_deref(), "kubitect-given", space)
            .map_err(failed(format!("note what domain {name} is given")))
    }

    fn authorize_key(&self, name: &Label, user: &str, public_key: &str) -> Result<(), Failure> {
        self.authorize(name, user, public_key)
            .map_err(failed(format!(
                "have the guest agent of {name} authorize a key"
            )))
    }

    fn addresses(&self, name: &Label) -> Result<Vec<(Mac, Ipv4Addr)>, Failure> {
        let action = || format!("ask for addresses of {name}");
        let domain = self.domain(name).map_err(failed(action()))?;
        let leased = domain
            .interface_addresses(sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, 0)
            .map_err(failed(action()))?;
        let addresses = ipv4(&leased);
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        // The agent answers only once the guest has booted: an error means that no address is known yet.
        Ok(domain
            .interface_addresses(sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, 0)
            .map(|reported| ipv4(&reported))
            .unwrap_or_default())
    }
}

fn ipv4(interfaces: &[virt::domain::Interface]) -> Vec<(Mac, Ipv4Addr)> {
    interfaces
        .iter()
        .filter_map(|interface| Some((interface.hwaddr.as_ref()?.parse().ok()?, interface)))
        .flat_map(|(mac, interface)| {
            let addresses = interface.addrs.iter();
            addresses.filter_map(move |address| Some((mac, address.addr.parse().ok()?)))
        })
        .collect()
}
