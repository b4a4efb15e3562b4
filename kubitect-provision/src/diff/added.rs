//! What a person or another program added to a machine. It stays; where a change would remove it, the plan says so or refuses.

use std::path::PathBuf;

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::change::Change;
use crate::desired::Machine;
use crate::observe::{Added, DomainState, Nic};
use crate::resource::Domain;

impl HostDiff<'_> {
    /// What was added to a machine and is lost when it is recreated, as an addition to the change's details.
    pub(super) fn lost_additions(&self, machine: &Machine) -> String {
        let Some(observed) = self.observed.domain(machine.domain.name.as_str()) else {
            return String::new();
        };
        let disks = self.foreign_disks(machine, observed);
        let nics = observed.nic.iter().chain(&observed.added.nics);
        let nics = nics.filter(|nic| nic.mac != machine.domain.mac);
        let mut lost = texts(&disks, nics, &observed.added);
        lost.extend_from_slice(&observed.added.settings);
        match lost.is_empty() {
            true => String::new(),
            false => format!("; without what was added to it: {}", lost.join(", ")),
        }
    }
}

/// Adds to a restart what is lost with it: devices that are in the running machine and not in its definition.
pub(super) fn report_lost(change: &mut Change, lost: &[String]) {
    if !lost.is_empty() {
        let all = lost.join(", ");
        change.details += &format!("; with the restart goes what it has only while it runs: {all}");
        change.loses = true;
    }
}

/// The devices that a machine has while it runs and not in its definition. Its own disks, present and former, are not listed: the plan
/// has changes of their own for them.
pub(super) fn live_only(desired: &Domain, observed: &DomainState) -> Vec<String> {
    let Some(live) = &observed.live else {
        return Vec::new();
    };
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        desired.disks.iter().any(|disk| disk.path == *path)
            || name.starts_with(&format!("{}-", desired.name))
    };
    let disks = live.disks.iter();
    let disks: Vec<_> = disks
        .filter(|path| !observed.disks.contains(path) && !own(path))
        .cloned()
        .collect();
    let nics = live.nic.iter().chain(&live.added.nics);
    let nics = nics.filter(|nic| nic.mac != desired.mac && observed.nic_of(nic.mac).is_none());
    let devices = live.added.devices.iter();
    let devices = devices.filter(|device| !observed.added.devices.contains(device));
    let added = Added {
        devices: devices.cloned().collect(),
        ..Added::default()
    };
    texts(&disks, nics, &added)
}

/// Why a machine can't get the desired size: somebody has laid out its NUMA cells or processor topology for the present one.
pub(super) fn fixed_layout(desired: &Domain, observed: &DomainState) -> Option<Refusal> {
    let refusal = |why: String| {
        let by_hand = "set both by hand (virsh edit) and apply again, or put the number back";
        Refusal::new(RefusalKind::Machine, why, by_hand)
    };
    let (was, is) = (observed.memory_mib, desired.memory_mib);
    if observed.added.cells && was != is {
        let why = format!(
            "memory {was} MiB -> {is} MiB: it is laid out in NUMA cells, which is not Kubitect's doing"
        );
        return Some(refusal(why).from_to(was, is));
    }
    let (room, was, is) = (observed.added.topology?, observed.vcpus, desired.vcpus);
    let why = format!(
        "CPUs {was} -> {is}: their topology is laid out for {room}, which is not Kubitect's doing"
    );
    (room < is).then(|| refusal(why).from_to(was, is))
}

/// Why a machine of KVM is neither started nor changed while its host offers no KVM: its new definition would make it an emulated one,
/// which nobody has asked for.
pub(super) fn without_kvm(desired: &Domain, observed: &DomainState) -> Option<Refusal> {
    let changes = |digest: &str| desired.changes_emulation(digest, &observed.virt);
    let is_asked = observed
        .mark
        .as_ref()
        .is_none_or(|mark| changes(&mark.digest));
    (observed.virt == "kvm" && desired.virt == "qemu" && !is_asked).then(|| {
        let why = "it would have to start, and its host offers no KVM now";
        let instead = "see to /dev/kvm (the modules kvm_intel or kvm_amd), or have it emulated for good by `virtType: qemu`";
        Refusal::new(RefusalKind::Kvm, why, instead)
    })
}

fn texts<'a>(disks: &[PathBuf], nics: impl Iterator<Item = &'a Nic>, added: &Added) -> Vec<String> {
    let disks = disks.iter().map(|disk| format!("disk {}", disk.display()));
    let nics = nics.map(|nic| format!("interface {}", nic.mac));
    let all = disks.chain(nics).chain(added.devices.iter().cloned());
    all.collect()
}
