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

/// What a person is told of a data disk whose file is lost.
const GONE: &str = "the disk is gone with all that was on it";

/// Why a disk is taken from a machine.
const NOT_WANTED: &str = "it is no longer in the configuration";

impl<'a> HostDiff<'a> {
    pub(super) fn disks(&mut self, machine: &Machine, wanted: &DesiredHost) -> Result<(), Error> {
        let node = &machine.domain.name;
        let domain = self.kept(machine);
        if let Some(user) = self.user_of_disks(machine) {
            let why = format!("its disks are those of machine {user}, which is not Kubitect's");
            let instead = format!(
                "if that is this one by another name, `virsh domrename {user} {node}` on the host, else give {user} other disks"
            );
            let refusal = Refusal::new(RefusalKind::DisksTaken, why, instead);
            self.refuse(Action::Create, Kind::Domain, node.as_str(), refusal);
            return Ok(());
        }
        if domain.is_none() && self.there.domain(node.as_str()).is_some() {
            let details = format!(
                "its main disk {} is gone with all that was on it: the machine is recreated{}, and joins again{}",
                machine.main.name,
                if machine.data.is_empty() {
                    ""
                } else {
                    " with the data disks that are there"
                },
                self.left_out(machine),
            );
            let step = Step::RemoveDomain(node.clone());
            self.push(Action::Replace, Kind::Domain, node.as_str(), details, step)
                .disruption = Disruption::DataLoss;
        }
        if let Some(there) = domain {
            if let Some(why) = self.rearranged(machine, there) {
                self.refuse(Action::Update, Kind::Domain, node.as_str(), why);
                return Ok(());
            }
            if there.transient && self.uprooted(&machine.domain, there).is_none() {
                // What follows is noted in its definition.
                let step = Step::DefineDomain(machine.domain.clone());
                let details = "it runs, and its definition is gone: it is defined again";
                self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
            }
            if there.power == PowerState::Paused {
                // What follows may need its guest's help.
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
        for there in domain.iter().filter(|there| there.live.is_none()) {
            // Its file may be lost, and then it would not start.
            for path in self.extra(machine, there) {
                self.detach(machine, path, NOT_WANTED);
            }
        }
        self.seed(machine, domain);
        self.main(machine, domain, wanted)?;
        // The main disk comes first, and the seed last.
        for (volume, disk) in machine.data.iter().zip(machine.domain.disks.iter().skip(1)) {
            self.data(machine, volume, disk, domain)?;
        }
        Ok(())
    }

    fn seed(&mut self, machine: &Machine, domain: Option<&DomainState>) {
        let pool = self.there.pool(&machine.seed_pool);
        let there = pool.and_then(|pool| pool.volume(&machine.seed));
        let there = there.is_some_and(is_whole_seed);
        let seen = pool.is_some_and(|pool| pool.active);
        if domain.is_some() && (there || !seen) {
            return;
        }
        // The machine was started with it, and it may hold the only copy of its key.
        if there && self.is_left(machine) {
            return;
        }
        let (action, details) = if there {
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

    /// Whether the machine's definition is gone, while its main disk is there with all that was on it.
    pub(super) fn is_left(&self, machine: &Machine) -> bool {
        let there = self.volume(&machine.main);
        self.there.domain(machine.domain.name.as_str()).is_none()
            && there.is_some_and(|there| !half_made(there, true) && is_written(there))
    }

    fn main(
        &mut self,
        machine: &Machine,
        domain: Option<&DomainState>,
        wanted: &DesiredHost,
    ) -> Result<(), Error> {
        let volume = &machine.main;
        let image = || Some(wanted.image.clone());
        match (self.volume(volume), domain) {
            (None, None) => {
                let size = gib(volume.capacity);
                self.make_volume(machine, Action::Create, volume, image(), size);
            }
            // A pool that is stopped hides it.
            (None, Some(_)) => {}
            (Some(there), None) if half_made(there, true) => self.remake(machine, volume, image()),
            (Some(there), _) => {
                let instead =
                    "add a node of another id with the smaller disk, then remove this one";
                self.size(machine, volume, there, instead)?;
            }
        }
        Ok(())
    }

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
            let old = self.there.domain(machine.domain.name.as_str());
            match self.volume(volume) {
                None if old.is_some_and(|old| old.disks.contains(&disk.path)) => {
                    let details = format!("{size}, empty: {GONE}");
                    self.make_volume(machine, Action::Create, volume, None, details)
                        .disruption = Disruption::DataLoss;
                }
                None => drop(self.make_volume(machine, Action::Create, volume, None, size)),
                Some(there) if half_made(there, false) => self.remake(machine, volume, None),
                Some(there) => self.size(machine, volume, there, instead)?,
            }
            return Ok(());
        };
        let defined = domain.disks.contains(&disk.path);
        let live = domain.live.as_ref();
        let plugged = live.is_some_and(|live| live.disks.contains(&disk.path));
        let whole = defined && (plugged || live.is_none());
        let seen = self
            .there
            .pool(&volume.pool)
            .is_some_and(|pool| pool.active);
        match self.volume(volume) {
            None if seen && (defined || plugged) => {
                if live.is_some() {
                    // What runs has the lost file open: the new one must be handed to it.
                    self.detach(machine, disk.path.clone(), "its file is gone");
                }
                let details = format!("{size}, empty: {GONE}");
                self.make_volume(machine, Action::Replace, volume, None, details)
                    .disruption = Disruption::DataLoss;
                if live.is_some() {
                    self.attach(machine, volume, disk);
                }
            }
            None if whole => {}
            None => {
                self.make_volume(machine, Action::Create, volume, None, size);
                self.attach(machine, volume, disk);
            }
            Some(there) => {
                let untouched = !defined && !plugged && !self.is_used(volume, there);
                if untouched && half_made(there, false) {
                    self.remake(machine, volume, None);
                } else {
                    self.size(machine, volume, there, instead)?;
                }
                if !whole {
                    self.attach(machine, volume, disk);
                }
            }
        }
        Ok(())
    }

    fn volume(&self, volume: &Volume) -> Option<&'a VolumeState> {
        self.there.volume(&volume.pool, &volume.name)
    }

    fn is_used(&self, volume: &Volume, there: &VolumeState) -> bool {
        let mut domains = self.there.domains.iter();
        domains.any(|domain| domain.uses(&volume.pool, there))
    }

    /// What a volume that is there needs: its size.
    fn size(
        &mut self,
        machine: &Machine,
        volume: &Volume,
        there: &VolumeState,
        instead: &str,
    ) -> Result<(), Error> {
        if there.format != volume.format.as_str() {
            let why = format!(
                "its format is {}, not {}",
                there.format,
                volume.format.as_str()
            );
            return Err(self.foreign("volume", &volume.name, why));
        }
        let sizes = format!("{} -> {}", gib(there.capacity), gib(volume.capacity));
        if there.capacity < volume.capacity {
            // The main disk comes first.
            let mut data = machine.domain.disks.iter().skip(1);
            let data = data.find(|disk| disk.path.ends_with(&volume.name));
            let step = Step::GrowVolume {
                node: machine.domain.name.clone(),
                pool: volume.pool.clone(),
                volume: volume.name.clone(),
                disk: data.map_or("main".to_owned(), |disk| disk.serial.clone()),
                was: there.capacity,
                capacity: volume.capacity,
            };
            let details = format!("size {sizes}");
            self.push(Action::Update, Kind::Volume, &volume.name, details, step);
        } else if there.capacity > volume.capacity {
            let why = format!("size {sizes}: a disk can't shrink without losing what is on it");
            let instead = format!("put the size back, or {instead}");
            let refusal = Refusal::new(RefusalKind::DiskSize, why, instead)
                .from_to(gib(there.capacity), gib(volume.capacity))
                .on(&machine.domain.name);
            self.refuse(Action::Update, Kind::Volume, &volume.name, refusal);
        }
        Ok(())
    }

    fn remake(&mut self, machine: &Machine, volume: &Volume, overlay: Option<ImageSpec>) {
        let details = format!(
            "{}; what is there was never finished and is empty",
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

    fn attach(&mut self, machine: &Machine, volume: &Volume, disk: &Disk) {
        let node = &machine.domain.name;
        if self.needs_port(machine, disk) {
            self.waiting.push((node.clone(), volume.name.clone()));
            return;
        }
        let step = Step::AttachDisk {
            node: node.clone(),
            disk: disk.clone(),
        };
        let details = format!("attach disk {} ({})", volume.name, gib(volume.capacity));
        self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
    }

    /// Whether a machine that runs has no port free for a disk, after what this plan attaches and detaches already.
    fn needs_port(&self, machine: &Machine, disk: &Disk) -> bool {
        let live = self.kept(machine).and_then(|there| there.live.as_ref());
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

    /// Takes a disk from the machine, before the next of its changes.
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

    /// As [`Self::detach`], in the last part of the run.
    pub(super) fn detach_last(&mut self, machine: &Machine, path: PathBuf) {
        self.detach(machine, path, NOT_WANTED);
        if let Some(change) = self.changes.last_mut() {
            change.part = Part::Remove;
        }
    }
}

/// Whether a volume is what a crash left of making it, so that nothing of value can be in it.
///
/// libvirt lets `qemu-img create` write the file in several steps: it may be left without a header (then libvirt takes
/// it for raw), without its size, or without the image under it. Only ever asked where no machine has it.
pub(super) fn half_made(there: &VolumeState, is_overlay: bool) -> bool {
    let unfinished =
        there.format != "qcow2" || there.capacity == 0 || (is_overlay && there.backing.is_none());
    unfinished && !is_written(there)
}

/// Whether all of a seed was written: it grows as it is, so one that a killed run left is known by its length, whatever is in it.
pub(crate) fn is_whole_seed(there: &VolumeState) -> bool {
    let length = there.physical.unwrap_or(there.capacity);
    // Earlier releases made it longer by a byte until all of it was written.
    length >= SIZE as u64 && length != SIZE as u64 + 1
}

/// Whether a machine has written to a disk: a fresh one takes some 200 KiB.
pub(crate) fn is_written(there: &VolumeState) -> bool {
    const FRESH: u64 = 512 << 10;
    there.allocation >= FRESH
}
