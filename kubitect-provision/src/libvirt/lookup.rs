//! Looks up networks, pools, volumes and domains in libvirt, and reads their states.

use std::fmt::Display;

use kubitect_config::value::Label;
use virt::domain::{Domain as VirtDomain, DomainState as VirtState};
use virt::error::{Error as VirtError, ErrorNumber};
use virt::network::Network as VirtNetwork;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::Libvirt;
use super::domain_state::DomainXml;
use crate::hypervisor::Failure;
use crate::observe::PowerState;

/// Turns libvirt's or the XML reader's error into a failure of this action.
pub(super) fn failed<E: Display>(action: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let action = action.into();
    move |error| Failure::new(action, error.to_string())
}

/// The result of a call; none if libvirt says that what it is about does not exist.
pub(super) fn if_exists<T>(result: Result<T, VirtError>) -> Result<Option<T>, VirtError> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &VirtError) -> bool {
    [
        ErrorNumber::NoDomain,
        ErrorNumber::NoNetwork,
        ErrorNumber::NoStoragePool,
        ErrorNumber::NoStorageVolume,
    ]
    .into_iter()
    .any(|absence| error.code().is(absence))
}

/// A list's elements, without those that were removed while the list was read.
fn without_absent<T>(
    items: impl Iterator<Item = Result<T, VirtError>>,
) -> Result<Vec<T>, VirtError> {
    items
        .filter_map(|item| if_exists(item).transpose())
        .collect()
}

/// The states of all that was listed: fetches the XML of each, and reads it.
pub(super) fn read_all<L, T, S, E: Display>(
    action: &str,
    listed: Result<Vec<L>, VirtError>,
    fetch: impl Fn(&L) -> Result<T, VirtError>,
    read: impl Fn(&T) -> Result<S, E>,
) -> Result<Vec<S>, Failure> {
    let fetched = listed.and_then(|listed| without_absent(listed.iter().map(fetch)));
    let fetched = fetched.map_err(failed(action))?;
    let read_all: Result<_, E> = fetched.iter().map(read).collect();
    read_all.map_err(failed(action))
}

/// The state of what was looked up, if it exists.
pub(super) fn read_one<L, T, S, E: Display>(
    action: String,
    looked_up: Result<Option<L>, VirtError>,
    fetch: impl Fn(&L) -> Result<T, VirtError>,
    read: impl Fn(&T) -> Result<S, E>,
) -> Result<Option<S>, Failure> {
    let read_one = read_all(&action, looked_up.map(Vec::from_iter), fetch, read)?;
    Ok(read_one.into_iter().next())
}

impl Libvirt {
    pub(super) fn find_network(&self, name: &str) -> Result<Option<VirtNetwork>, VirtError> {
        if_exists(self.connected().lookup_network_by_name(name))
    }

    pub(super) fn find_pool(&self, name: &str) -> Result<Option<StoragePool>, VirtError> {
        if_exists(self.pool(name))
    }

    pub(super) fn pool(&self, name: &str) -> Result<StoragePool, VirtError> {
        self.connected().lookup_storage_pool_by_name(name)
    }

    pub(super) fn find_volume(
        &self,
        pool: &str,
        name: &str,
    ) -> Result<Option<StorageVol>, VirtError> {
        match self.find_pool(pool)? {
            // libvirt lists no volumes of an inactive pool.
            Some(pool) if pool.is_active()? => if_exists(pool.lookup_storage_vol_by_name(name)),
            _ => Ok(None),
        }
    }

    pub(super) fn volume(&self, pool: &str, name: &str) -> Result<StorageVol, VirtError> {
        self.pool(pool)?.lookup_storage_vol_by_name(name)
    }

    pub(super) fn domain(&self, name: &Label) -> Result<VirtDomain, VirtError> {
        self.connected().lookup_domain_by_name(name.as_str())
    }

    pub(super) fn find_domain(&self, name: &Label) -> Result<Option<VirtDomain>, VirtError> {
        if_exists(self.domain(name))
    }
}

pub(super) fn network_xml(network: &VirtNetwork) -> Result<(String, bool), VirtError> {
    Ok((network.xml_desc(0)?, network.is_active()?))
}

pub(super) fn pool_xml(pool: &StoragePool) -> Result<(String, bool, Vec<String>), VirtError> {
    let active = pool.is_active()?;
    let volumes = if active {
        let volumes = pool.list_all_volumes(0)?;
        without_absent(volumes.iter().map(|volume| volume.xml_desc(0)))?
    } else {
        Vec::new()
    };
    Ok((pool.xml_desc(0)?, active, volumes))
}

pub(super) fn domain_xml(domain: &VirtDomain) -> Result<DomainXml, VirtError> {
    let power = match domain.info()?.state.known() {
        Some(VirtState::Running | VirtState::Blocked | VirtState::NoState) => PowerState::Running,
        Some(VirtState::Paused | VirtState::PMSuspended) => PowerState::Paused,
        Some(VirtState::Crashed) => PowerState::Crashed,
        Some(VirtState::Shutdown | VirtState::Shutoff) | None => PowerState::Off,
    };
    let live = domain
        .is_active()?
        .then(|| domain.xml_desc(0))
        .transpose()?;
    Ok(DomainXml {
        definition: domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?,
        saved: live.is_none() && is_saved(domain)?,
        live,
        power,
        transient: !domain.is_persistent()?,
    })
}

/// Whether the domain has a saved state.
fn is_saved(domain: &VirtDomain) -> Result<bool, VirtError> {
    match domain.has_managed_save(0) {
        // The driver can't save states.
        Err(error) if error.code().is(ErrorNumber::NoSupport) => Ok(false),
        other => other,
    }
}
