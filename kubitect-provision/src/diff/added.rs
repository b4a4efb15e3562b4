//! What a person or another program added to a machine: it stays. Where it can't, the plan says so, or refuses.

use std::path::PathBuf;

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::change::Change;
use crate::desired::Machine;
use crate::observe::{Added, DomainState, Nic};
use crate::resource::Domain;

impl HostDiff<'_> {
    /// What a machine that is recreated does not get back, to be added to the details.
    pub(super) fn left_out(&self, machine: &Machine) -> String {
        let Some(there) = self.there.domain(machine.domain.name.as_str()) else {
            return String::new();
        };
        let others = self.strangers(machine, there);
        let nics = there.nic.iter().chain(&there.added.nics);
        let nics = nics.filter(|nic| nic.mac != machine.domain.mac);
        let mut words = words(&others, nics, &there.added);
        words.extend_from_slice(&there.added.settings);
        match words.is_empty() {
            true => String::new(),
            false => format!("; without what was added to it: {}", words.join(", ")),
        }
    }
}

/// Says of a restart what it takes away: what was attached to the machine for as long as it runs.
pub(super) fn say_lost(change: &mut Change, lost: &[String]) {
    if !lost.is_empty() {
        let all = lost.join(", ");
        change.details += &format!("; with the restart goes what it has only while it runs: {all}");
        change.loses = true;
    }
}

/// What a machine has only while it runs, in words, besides what is its own by the configuration or was.
pub(super) fn only_live(wanted: &Domain, there: &DomainState) -> Vec<String> {
    let Some(live) = &there.live else {
        return Vec::new();
    };
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        wanted.disks.iter().any(|disk| disk.path == *path)
            || name.starts_with(&format!("{}-", wanted.name))
    };
    let disks = live.disks.iter();
    let disks: Vec<_> = disks
        .filter(|path| !there.disks.contains(path) && !own(path))
        .cloned()
        .collect();
    let nics = live.nic.iter().chain(&live.added.nics);
    let nics = nics.filter(|nic| nic.mac != wanted.mac && there.nic_of(nic.mac).is_none());
    let devices = live.added.devices.iter();
    let devices = devices.filter(|device| !there.added.devices.contains(device));
    let added = Added {
        devices: devices.cloned().collect(),
        ..Added::default()
    };
    words(&disks, nics, &added)
}

/// Why a machine can't get the size that is wanted: its layout was made by hand for the one that it has.
pub(super) fn laid_out(wanted: &Domain, there: &DomainState) -> Option<Refusal> {
    let refusal = |why: String| {
        let by_hand = "set both by hand (virsh edit) and apply again, or put the number back";
        Refusal::new(RefusalKind::Machine, why, by_hand)
    };
    let (was, is) = (there.memory_mib, wanted.memory_mib);
    if there.added.cells && was != is {
        let why = format!(
            "memory {was} MiB -> {is} MiB: it is laid out in NUMA cells, which is not Kubitect's doing"
        );
        return Some(refusal(why).from_to(was, is));
    }
    let (room, was, is) = (there.added.topology?, there.vcpus, wanted.vcpus);
    let why = format!(
        "CPUs {was} -> {is}: their topology is laid out for {room}, which is not Kubitect's doing"
    );
    (room < is).then(|| refusal(why).from_to(was, is))
}

/// Why a machine of KVM is left as it is while its host offers none.
pub(super) fn without_kvm(wanted: &Domain, there: &DomainState) -> Option<Refusal> {
    let is_asked = |digest: &str| wanted.emulates_anew(digest, &there.virt);
    let asked = there
        .mark
        .as_ref()
        .is_none_or(|mark| is_asked(&mark.digest));
    (there.virt == "kvm" && wanted.virt == "qemu" && !asked).then(|| {
        let why = "it would have to start, and its host offers no KVM now";
        let instead = "see to /dev/kvm (the modules kvm_intel or kvm_amd), or have it emulated for good by `virtType: qemu`";
        Refusal::new(RefusalKind::Kvm, why, instead)
    })
}

fn words<'a>(disks: &[PathBuf], nics: impl Iterator<Item = &'a Nic>, added: &Added) -> Vec<String> {
    let disks = disks.iter().map(|disk| format!("disk {}", disk.display()));
    let nics = nics.map(|nic| format!("interface {}", nic.mac));
    let all = disks.chain(nics).chain(added.devices.iter().cloned());
    all.collect()
}
