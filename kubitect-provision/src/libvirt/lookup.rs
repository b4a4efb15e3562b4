//! Finding things in libvirt, and reading what they are.

use std::fmt::Display;

use kubitect_config::value::Label;
use virt::domain::{Domain as VirtDomain, DomainState as VirtState};
use virt::error::{Error as VirtError, ErrorNumber};
use virt::network::Network as VirtNetwork;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::Libvirt;
use super::domain_seen::Told;
use crate::hypervisor::Failure;
use crate::observe::PowerState;

/// Turns libvirt's or the XML reader's error into a failure of this action.
pub(super) fn failed<E: Display>(action: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let action = action.into();
    move |error| Failure::new(action, error.to_string())
}

/// What was looked up, or nothing if libvirt says that it is not there.
pub(super) fn found<T>(result: Result<T, VirtError>) -> Result<Option<T>, VirtError> {
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

/// A list's elements without those that went away while it was read.
fn present<T>(items: impl Iterator<Item = Result<T, VirtError>>) -> Result<Vec<T>, VirtError> {
    items.filter_map(|item| found(item).transpose()).collect()
}

/// Reads all that was listed: what libvirt tells of each, and what that means.
pub(super) fn all<L, T, S, E: Display>(
    action: &str,
    listed: Result<Vec<L>, VirtError>,
    tell: impl Fn(&L) -> Result<T, VirtError>,
    read: impl Fn(&T) -> Result<S, E>,
) -> Result<Vec<S>, Failure> {
    let told = listed.and_then(|listed| present(listed.iter().map(tell)));
    let told = told.map_err(failed(action))?;
    let all: Result<_, E> = told.iter().map(read).collect();
    all.map_err(failed(action))
}

/// Reads what was looked up, if it is there.
pub(super) fn one<L, T, S, E: Display>(
    action: String,
    there: Result<Option<L>, VirtError>,
    tell: impl Fn(&L) -> Result<T, VirtError>,
    read: impl Fn(&T) -> Result<S, E>,
) -> Result<Option<S>, Failure> {
    let one = all(&action, there.map(Vec::from_iter), tell, read)?;
    Ok(one.into_iter().next())
}

impl Libvirt {
    pub(super) fn find_network(&self, name: &str) -> Result<Option<VirtNetwork>, VirtError> {
        found(self.connected().lookup_network_by_name(name))
    }

    pub(super) fn find_pool(&self, name: &str) -> Result<Option<StoragePool>, VirtError> {
        found(self.pool(name))
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
            // The volumes of an inactive pool can't be seen.
            Some(pool) if pool.is_active()? => found(pool.lookup_storage_vol_by_name(name)),
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
        found(self.domain(name))
    }
}

pub(super) fn network_state(network: &VirtNetwork) -> Result<(String, bool), VirtError> {
    Ok((network.xml_desc(0)?, network.is_active()?))
}

pub(super) fn pool_state(pool: &StoragePool) -> Result<(String, bool, Vec<String>), VirtError> {
    let active = pool.is_active()?;
    let volumes = if active {
        let volumes = pool.list_all_volumes(0)?;
        present(volumes.iter().map(|volume| volume.xml_desc(0)))?
    } else {
        Vec::new()
    };
    Ok((pool.xml_desc(0)?, active, volumes))
}

pub(super) fn domain_state(domain: &VirtDomain) -> Result<Told, VirtError> {
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
    Ok(Told {
        definition: domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?,
        saved: live.is_none() && is_saved(domain)?,
        live,
        power,
        transient: !domain.is_persistent()?,
    })
}

/// Whether it was saved as it ran.
fn is_saved(domain: &VirtDomain) -> Result<bool, VirtError> {
    match domain.has_managed_save(0) {
        // A driver that saves none.
        Err(error) if error.code().is(ErrorNumber::NoSupport) => Ok(false),
        other => other,
    }
}
