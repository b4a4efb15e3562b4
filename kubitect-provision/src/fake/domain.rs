//! Operations on domains in memory.

use std::path::Path;

use super::State;
use crate::observe::{DomainState, Live, Nic, PowerState};
use crate::resource::{Disk, Domain};

impl State {
    /// Defines a domain. Of an existing one, only what differs is changed.
    pub(super) fn define(&mut self, domain: &Domain) -> Result<(), String> {
        if let Ok(existing) = self.domain_mut(domain.name.as_str()) {
            let mark = existing.mark.as_ref();
            if mark.is_none_or(|mark| mark.cluster != domain.cluster) {
                return Err("the domain of this name is not this cluster's".to_owned());
            }
            redefine(existing, domain);
            return Ok(());
        }
        self.host.domains.push(DomainState {
            name: domain.name.to_string(),
            mark: Some(domain.mark()),
            virt: domain.virt.clone(),
            note: domain.note.clone(),
            nic: Some(interface(domain)),
            vcpus: domain.vcpus,
            max_vcpus: domain.max_vcpus,
            memory_mib: domain.memory_mib,
            disks: domain.disks.iter().map(|disk| disk.path.clone()).collect(),
            ..DomainState::default()
        });
        Ok(())
    }

    /// Starts or resumes a domain; all its disks must exist.
    pub(super) fn start(&mut self, name: &str) -> Result<(), String> {
        let existing = self.domain_mut(name)?;
        if existing.live.is_some() {
            existing.power = PowerState::Running;
            return Ok(());
        }
        let (disks, virt) = (existing.disks.clone(), existing.virt.clone());
        if self.broken.contains(name) {
            return Err("internal error: process exited while connecting to monitor".to_owned());
        }
        if virt == "kvm" && !self.host.capability.virt.contains(&virt) {
            return Err("Emulator does not support virt type 'kvm'".to_owned());
        }
        for disk in &disks {
            self.check_disk(disk)?;
        }
        for disk in disks {
            self.use_disk(&disk);
        }
        *self.times.entry(name.to_owned()).or_default() += 1;
        // A saved state is restored with the hardware that it had.
        let saved = self.saved.remove(name);
        let existing = self.domain_mut(name)?;
        existing.saved = false;
        existing.live = saved.or_else(|| {
            Some(Live {
                vcpus: existing.vcpus,
                memory_mib: existing.memory_mib,
                balloon_mib: None,
                disks: existing.disks.clone(),
                nic: existing.nic.clone(),
                added: existing.added.clone(),
                free_ports: None,
            })
        });
        existing.power = PowerState::Running;
        Ok(())
    }

    fn check_disk(&self, disk: &Path) -> Result<(), String> {
        let name = disk.file_name().unwrap_or_default().to_string_lossy();
        let folder = disk.parent().and_then(|parent| self.folders.get(parent));
        match folder.and_then(|folder| folder.get(name.as_ref())) {
            None => Err(format!("no disk {}", disk.display())),
            Some(file) if file.capacity == 0 => Err(format!("disk {} is empty", disk.display())),
            Some(_) => Ok(()),
        }
    }

    /// Makes a disk larger on the host, as a guest that writes to it.
    fn use_disk(&mut self, disk: &Path) {
        let name = disk.file_name().unwrap_or_default().to_string_lossy();
        let folder = disk
            .parent()
            .and_then(|parent| self.folders.get_mut(parent));
        if let Some(file) = folder.and_then(|folder| folder.get_mut(name.as_ref()))
            && file.format == "qcow2"
        {
            file.allocation = file.allocation.max(1 << 20);
        }
    }

    pub(super) fn power_off(&mut self, name: &str) -> Result<(), String> {
        let existing = self.domain_mut(name)?;
        existing.power = PowerState::Off;
        existing.live = None;
        Ok(())
    }

    /// The running domain; none if it is off.
    fn running(&mut self, name: &str) -> Result<Option<&mut Live>, String> {
        let existing = self.domain_mut(name)?;
        match (existing.power, existing.live.as_mut()) {
            (PowerState::Paused, _) => Err(format!("{name} is paused: its guest does not answer")),
            (_, live) => Ok(live),
        }
    }

    pub(super) fn attach_live(&mut self, name: &str, disk: &Disk) -> Result<(), String> {
        self.check_disk(&disk.path)?;
        if let Some(live) = self.running(name)?
            && !live.disks.contains(&disk.path)
        {
            if live.free_ports == Some(0) {
                return Err("internal error: No more available PCI slots".to_owned());
            }
            live.free_ports = live.free_ports.map(|free| free - 1);
            live.disks.push(disk.path.clone());
        }
        Ok(())
    }

    pub(super) fn detach_live(&mut self, name: &str, path: &Path) -> Result<(), String> {
        if let Some(live) = self.running(name)? {
            live.disks.retain(|disk| disk != path);
        }
        Ok(())
    }

    pub(super) fn set_vcpus_live(&mut self, name: &str, vcpus: u32) -> Result<(), String> {
        if vcpus > self.domain_mut(name)?.max_vcpus {
            return Err(format!("{name} has no room for {vcpus} processors"));
        }
        let rigid = self.rigid.contains(name);
        if let Some(live) = self.running(name)? {
            if rigid && vcpus > live.vcpus {
                return Err("Operation not supported".to_owned());
            }
            if vcpus < live.vcpus {
                return Err(format!("{name} has more processors than {vcpus}"));
            }
            live.vcpus = vcpus;
        }
        Ok(())
    }

    /// The domain, if it has a definition. A transient domain has none that could be changed.
    pub(super) fn defined(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let existing = self.domain_mut(name)?;
        match existing.transient {
            true => Err("cannot modify the persistent configuration of a transient domain".into()),
            false => Ok(existing),
        }
    }

    pub(super) fn domain_mut(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let mut domains = self.host.domains.iter_mut();
        domains
            .find(|domain| domain.name == name)
            .ok_or(format!("no domain {name}"))
    }
}

/// Changes the definition of an existing domain; the running domain stays.
fn redefine(existing: &mut DomainState, domain: &Domain) {
    existing.transient = false;
    let digest = existing.mark.as_ref().map(|mark| mark.digest.as_str());
    if domain.changes_emulation(digest.unwrap_or_default(), &existing.virt) {
        existing.virt.clone_from(&domain.virt);
    }
    existing.mark = Some(domain.mark());
    if existing.vcpus != domain.vcpus {
        existing.vcpus = domain.vcpus;
        existing.max_vcpus = domain.vcpu_limit(existing.max_vcpus);
    }
    existing.memory_mib = domain.memory_mib;
    existing
        .disks
        .retain(|disk| !domain.detached.contains(disk));
    for disk in &domain.disks {
        if !existing.disks.contains(&disk.path) {
            existing.disks.push(disk.path.clone());
        }
    }
    let mut nics = existing.nic.iter_mut().chain(&mut existing.added.nics);
    if let Some(own) = nics.find(|nic| nic.mac == domain.mac) {
        own.link = Some(domain.link.clone());
        return;
    }
    let others = existing.nic.replace(interface(domain));
    existing.added.nics.extend(others);
}

fn interface(domain: &Domain) -> Nic {
    Nic {
        mac: domain.mac,
        link: Some(domain.link.clone()),
    }
}
