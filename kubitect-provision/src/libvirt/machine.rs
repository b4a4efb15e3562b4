//! What changes a domain that is there. What is on is changed first and its definition last, so that whoever looks only
//! at the definition sees what was not finished.

use std::path::Path;
use std::time::{Duration, Instant};

use kubitect_config::value::Label;
use virt::domain::Domain as VirtDomain;
use virt::error::{Error as VirtError, ErrorNumber};
use virt::sys;

use super::lookup::found;
use super::{Libvirt, domain, redefine};
use crate::error::Source;
use crate::resource::{Disk, Domain};

/// How long a guest may take to let go of a disk.
const LET_GO: Duration = Duration::from_secs(60);

impl Libvirt {
    /// Defines a domain; one of this name stays what it is but for what differs.
    pub(super) fn define(&self, wanted: &Domain) -> Result<(), Source> {
        // With its secrets, as the password of a display: without them they would be lost.
        let whole = sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE;
        let xml = match self.find_domain(&wanted.name)? {
            Some(there) => redefine::changed(&there.xml_desc(whole)?, wanted)?,
            None => domain::to_xml(wanted),
        };
        let defined = self.connected().define_domain_xml(&xml)?;
        Ok(defined.set_autostart(true)?)
    }

    /// Makes a volume larger.
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
        if let Some(there) = self.find_domain(name)?
            && there.is_active()?
            && domain::disk_of(&there.xml_desc(0)?, Path::new(&path))?.is_some()
        {
            return Ok(there.block_resize(&path, capacity, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)?);
        }
        Ok(volume.resize(capacity, 0)?)
    }

    /// Keeps an element with a domain, now and from its next start on, in place of the one in this namespace.
    pub(super) fn annotate(
        &self,
        name: &Label,
        element: Option<&str>,
        prefix: &str,
        namespace: &str,
    ) -> Result<(), VirtError> {
        let there = self.domain(name)?;
        let mut flags = sys::VIR_DOMAIN_AFFECT_CONFIG;
        if there.is_active()? {
            flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
        }
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
        there.set_metadata(kind, element, Some(prefix), Some(namespace), flags)
    }

    pub(super) fn attach(&self, name: &Label, disk: &Disk) -> Result<(), Source> {
        let there = self.domain(name)?;
        let definition = there.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
        if there.is_active()? {
            let live = there.xml_desc(0)?;
            if domain::disk_of(&live, &disk.path)?.is_none() {
                there.attach_device_flags(
                    &domain::disk_xml(&live, disk)?,
                    sys::VIR_DOMAIN_AFFECT_LIVE,
                )?;
            }
        }
        if domain::disk_of(&definition, &disk.path)?.is_none() {
            let xml = domain::disk_xml(&definition, disk)?;
            there.attach_device_flags(&xml, sys::VIR_DOMAIN_AFFECT_CONFIG)?;
        }
        Ok(())
    }

    pub(super) fn detach(&self, name: &Label, path: &Path) -> Result<(), Source> {
        let there = self.domain(name)?;
        detach_live(&there, path)?;
        let definition = there.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?;
        if let Some(disk) = domain::disk_of(&definition, path)? {
            there.detach_device_flags(&disk, sys::VIR_DOMAIN_AFFECT_CONFIG)?;
        }
        Ok(())
    }

    /// Switches a domain off and removes it with what libvirt keeps for it alone: a saved state, what it knows of snapshots and
    /// checkpoints, the variables of its firmware. With one of these it refuses to remove it otherwise.
    pub(super) fn remove(&self, name: &Label) -> Result<(), VirtError> {
        let Some(there) = self.find_domain(name)? else {
            return Ok(());
        };
        if there.is_active()? {
            there.destroy()?;
        }
        let kept =
            sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
        let checkpoints = sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
        let nvram = sys::VIR_DOMAIN_UNDEFINE_NVRAM;
        for also in [checkpoints | nvram, nvram, checkpoints] {
            match there.undefine_flags(kept | also) {
                // Drivers without checkpoints or firmware do not know their flags.
                Err(error) if error.code().is(ErrorNumber::InvalidArg) => {}
                other => return found(other).map(drop),
            }
        }
        found(there.undefine_flags(kept)).map(drop)
    }

    pub(super) fn give_vcpus(&self, name: &Label, vcpus: u32) -> Result<(), Source> {
        let there = self.domain(name)?;
        if there.is_active()? && there.vcpus_flags(sys::VIR_DOMAIN_VCPU_LIVE)? != vcpus {
            there.set_vcpus_flags(vcpus, sys::VIR_DOMAIN_VCPU_LIVE)?;
        }
        Ok(there.set_vcpus_flags(vcpus, sys::VIR_DOMAIN_VCPU_CONFIG)?)
    }
}

/// Takes a disk from a domain that is on, and waits until its guest has let go: libvirt returns before that.
fn detach_live(there: &VirtDomain, path: &Path) -> Result<(), Source> {
    let started = Instant::now();
    let mut asked = false;
    let mut answer = None;
    loop {
        if !there.is_active()? {
            return Ok(());
        }
        let Some(disk) = domain::disk_of(&there.xml_desc(0)?, path)? else {
            return Ok(());
        };
        if started.elapsed() >= LET_GO {
            let why = answer.map_or(String::new(), |why| format!("; last answer: {why}"));
            return Err(format!(
                "its guest has not let go of it within {} s{why}",
                LET_GO.as_secs()
            )
            .into());
        }
        if !asked {
            // A guest that still boots does not hear it. Asking twice while it is being unplugged is an error of its own.
            match there.detach_device_flags(&disk, sys::VIR_DOMAIN_AFFECT_LIVE) {
                Ok(()) => asked = true,
                Err(error) => answer = Some(error.message().to_owned()),
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
