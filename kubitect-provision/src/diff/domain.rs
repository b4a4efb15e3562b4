//! A machine's definition and its power.

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use super::added::{laid_out, only_live, say_lost, without_kvm};
use crate::change::{Action, Disruption, Kind, Part, Step};
use crate::desired::Machine;
use crate::observe::{DomainState, Live, PowerState};
use crate::resource::{Domain, Link, Mark};

impl HostDiff<'_> {
    pub(super) fn domain(&mut self, machine: &Machine) {
        let wanted = &machine.domain;
        let name = wanted.name.as_str();
        let is_refused = |change: &crate::change::Change| {
            change.refusal().is_some() && change.kind == Kind::Domain && change.name == name
        };
        if self.changes.iter().any(is_refused) {
            return;
        }
        let Some(there) = self.kept(machine) else {
            let (step, details) = match self.is_left(machine) {
                true => (
                    Step::BringBack(wanted.clone()),
                    format!("{}, with its disk that is there", told(wanted)),
                ),
                false => (Step::CreateDomain(wanted.clone()), told(wanted)),
            };
            self.push(Action::Create, Kind::Domain, name, details, step);
            return;
        };
        let uprooted = self.uprooted(wanted, there).map(|why| {
            let instead = "put it back, or add a node of another id, then remove this one";
            Refusal::new(RefusalKind::Machine, why, instead)
        });
        if let Some(refusal) = uprooted.or_else(|| laid_out(wanted, there)) {
            self.refuse(Action::Update, Kind::Domain, name, refusal);
            return;
        }
        let wanted = &Domain {
            gone: self.extra(machine, there),
            ..wanted.clone()
        };
        let lost = only_live(wanted, there);
        let mut reasons = self.reasons(machine, there);
        let processors = processors(there, wanted);
        let stays = reasons.is_empty() && processors.is_none() && there.live.is_some();
        if let Some(refusal) = without_kvm(wanted, there).filter(|_| !stays) {
            self.refuse(Action::Update, Kind::Domain, name, refusal);
            return;
        }
        match (&there.live, processors) {
            (_, None) => {}
            // Tried while it runs before it is defined: one that is defined so and runs otherwise was refused that.
            (Some(live), Some(_))
                if reasons.is_empty()
                    && there.vcpus != wanted.vcpus
                    && live.vcpus.max(there.vcpus) <= wanted.vcpus
                    && wanted.vcpus <= there.max_vcpus =>
            {
                let step = Step::SetVcpus(wanted.clone());
                let fewest = live.vcpus.min(there.vcpus);
                let details = format!(
                    "CPUs {fewest} -> {}, while it runs (by a restart where libvirt refuses)",
                    wanted.vcpus
                );
                let change = self.push(Action::Update, Kind::Domain, name, details, step);
                say_lost(change, &lost);
                return;
            }
            (_, Some(reason)) => reasons.insert(0, reason),
        }
        let is_on = there.live.is_some();
        let was = match there.power {
            PowerState::Crashed => "it broke down",
            _ if there.saved => "it was saved while it ran, and goes on from there",
            _ => "it is off",
        };
        if reasons.is_empty() {
            if !is_on {
                let step = Step::StartDomain(wanted.name.clone());
                self.push(Action::Start, Kind::Domain, name, was, step);
            }
            return;
        }
        if !is_on {
            reasons.push(was.to_owned());
        }
        let step = Step::Redefine(wanted.clone());
        let change = self.push(Action::Update, Kind::Domain, name, reasons.join(", "), step);
        if is_on {
            change.part = Part::Restart;
            change.disruption = Disruption::Reboot;
            say_lost(change, &lost);
        }
    }

    /// What the machine is given by this plan, or was by one whose run was interrupted, its system takes into use.
    pub(super) fn take_in_use(&mut self, machine: &Machine) {
        let node = &machine.domain.name;
        let Some(there) = self.kept(machine) else {
            return;
        };
        let gives = self.changes.iter().filter_map(|change| change.step.gives());
        let new = gives.filter(|(name, _)| *name == node);
        let new: Vec<_> = new.map(|(_, what)| what.to_owned()).collect();
        if new.is_empty() && there.given.is_empty() {
            return;
        }
        // A disk that is gone since then is none of it any more.
        let has = |what: &&String| {
            let mut disks = machine.domain.disks.iter();
            ["cpus", "main"].contains(&what.as_str()) || disks.any(|disk| disk.serial == **what)
        };
        let mut given: Vec<_> = there.given.iter().filter(has).cloned().collect();
        given.extend(new);
        given.sort();
        given.dedup();
        let told: Vec<_> = given
            .iter()
            .map(|what| match what.as_str() {
                "cpus" => "its processors".to_owned(),
                "main" => "its main disk".to_owned(),
                disk => format!("disk {disk}"),
            })
            .collect();
        let details = match told.is_empty() {
            true => "what it was given is gone".to_owned(),
            false => format!("its system takes into use {}", told.join(", ")),
        };
        let name = node.to_string();
        let node = node.clone();
        let step = Step::TakeInUse { node, given };
        self.push(Action::Update, Kind::Domain, &name, details, step)
            .part = Part::Use;
    }

    /// Why the machine would not be found again if it were defined as it is wanted: its guest knows only the network that
    /// it was made for.
    pub(super) fn uprooted(&self, wanted: &Domain, there: &DomainState) -> Option<String> {
        let mark = there.mark.as_ref()?;
        let nic = there.nic_of(wanted.mac).or(there.nic.as_ref());
        let of_us = wanted.is_marked(&mark.digest, &there.virt);
        // Made by us like this: then it is another's doing that it differs, and is undone.
        let (mac, link) = match nic {
            Some(nic) if !of_us => (nic.mac, nic.link.as_ref()),
            _ => (wanted.mac, None),
        };
        if mac != wanted.mac {
            return Some(format!(
                "its Ethernet address {mac} can't become {}, by which its guest finds its network",
                wanted.mac
            ));
        }
        if let Some(link) = link.filter(|link| **link != wanted.link) {
            return Some(format!(
                "it is plugged into {}, which can't become {}",
                plug(link),
                plug(&wanted.link)
            ));
        }
        let address = wanted.address?;
        let reserved = || {
            let Link::Network(network) = &wanted.link else {
                return None;
            };
            let kept = &self.there.network(network)?.reservations;
            kept.iter().find(|r| r.mac == wanted.mac).map(|r| r.ip)
        };
        let has = mark.address.or_else(reserved)?;
        (has != address).then(|| format!("its address {has} can't become {address}"))
    }

    /// What of the definition differs, processors aside.
    fn reasons(&self, machine: &Machine, there: &DomainState) -> Vec<String> {
        let wanted = &machine.domain;
        let mut reasons = Vec::new();
        let live = there.live.as_ref();
        if there.memory_mib != wanted.memory_mib {
            reasons.push(format!(
                "memory {} MiB -> {} MiB",
                there.memory_mib, wanted.memory_mib
            ));
        } else if let Some(live) = live
            && live.memory_mib != wanted.memory_mib
        {
            reasons.push(format!(
                "it runs with {} MiB of memory, not {}",
                live.memory_mib, wanted.memory_mib
            ));
        }
        let nic_differs = there
            .nic_of(wanted.mac)
            .is_none_or(|nic| nic.link.as_ref() != Some(&wanted.link));
        let unplugged = |live: &Live| live.nic_of(wanted.mac).is_none();
        if nic_differs {
            reasons.push("its network interface was changed".to_owned());
        } else if live.is_some_and(unplugged) {
            reasons.push("it runs without its network interface".to_owned());
        }
        // Data disks are attached and detached.
        for disk in &wanted.disks {
            let is_data = machine
                .data
                .iter()
                .any(|volume| disk.path.ends_with(&volume.name));
            let has = there.disks.contains(&disk.path)
                && live.is_none_or(|live| live.disks.contains(&disk.path));
            if !is_data && !has {
                reasons.push(format!("its disk {} was taken away", disk.path.display()));
            }
        }
        let is_marked = |mark: &Mark| wanted.is_marked(&mark.digest, &there.virt);
        if !there.mark.as_ref().is_some_and(is_marked) {
            reasons.push("processor mode or emulation differ".to_owned());
        } else if there.virt == "qemu" && wanted.virt == "kvm" {
            reasons.push("it is emulated, and its host offers KVM".to_owned());
        }
        let waiting = self.waiting.iter().filter(|(node, _)| *node == wanted.name);
        reasons.extend(waiting.map(|(_, disk)| {
            format!("disk {disk} is attached, for which it has no port free while it runs")
        }));
        reasons
    }
}

/// How the numbers of processors differ.
fn processors(there: &DomainState, wanted: &Domain) -> Option<String> {
    if there.vcpus != wanted.vcpus {
        return Some(format!("CPUs {} -> {}", there.vcpus, wanted.vcpus));
    }
    let live = there.live.as_ref()?;
    (live.vcpus != wanted.vcpus)
        .then(|| format!("it runs with {} CPUs, not {}", live.vcpus, wanted.vcpus))
}

fn plug(link: &Link) -> String {
    match link {
        Link::Network(name) => format!("network {name}"),
        Link::Bridge(name) => format!("bridge {name}"),
    }
}

/// A new machine in a few words.
fn told(wanted: &Domain) -> String {
    format!(
        "{} CPU{}, {} GiB, {}{}",
        wanted.vcpus,
        if wanted.vcpus == 1 { "" } else { "s" },
        wanted.memory_mib >> 10,
        wanted.virt,
        wanted
            .address
            .map(|ip| format!(", {ip}"))
            .unwrap_or_default()
    )
}
