//! A machine's disks: its seed, the disk with its operating system, and its data disks.

use std::path::PathBuf;

use kubitect_config::{Refusal, RefusalKind};

use super::{HostDiff, gib};
use crate::change::{Action, Disruption, ImageSpec, Kind, Part, Step};
use crate::cloud_init::seed::SIZE;
use crate::desired::{DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, PowerState, VolumeState};
use crate::resource::{Disk, Volume};

/// The text for a data disk whose file is lost.
const LOST: &str = "the disk is gone with all that was on it";

/// The text for a disk that is detached from a machine.
const NOT_DESIRED: &str = "it is no longer in the configuration";

impl<'a> HostDiff<'a> {
    /// Makes, attaches, enlarges and detaches a machine's disks, and removes a domain whose main disk is lost, to be recreated.
    pub(super) fn disks(&mut self, machine: &Machine, desired: &DesiredHost) -> Result<(), Error> {
        let node = &machine.domain.name;
        let domain = self.retained_domain(machine);
        if let Some(user) = self.other_user_of_disks(machine) {
            let why = format!("its disks are those of machine {user}, which is not Kubitect's");
            let instead = format!(
                "if that is this one by another name, `virsh domrename {user} {node}` on the host, else give {user} other disks"
            );
            let refusal = Refusal::new(RefusalKind::DisksTaken, why, instead);
            self.refuse(Action::Create, Kind::Domain, node.as_str(), refusal);
            return Ok(());
        }
        if domain.is_none() && self.observed.domain(node.as_str()).is_some() {
            let details = format!(
                "its main disk {} is gone with all that was on it: the machine is recreated{}, and joins again{}",
                machine.main.name,
                if machine.data.is_empty() {
                    ""
                } else {
                    " with its existing data disks"
                },
                self.lost_additions(machine),
            );
            let step = Step::RemoveDomain(node.clone());
            self.push(Action::Replace, Kind::Domain, node.as_str(), details, step)
                .disruption = Disruption::DataLoss;
        }
        if let Some(observed) = domain {
            if let Some(refusal) = self.disk_refusal(machine, observed) {
                self.refuse(Action::Update, Kind::Domain, node.as_str(), refusal);
                return Ok(());
            }
            if observed.transient && self.network_mismatch(&machine.domain, observed).is_none() {
                // Before its disks are changed: each such change is also written into the definition.
                let step = Step::DefineDomain(machine.domain.clone());
                let details = "it runs, and its definition is gone: it is defined again";
                self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
            }
            if observed.power == PowerState::Paused {
                // Before its disks are changed: to detach one takes the guest's cooperation.
                let step = Step::StartDomain(node.clone());
                self.push(
                    Action::Start,
                    Kind::Domain,
                    node.as_str(),
                    "it is paused",
                    step,
                );
            }
        }
        // A machine that is off loses its surplus disks first: where the file of one is lost, QEMU would not start.
        for observed in domain.iter().filter(|observed| observed.live.is_none()) {
            for path in self.surplus_disks(machine, observed) {
                self.detach(machine, path, NOT_DESIRED);
            }
        }
        self.seed(machine, domain);
        self.main(machine, domain, desired)?;
        // Of a definition's disks, the first is the main disk and the last the seed: neither is a data disk.
        for (volume, disk) in machine.data.iter().zip(machine.domain.disks.iter().skip(1)) {
            self.data(machine, volume, disk, domain)?;
        }
        Ok(())
    }

    /// Writes the seed of a new machine, and one that is missing. A complete seed of an existing machine, also of one whose definition is
    /// lost, is never rewritten: it may hold the only copy of the machine's host key.
    fn seed(&mut self, machine: &Machine, domain: Option<&DomainState>) {
        let pool = self.observed.pool(&machine.seed_pool);
        let seed = pool.and_then(|pool| pool.volume(&machine.seed));
        let is_complete = seed.is_some_and(is_whole_seed);
        // A stopped pool lists no volume.
        let is_listed = pool.is_some_and(|pool| pool.active);
        if domain.is_some() && (is_complete || !is_listed) {
            return;
        }
        if is_complete && self.has_orphaned_disk(machine) {
            return;
        }
        let (action, details) = if is_complete {
            (Action::Update, "rewritten for the new machine")
        } else {
            (Action::Create, "")
        };
        let step = Step::WriteSeed {
            node: machine.domain.name.clone(),
            pool: machine.seed_pool.clone(),
            volume: machine.seed.clone(),
        };
        self.push(action, Kind::Volume, &machine.seed, details, step);
    }

    /// Whether the machine's definition is lost and its main disk exists, with what the machine has written to it.
    pub(super) fn has_orphaned_disk(&self, machine: &Machine) -> bool {
        let main = self.volume(&machine.main);
        self.observed.domain(machine.domain.name.as_str()).is_none()
            && main.is_some_and(|main| !is_half_made(main, true) && is_written(main))
    }

    /// The main disk: an overlay on the base image. That of an existing machine is only enlarged.
    fn main(
        &mut self,
        machine: &Machine,
        domain: Option<&DomainState>,
        desired: &DesiredHost,
    ) -> Result<(), Error> {
        let volume = &machine.main;
        let image = || Some(desired.image.clone());
        match (self.volume(volume), domain) {
            (None, None) => {
                let size = gib(volume.capacity);
                self.make_volume(machine, Action::Create, volume, image(), size);
            }
            // The pool is stopped and does not list it: in a started pool it would be lost, and no domain would be retained.
            (None, Some(_)) => {}
            (Some(observed), None) if is_half_made(observed, true) => {
                self.replace(machine, volume, image())
            }
            (Some(observed), _) => {
                let instead =
                    "add a node of another id with the smaller disk, then remove this one";
                self.size(machine, volume, observed, instead)?;
            }
        }
        Ok(())
    }

    /// A data disk. Where its file is lost, an empty one takes its place, and the plan says that data are lost.
    fn data(
        &mut self,
        machine: &Machine,
        volume: &Volume,
        disk: &Disk,
        domain: Option<&DomainState>,
    ) -> Result<(), Error> {
        let instead = "add a disk of another name and the smaller size, copy what is on it, then remove this one";
        let size = gib(volume.capacity);
        let Some(domain) = domain else {
            let old = self.observed.domain(machine.domain.name.as_str());
            match self.volume(volume) {
                None if old.is_some_and(|old| old.disks.contains(&disk.path)) => {
                    let details = format!("{size}, empty: {LOST}");
                    self.make_volume(machine, Action::Create, volume, None, details)
                        .disruption = Disruption::DataLoss;
                }
                None => drop(self.make_volume(machine, Action::Create, volume, None, size)),
                Some(observed) if is_half_made(observed, false) => {
                    self.replace(machine, volume, None)
                }
                Some(observed) => self.size(machine, volume, observed, instead)?,
            }
            return Ok(());
        };
        let defined = domain.disks.contains(&disk.path);
        let live = domain.live.as_ref();
        let plugged = live.is_some_and(|live| live.disks.contains(&disk.path));
        let is_attached = defined && (plugged || live.is_none());
        let is_listed = self
            .observed
            .pool(&volume.pool)
            .is_some_and(|pool| pool.active);
        match self.volume(volume) {
            None if is_listed && (defined || plugged) => {
                if live.is_some() {
                    // QEMU still has the lost file open: it opens the new one only when the disk is attached again.
                    self.detach(machine, disk.path.clone(), "its file is gone");
                }
                let details = format!("{size}, empty: {LOST}");
                self.make_volume(machine, Action::Replace, volume, None, details)
                    .disruption = Disruption::DataLoss;
                if live.is_some() {
                    self.attach(machine, volume, disk);
                }
            }
            None if is_attached => {}
            None => {
                self.make_volume(machine, Action::Create, volume, None, size);
                self.attach(machine, volume, disk);
            }
            Some(observed) => {
                let is_unused = !defined && !plugged && !self.is_used(volume, observed);
                if is_unused && is_half_made(observed, false) {
                    self.replace(machine, volume, None);
                } else {
                    self.size(machine, volume, observed, instead)?;
                }
                if !is_attached {
                    self.attach(machine, volume, disk);
                }
            }
        }
        Ok(())
    }

    fn volume(&self, volume: &Volume) -> Option<&'a VolumeState> {
        self.observed.volume(&volume.pool, &volume.name)
    }

    fn is_used(&self, volume: &Volume, observed: &VolumeState) -> bool {
        let mut domains = self.observed.domains.iter();
        domains.any(|domain| domain.uses(&volume.pool, observed))
    }

    /// Enlarges an existing volume; refuses to shrink it, since what lies at its end would be lost.
    fn size(
        &mut self,
        machine: &Machine,
        volume: &Volume,
        observed: &VolumeState,
        instead: &str,
    ) -> Result<(), Error> {
        if observed.format != volume.format.as_str() {
            let why = format!(
                "its format is {}, not {}",
                observed.format,
                volume.format.as_str()
            );
            return Err(self.foreign("volume", &volume.name, why));
        }
        let sizes = format!("{} -> {}", gib(observed.capacity), gib(volume.capacity));
        if observed.capacity < volume.capacity {
            // The first disk is the main disk.
            let mut data = machine.domain.disks.iter().skip(1);
            let data = data.find(|disk| disk.path.ends_with(&volume.name));
            let step = Step::GrowVolume {
                node: machine.domain.name.clone(),
                pool: volume.pool.clone(),
                volume: volume.name.clone(),
                disk: data.map_or("main".to_owned(), |disk| disk.serial.clone()),
                was: observed.capacity,
                capacity: volume.capacity,
            };
            let details = format!("size {sizes}");
            self.push(Action::Update, Kind::Volume, &volume.name, details, step);
        } else if observed.capacity > volume.capacity {
            let why = format!("size {sizes}: a disk can't shrink without losing what is on it");
            let instead = format!("put the size back, or {instead}");
            let refusal = Refusal::new(RefusalKind::DiskSize, why, instead)
                .from_to(gib(observed.capacity), gib(volume.capacity))
                .on(&machine.domain.name);
            self.refuse(Action::Update, Kind::Volume, &volume.name, refusal);
        }
        Ok(())
    }

    /// Replaces a volume that a crash left half made: nothing can be in it.
    fn replace(&mut self, machine: &Machine, volume: &Volume, overlay: Option<ImageSpec>) {
        let details = format!(
            "{}; the existing one was never finished and is empty",
            gib(volume.capacity)
        );
        self.make_volume(machine, Action::Replace, volume, overlay, details);
    }

    fn make_volume(
        &mut self,
        machine: &Machine,
        action: Action,
        volume: &Volume,
        overlay: Option<ImageSpec>,
        details: String,
    ) -> &mut crate::change::Change {
        let step = Step::CreateVolume {
            node: machine.domain.name.clone(),
            volume: volume.clone(),
            overlay,
            replace: action == Action::Replace,
        };
        self.push(action, Kind::Volume, &volume.name, details, step)
    }

    /// Attaches a disk at once; or, where the running machine has no free port for it, by a restart, which [`Self::domain`] plans.
    fn attach(&mut self, machine: &Machine, volume: &Volume, disk: &Disk) {
        let node = &machine.domain.name;
        if self.needs_port(machine, disk) {
            self.without_port.push((node.clone(), volume.name.clone()));
            return;
        }
        let step = Step::AttachDisk {
            node: node.clone(),
            disk: disk.clone(),
        };
        let details = format!("attach disk {} ({})", volume.name, gib(volume.capacity));
        self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
    }

    /// Whether a machine that runs has no free port (PCIe) for this disk, after what this plan attaches and detaches before.
    fn needs_port(&self, machine: &Machine, disk: &Disk) -> bool {
        let live = self
            .retained_domain(machine)
            .and_then(|observed| observed.live.as_ref());
        let Some((live, free)) = live.and_then(|live| Some((live, live.free_ports?))) else {
            return false;
        };
        let name = &machine.domain.name;
        let steps = || self.changes.iter().map(|change| &change.step);
        let attached =
            steps().filter(|s| matches!(s, Step::AttachDisk { node, .. } if node == name));
        let detached =
            steps().filter(|s| matches!(s, Step::DetachDisk { node, .. } if node == name));
        !live.disks.contains(&disk.path) && free as usize + detached.count() <= attached.count()
    }

    /// Detaches a disk from the machine, before the next of its changes.
    pub(super) fn detach(&mut self, machine: &Machine, path: PathBuf, why: &str) {
        let node = &machine.domain.name;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let details = format!("detach disk {name}: {why}");
        let step = Step::DetachDisk {
            node: node.clone(),
            path,
        };
        self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
    }

    /// As [`Self::detach`], in the last part of the run: what is on the disk stays in reach until nothing can fail any more but removals.
    pub(super) fn detach_last(&mut self, machine: &Machine, path: PathBuf) {
        self.detach(machine, path, NOT_DESIRED);
        if let Some(change) = self.changes.last_mut() {
            change.part = Part::Remove;
        }
    }
}

/// Whether a volume was left by a run that was killed while the volume was made, so that nothing of value can be in it.
///
/// libvirt has `qemu-img create` write the file in several steps: it may be left without a header (then libvirt takes
/// it for raw), without its size, or without its backing image. Callers ask this only of volumes that no machine uses.
pub(super) fn is_half_made(observed: &VolumeState, is_overlay: bool) -> bool {
    let unfinished = observed.format != "qcow2"
        || observed.capacity == 0
        || (is_overlay && observed.backing.is_none());
    unfinished && !is_written(observed)
}

/// Whether all of a seed was written. Its file grows as it is written, so one that a killed run left is shorter.
pub(crate) fn is_whole_seed(observed: &VolumeState) -> bool {
    let length = observed.physical.unwrap_or(observed.capacity);
    // Earlier releases gave it one byte too many until all of it was written.
    length >= SIZE as u64 && length != SIZE as u64 + 1
}

/// Whether a machine has written to a disk: one that is just made takes some 200 KiB on the host.
pub(crate) fn is_written(observed: &VolumeState) -> bool {
    const FRESH: u64 = 512 << 10;
    observed.allocation >= FRESH
}
