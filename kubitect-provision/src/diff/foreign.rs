//! Disks that a machine has and should not have: another machine's, moved ones, and those that a person or program attached.

use std::path::{Path, PathBuf};

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::desired::Machine;
use crate::names::is_own_volume;
use crate::observe::DomainState;
use crate::removal::own_pools;

impl<'a> HostDiff<'a> {
    /// The other machine that uses the disks of this one, where this one does not exist.
    pub(super) fn other_user_of_disks(&self, machine: &Machine) -> Option<&'a str> {
        if self.observed.domain(machine.domain.name.as_str()).is_some() {
            return None;
        }
        let has = |other: &&DomainState| {
            let mut disks = machine.domain.disks.iter();
            disks.any(|disk| other.all_disks().any(|own| *own == disk.path))
        };
        let mut domains = self.observed.domains.iter();
        Some(domains.find(has)?.name.as_str())
    }

    /// Why the machine's disks can't become the desired ones: one lies in another pool, or a foreign disk took the place of one, as
    /// after a snapshot. To attach the desired disk then could lose what was written since.
    pub(super) fn disk_refusal(
        &self,
        machine: &Machine,
        observed: &DomainState,
    ) -> Option<Refusal> {
        for volume in &machine.data {
            let is_desired =
                |path: &&PathBuf| machine.domain.disks.iter().any(|d| d.path == **path);
            let moved = observed
                .all_disks()
                .filter(|path| !is_desired(path))
                .find(|path| path.ends_with(&volume.name));
            if let Some(path) = moved {
                let why = format!(
                    "its disk {} lies in {}, and disks are not moved between pools",
                    volume.name,
                    path.parent().unwrap_or(Path::new("/")).display()
                );
                let instead = "add a disk of another name in the new pool, copy what is on it, then remove this one";
                return Some(Refusal::new(RefusalKind::Pool, why, instead));
            }
        }
        let foreign_disks = self.foreign_disks(machine, observed);
        let own = own_pools(self.cluster, self.observed);
        let is_own = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut pools = own.iter();
            is_own_volume(self.cluster.as_str(), &name)
                && pools.any(|pool| pool.path.as_deref() == path.parent())
        };
        for foreign in &foreign_disks {
            let mut backing = self.backing_chain(foreign).into_iter();
            if let Some(own) = backing.find(|path| is_own(path)) {
                return Some(replaced_disk(foreign, own));
            }
        }
        let missing = machine.domain.disks.iter();
        let mut missing = missing.filter(|disk| !observed.disks.contains(&disk.path));
        let (missing, foreign) = missing.find_map(|disk| {
            let is_main = disk.path.ends_with(&machine.main.name);
            let own = disk.path.file_name().unwrap_or_default();
            // A foreign disk took a data disk's place only if its file name begins with the data disk's, or if it lies in the
            // same folder. Any other has nothing to do with it: one was detached, the other attached. For a missing main disk,
            // any foreign disk counts.
            let replaces = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                is_main
                    || name.starts_with(&*own.to_string_lossy())
                    || path.parent() == disk.path.parent()
            };
            Some((disk, foreign_disks.iter().find(replaces)?))
        })?;
        Some(replaced_disk(foreign, &missing.path))
    }

    /// The paths of the volumes under a volume, its backing file first, as far as the host's pools list them.
    fn backing_chain(&self, path: &Path) -> Vec<&'a Path> {
        let all = || self.observed.pools.iter().flat_map(|pool| &pool.volumes);
        let below = |path: &Path| {
            let mut volumes = all();
            volumes.find(|it| it.path == path)?.backing.as_deref()
        };
        let mut found: Vec<&Path> = Vec::new();
        let mut next = below(path);
        while let Some(path) = next.filter(|path| !found.contains(path)) {
            found.push(path);
            next = below(path);
        }
        found
    }

    /// The disks of a machine that are neither desired nor data disks that Kubitect made for it.
    pub(super) fn foreign_disks(&self, machine: &Machine, observed: &DomainState) -> Vec<PathBuf> {
        let surplus = self.surplus_disks(machine, observed);
        let is_foreign = |path: &&PathBuf| {
            !machine.domain.disks.iter().any(|disk| disk.path == **path) && !surplus.contains(*path)
        };
        let mut foreign: Vec<_> = observed.all_disks().filter(is_foreign).cloned().collect();
        foreign.sort();
        foreign.dedup();
        foreign
    }

    /// The data disks that Kubitect made for a machine and that are no longer desired.
    pub(super) fn surplus_disks(&self, machine: &Machine, observed: &DomainState) -> Vec<PathBuf> {
        let prefix = format!("{}-", machine.domain.name);
        let pools = own_pools(self.cluster, self.observed);
        let is_surplus = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !machine.domain.disks.iter().any(|disk| disk.path == **path)
                && name.starts_with(&prefix)
                && name.ends_with("-data-disk")
                && pools
                    .iter()
                    .any(|pool| pool.path.as_deref() == path.parent())
        };
        let mut surplus: Vec<_> = observed.all_disks().filter(is_surplus).cloned().collect();
        surplus.sort();
        surplus.dedup();
        surplus
    }
}

/// The refusal of a machine that has a foreign disk in the place of its own one, or as an overlay on it.
fn replaced_disk(foreign: &Path, own: &Path) -> Refusal {
    let (foreign, own) = (foreign.display(), own.display());
    let why = format!("it has {foreign} where {own} was, as after a snapshot");
    let instead = "bring it back first (virsh blockcommit, or detach-disk and attach-disk)";
    Refusal::new(RefusalKind::DiskReplaced, why, instead).from_to(foreign, own)
}
