//! What becomes of domains in memory.

use std::path::Path;

use super::State;
use crate::observe::{DomainState, Live, Nic, PowerState};
use crate::resource::{Disk, Domain};

impl State {
    /// Defines a domain; one that is there stays what it is but for what differs.
    pub(super) fn define(&mut self, domain: &Domain) -> Result<(), String> {
        if let Ok(there) = self.domain_mut(domain.name.as_str()) {
            let mark = there.mark.as_ref();
            if mark.is_none_or(|mark| mark.cluster != domain.cluster) {
                return Err("the domain of this name is not this cluster's".to_owned());
            }
            redefine(there, domain);
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

    /// Starts or resumes a domain whose disks are all there.
    pub(super) fn start(&mut self, name: &str) -> Result<(), String> {
        let there = self.domain_mut(name)?;
        if there.live.is_some() {
            there.power = PowerState::Running;
            return Ok(());
        }
        let (disks, virt) = (there.disks.clone(), there.virt.clone());
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
        // What was saved goes on as it was.
        let saved = self.saved.remove(name);
        let there = self.domain_mut(name)?;
        there.saved = false;
        there.live = saved.or_else(|| {
            Some(Live {
                vcpus: there.vcpus,
                memory_mib: there.memory_mib,
                balloon_mib: None,
                disks: there.disks.clone(),
                nic: there.nic.clone(),
                added: there.added.clone(),
                free_ports: None,
            })
        });
        there.power = PowerState::Running;
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

    /// What is written to a disk makes it larger on the host.
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
        let there = self.domain_mut(name)?;
        there.power = PowerState::Off;
        there.live = None;
        Ok(())
    }

    /// What a domain that runs has now; none if it is off.
    fn running(&mut self, name: &str) -> Result<Option<&mut Live>, String> {
        let there = self.domain_mut(name)?;
        match (there.power, there.live.as_mut()) {
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

    /// A domain that has a definition.
    pub(super) fn defined(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let there = self.domain_mut(name)?;
        match there.transient {
            true => Err("cannot modify the persistent configuration of a transient domain".into()),
            false => Ok(there),
        }
    }

    pub(super) fn domain_mut(&mut self, name: &str) -> Result<&mut DomainState, String> {
        let mut domains = self.host.domains.iter_mut();
        domains
            .find(|domain| domain.name == name)
            .ok_or(format!("no domain {name}"))
    }
}

/// What a domain that is there becomes; what it has while it is on stays.
fn redefine(there: &mut DomainState, domain: &Domain) {
    there.transient = false;
    let digest = there.mark.as_ref().map(|mark| mark.digest.as_str());
    if domain.emulates_anew(digest.unwrap_or_default(), &there.virt) {
        there.virt.clone_from(&domain.virt);
    }
    there.mark = Some(domain.mark());
    if there.vcpus != domain.vcpus {
        there.vcpus = domain.vcpus;
        there.max_vcpus = domain.room(there.max_vcpus);
    }
    there.memory_mib = domain.memory_mib;
    there.disks.retain(|disk| !domain.gone.contains(disk));
    for disk in &domain.disks {
        if !there.disks.contains(&disk.path) {
            there.disks.push(disk.path.clone());
        }
    }
    let mut nics = there.nic.iter_mut().chain(&mut there.added.nics);
    if let Some(own) = nics.find(|nic| nic.mac == domain.mac) {
        own.link = Some(domain.link.clone());
        return;
    }
    let others = there.nic.replace(interface(domain));
    there.added.nics.extend(others);
}

fn interface(domain: &Domain) -> Nic {
    Nic {
        mac: domain.mac,
        link: Some(domain.link.clone()),
    }
}
