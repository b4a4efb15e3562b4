//! Changes to an existing domain. The running domain is changed first and its definition last: a plan compares the definition, so it
//! finds a change that was interrupted.

use std::path::Path;
use std::time::{Duration, Instant};

use kubitect_config::value::Label;
use virt::domain::Domain as VirtDomain;
use virt::error::{Error as VirtError, ErrorNumber};
use virt::sys;

use super::lookup::if_exists;
use super::{Libvirt, domain, redefine};
use crate::error::Source;
use crate::resource::{Disk, Domain};

/// How long a guest may take to release a disk.
const UNPLUG_WAIT: Duration = Duration::from_secs(60);

impl Libvirt {
    /// Defines a domain. Of an existing one, only what differs from the desired definition is changed.
    pub(super) fn define(&self, desired: &Domain) -> Result<(), Source> {
        // With secrets, as a display's password: libvirt leaves them out otherwise, and the new definition would lose them.
        let with_secrets = sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE;
        let xml = match self.find_domain(&desired.name)? {
            Some(domain) => redefine::changed(&domain.xml_desc(with_secrets)?, desired)?,
            None => domain::to_xml(desired),
        };
        let defined = self.connected().define_domain_xml(&xml)?;
        Ok(defined.set_autostart(true)?)
    }

    /// Enlarges a volume, through QEMU if this domain runs and has it as a disk.
    pub(super) fn grow(
        &self,
        pool: &str,
        volume: &str,
        capacity: u64,
        name: &Label,
    ) -> Result<(), Source> {
        let volume = self.volume(pool, volume)?;
        if volume.info()?.capacity >= capacity {
            return Ok(());
        }
        let path = volume.path()?;
        if let Some(domain) = self.find_domain(name)?
            && domain.is_active()?
            && domain::disk_of(&domain.xml_desc(0)?, Path::new(&path))?.is_some()
        {
            return Ok(domain.block_resize(&path, capacity, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)?);
        }
        Ok(volume.resize(capacity, 0)?)
    }

    /// Sets the metadata element in this namespace, in the running domain and in its definition; without an element, removes it.
    pub(super) fn annotate(
        &self,
        name: &Label,
        element: Option<&str>,
        prefix: &str,
        namespace: &str,
    ) -> Result<(), VirtError> {
        let domain = self.domain(name)?;
        let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
        if domain.is_active()? {
            flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
        }
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
        domain.set_metadata(kind, element, Some(prefix), Some(namespace), flags)
    }

    pub(super) fn attach(&self, name: &Label, disk: &Disk) -> Result<(), Source> {
        let domain = self.domain(name)?;
        let definition = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
        if domain.is_active()? {
            let live = domain.xml_desc(0)?;
            if domain::disk_of(&live, &disk.path)?.is_none() {
                domain.attach_device_flags(
                    &domain::disk_xml(&live, disk)?,
                    sys::VIR_DOMAIN_AFFECT_LIVE,
                )?;
            }
        }
        if domain::disk_of(&definition, &disk.path)?.is_none() {
            let xml = domain::disk_xml(&definition, disk)?;
            domain.attach_device_flags(&xml, sys::VIR_DOMAIN_AFFECT_CONFIG)?;
        }
        Ok(())
    }

    pub(super) fn detach(&self, name: &Label, path: &Path) -> Result<(), Source> {
        let domain = self.domain(name)?;
        unplug(&domain, path)?;
        let definition = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
        if let Some(disk) = domain::disk_of(&definition, path)? {
            domain.detach_device_flags(&disk, sys::VIR_DOMAIN_AFFECT_CONFIG)?;
        }
        Ok(())
    }

    /// Powers a domain off and removes it with its saved state, its metadata of snapshots and checkpoints, and its NVRAM: libvirt refuses
    /// to undefine a domain that still has one of these.
    pub(super) fn remove(&self, name: &Label) -> Result<(), VirtError> {
        let Some(domain) = self.find_domain(name)? else {
            return Ok(());
        };
        if domain.is_active()? {
            domain.destroy()?;
        }
        let always =
            sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
        let checkpoints = sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
        let nvram = sys::VIR_DOMAIN_UNDEFINE_NVRAM;
        for optional in [checkpoints | nvram, nvram, checkpoints] {
            match domain.undefine_flags(always | optional) {
                // A driver without checkpoints or NVRAM refuses these flags.
                Err(error) if error.code().is(ErrorNumber::InvalidArg) => {}
                other => return if_exists(other).map(drop),
            }
        }
        if_exists(domain.undefine_flags(always)).map(drop)
    }

    pub(super) fn hot_plug_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Source> {
        let domain = self.domain(name)?;
        if domain.is_active()? && domain.vcpus_flags(sys::VIR_DOMAIN_VCPU_LIVE)? != vcpus {
            domain.set_vcpus_flags(vcpus, sys::VIR_DOMAIN_VCPU_LIVE)?;
        }
        Ok(domain.set_vcpus_flags(vcpus, sys::VIR_DOMAIN_VCPU_CONFIG)?)
    }
}

/// Unplugs a disk from a running domain, and waits until the guest has released it: libvirt returns before that.
fn unplug(domain: &VirtDomain, path: &Path) -> Result<(), Source> {
    let started = Instant::now();
    let mut is_requested = false;
    let mut answer = None;
    loop {
        if !domain.is_active()? {
            return Ok(());
        }
        let Some(disk) = domain::disk_of(&domain.xml_desc(0)?, path)? else {
            return Ok(());
        };
        if started.elapsed() >= UNPLUG_WAIT {
            let why = answer.map_or(String::new(), |why| format!("; last answer: {why}"));
            return Err(format!(
                "its guest has not released it within {} s{why}",
                UNPLUG_WAIT.as_secs()
            )
            .into());
        }
        if !is_requested {
            // The request is repeated until libvirt accepts it, and not after that: libvirt refuses a second one during an unplug. A
            // guest that still boots ignores an accepted request; then the wait ends with an error.
            match domain.detach_device_flags(&disk, sys::VIR_DOMAIN_AFFECT_LIVE) {
                Ok(()) => is_requested = true,
                Err(error) => answer = Some(error.message().to_owned()),
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
