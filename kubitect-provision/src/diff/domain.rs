//! A machine's definition, and whether it runs.

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use super::added::{fixed_layout, live_only, report_lost, without_kvm};
use crate::change::{Action, Disruption, Kind, Part, Step};
use crate::desired::Machine;
use crate::observe::{DomainState, Live, PowerState};
use crate::resource::{Domain, Link, Mark};

impl HostDiff<'_> {
    /// Defines, starts, hot-plugs or restarts a machine.
    ///
    /// What libvirt can change while the machine runs is changed so: more processors, within the definition's maximum. Any other
    /// difference takes a new definition, which QEMU reads at the machine's next start: one that is off gets it at once, one that
    /// runs is restarted in a part of its own, since its node is drained first.
    pub(super) fn domain(&mut self, machine: &Machine) {
        let desired = &machine.domain;
        let name = desired.name.as_str();
        let is_refused = |change: &crate::change::Change| {
            change.refusal().is_some() && change.kind == Kind::Domain && change.name == name
        };
        if self.changes.iter().any(is_refused) {
            return;
        }
        let Some(observed) = self.retained_domain(machine) else {
            let (step, details) = match self.has_orphaned_disk(machine) {
                true => (
                    Step::RecoverDomain(desired.clone()),
                    format!("{}, with its existing disk", describe(desired)),
                ),
                false => (Step::CreateDomain(desired.clone()), describe(desired)),
            };
            self.push(Action::Create, Kind::Domain, name, details, step);
            return;
        };
        let mismatch = self.network_mismatch(desired, observed).map(|why| {
            let instead = "put it back, or add a node of another id, then remove this one";
            Refusal::new(RefusalKind::Machine, why, instead)
        });
        if let Some(refusal) = mismatch.or_else(|| fixed_layout(desired, observed)) {
            self.refuse(Action::Update, Kind::Domain, name, refusal);
            return;
        }
        let desired = &Domain {
            detached: self.surplus_disks(machine, observed),
            ..desired.clone()
        };
        let lost = live_only(desired, observed);
        let mut differences = self.differences(machine, observed);
        let cpu_difference = cpu_difference(observed, desired);
        let stays = differences.is_empty() && cpu_difference.is_none() && observed.live.is_some();
        if let Some(refusal) = without_kvm(desired, observed).filter(|_| !stays) {
            self.refuse(Action::Update, Kind::Domain, name, refusal);
            return;
        }
        match (&observed.live, cpu_difference) {
            (_, None) => {}
            // Hot-plug is tried only as long as the definition differs, too: a refused hot-plug leaves a machine that is defined with
            // the desired number and runs with fewer, and such a machine is restarted.
            (Some(live), Some(_))
                if differences.is_empty()
                    && observed.vcpus != desired.vcpus
                    && live.vcpus.max(observed.vcpus) <= desired.vcpus
                    && desired.vcpus <= observed.max_vcpus =>
            {
                let step = Step::SetVcpus(desired.clone());
                let fewest = live.vcpus.min(observed.vcpus);
                let details = format!(
                    "CPUs {fewest} -> {}, while it runs (by a restart where libvirt refuses)",
                    desired.vcpus
                );
                let change = self.push(Action::Update, Kind::Domain, name, details, step);
                report_lost(change, &lost);
                return;
            }
            (_, Some(reason)) => differences.insert(0, reason),
        }
        let is_on = observed.live.is_some();
        let why_off = match observed.power {
            PowerState::Crashed => "it broke down",
            _ if observed.saved => "it was saved while it ran, and goes on from there",
            _ => "it is off",
        };
        if differences.is_empty() {
            if !is_on {
                let step = Step::StartDomain(desired.name.clone());
                self.push(Action::Start, Kind::Domain, name, why_off, step);
            }
            return;
        }
        if !is_on {
            differences.push(why_off.to_owned());
        }
        let step = Step::Redefine(desired.clone());
        let change = self.push(
            Action::Update,
            Kind::Domain,
            name,
            differences.join(", "),
            step,
        );
        if is_on {
            change.part = Part::Restart;
            change.disruption = Disruption::Reboot;
            report_lost(change, &lost);
        }
    }

    /// Has the guest's system take its new hardware into use: what this plan gives it, and what an earlier run gave it and did not
    /// finish with, which is noted on its domain (`given`).
    pub(super) fn take_in_use(&mut self, machine: &Machine) {
        let node = &machine.domain.name;
        let Some(observed) = self.retained_domain(machine) else {
            return;
        };
        let gives = self.changes.iter().filter_map(|change| change.step.gives());
        let new = gives.filter(|(name, _)| *name == node);
        let new: Vec<_> = new.map(|(_, what)| what.to_owned()).collect();
        if new.is_empty() && observed.given.is_empty() {
            return;
        }
        // A disk that was removed since then needs nothing any more.
        let has = |what: &&String| {
            let mut disks = machine.domain.disks.iter();
            ["cpus", "main"].contains(&what.as_str()) || disks.any(|disk| disk.serial == **what)
        };
        let mut given: Vec<_> = observed.given.iter().filter(has).cloned().collect();
        given.extend(new);
        given.sort();
        given.dedup();
        let names: Vec<_> = given
            .iter()
            .map(|what| match what.as_str() {
                "cpus" => "its processors".to_owned(),
                "main" => "its main disk".to_owned(),
                disk => format!("disk {disk}"),
            })
            .collect();
        let details = match names.is_empty() {
            true => "what it was given is gone".to_owned(),
            false => format!("its system takes into use {}", names.join(", ")),
        };
        let name = node.to_string();
        let node = node.clone();
        let step = Step::TakeInUse { node, given };
        self.push(Action::Update, Kind::Domain, &name, details, step)
            .part = Part::Use;
    }

    /// Why the machine can't be defined as desired: its Ethernet address, network or fixed address would change. cloud-init has
    /// configured these in the guest at its first boot, so that with others the guest could not be reached any more.
    ///
    /// Where the digest in the mark says that Kubitect defined the interface as desired, somebody else has changed it since: that is no
    /// mismatch, and is undone.
    pub(super) fn network_mismatch(
        &self,
        desired: &Domain,
        observed: &DomainState,
    ) -> Option<String> {
        let mark = observed.mark.as_ref()?;
        let nic = observed.nic_of(desired.mac).or(observed.nic.as_ref());
        let was_as_desired = desired.is_marked(&mark.digest, &observed.virt);
        let (mac, link) = match nic {
            Some(nic) if !was_as_desired => (nic.mac, nic.link.as_ref()),
            _ => (desired.mac, None),
        };
        if mac != desired.mac {
            return Some(format!(
                "its Ethernet address {mac} can't become {}, by which its guest finds its network",
                desired.mac
            ));
        }
        if let Some(link) = link.filter(|link| **link != desired.link) {
            return Some(format!(
                "it is plugged into {}, which can't become {}",
                describe_link(link),
                describe_link(&desired.link)
            ));
        }
        let address = desired.address?;
        let reserved = || {
            let Link::Network(network) = &desired.link else {
                return None;
            };
            let all = &self.observed.network(network)?.reservations;
            all.iter().find(|r| r.mac == desired.mac).map(|r| r.ip)
        };
        let has = mark.address.or_else(reserved)?;
        (has != address).then(|| format!("its address {has} can't become {address}"))
    }

    /// What differs between the definition and the desired one, besides the number of processors.
    fn differences(&self, machine: &Machine, observed: &DomainState) -> Vec<String> {
        let desired = &machine.domain;
        let mut differences = Vec::new();
        let live = observed.live.as_ref();
        if observed.memory_mib != desired.memory_mib {
            differences.push(format!(
                "memory {} MiB -> {} MiB",
                observed.memory_mib, desired.memory_mib
            ));
        } else if let Some(live) = live
            && live.memory_mib != desired.memory_mib
        {
            differences.push(format!(
                "it runs with {} MiB of memory, not {}",
                live.memory_mib, desired.memory_mib
            ));
        }
        let nic_differs = observed
            .nic_of(desired.mac)
            .is_none_or(|nic| nic.link.as_ref() != Some(&desired.link));
        let unplugged = |live: &Live| live.nic_of(desired.mac).is_none();
        if nic_differs {
            differences.push("its network interface was changed".to_owned());
        } else if live.is_some_and(unplugged) {
            differences.push("it runs without its network interface".to_owned());
        }
        // Data disks are no difference of the definition: they are attached and detached one by one.
        for disk in &desired.disks {
            let is_data = machine
                .data
                .iter()
                .any(|volume| disk.path.ends_with(&volume.name));
            let has = observed.disks.contains(&disk.path)
                && live.is_none_or(|live| live.disks.contains(&disk.path));
            if !is_data && !has {
                differences.push(format!("its disk {} was taken away", disk.path.display()));
            }
        }
        let is_marked = |mark: &Mark| desired.is_marked(&mark.digest, &observed.virt);
        if !observed.mark.as_ref().is_some_and(is_marked) {
            differences.push("processor mode or emulation differ".to_owned());
        } else if observed.virt == "qemu" && desired.virt == "kvm" {
            differences.push("it is emulated, and its host offers KVM".to_owned());
        }
        let waiting = self
            .without_port
            .iter()
            .filter(|(node, _)| *node == desired.name);
        differences.extend(waiting.map(|(_, disk)| {
            format!("disk {disk} is attached, for which it has no port free while it runs")
        }));
        differences
    }
}

/// How the number of processors differs from the desired one: in the definition, or else while the machine runs.
fn cpu_difference(observed: &DomainState, desired: &Domain) -> Option<String> {
    if observed.vcpus != desired.vcpus {
        return Some(format!("CPUs {} -> {}", observed.vcpus, desired.vcpus));
    }
    let live = observed.live.as_ref()?;
    (live.vcpus != desired.vcpus)
        .then(|| format!("it runs with {} CPUs, not {}", live.vcpus, desired.vcpus))
}

fn describe_link(link: &Link) -> String {
    match link {
        Link::Network(name) => format!("network {name}"),
        Link::Bridge(name) => format!("bridge {name}"),
    }
}

/// A new machine's size, type and address.
fn describe(desired: &Domain) -> String {
    format!(
        "{} CPU{}, {} GiB, {}{}",
        desired.vcpus,
        if desired.vcpus == 1 { "" } else { "s" },
        desired.memory_mib >> 10,
        desired.virt,
        desired
            .address
            .map(|ip| format!(", {ip}"))
            .unwrap_or_default()
    )
}
