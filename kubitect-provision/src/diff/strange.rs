//! Disks that are not where they belong: another machine's, moved, or none of ours.

use std::path::{Path, PathBuf};

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::desired::Machine;
use crate::names::is_own_volume;
use crate::observe::DomainState;
use crate::removal::own_pools;

impl<'a> HostDiff<'a> {
    /// The other machine that has the disks of this one, which does not exist.
    pub(super) fn user_of_disks(&self, machine: &Machine) -> Option<&'a str> {
        if self.there.domain(machine.domain.name.as_str()).is_some() {
            return None;
        }
        let has = |there: &&DomainState| {
            let mut disks = machine.domain.disks.iter();
            disks.any(|disk| there.all_disks().any(|own| *own == disk.path))
        };
        let mut domains = self.there.domains.iter();
        Some(domains.find(has)?.name.as_str())
    }

    /// Why the machine's disks can't be brought in order: something else took the place of one.
    pub(super) fn rearranged(&self, machine: &Machine, there: &DomainState) -> Option<Refusal> {
        for volume in &machine.data {
            let wanted = |path: &&PathBuf| machine.domain.disks.iter().any(|d| d.path == **path);
            let moved = there
                .all_disks()
                .filter(|path| !wanted(path))
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
        let strangers = self.strangers(machine, there);
        let own = own_pools(self.cluster, self.there);
        let is_own = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut pools = own.iter();
            is_own_volume(self.cluster.as_str(), &name)
                && pools.any(|pool| pool.path.as_deref() == path.parent())
        };
        for stranger in &strangers {
            if let Some(under) = self.under(stranger).into_iter().find(|path| is_own(path)) {
                return Some(replaced(stranger, under));
            }
        }
        let missing = machine.domain.disks.iter();
        let mut missing = missing.filter(|disk| !there.disks.contains(&disk.path));
        let (missing, stranger) = missing.find_map(|disk| {
            let is_main = disk.path.ends_with(&machine.main.name);
            let own = disk.path.file_name().unwrap_or_default();
            // Any other disk may be taken away, and something else attached, by itself.
            let replaces = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                is_main
                    || name.starts_with(&*own.to_string_lossy())
                    || path.parent() == disk.path.parent()
            };
            Some((disk, strangers.iter().find(replaces)?))
        })?;
        Some(replaced(stranger, &missing.path))
    }

    /// The paths of what lies under a volume, as far as the host's pools tell.
    fn under(&self, path: &Path) -> Vec<&'a Path> {
        let all = || self.there.pools.iter().flat_map(|pool| &pool.volumes);
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

    /// The disks of a machine that are neither wanted nor data disks which we made for it.
    pub(super) fn strangers(&self, machine: &Machine, there: &DomainState) -> Vec<PathBuf> {
        let extra = self.extra(machine, there);
        let is_strange = |path: &&PathBuf| {
            !machine.domain.disks.iter().any(|disk| disk.path == **path) && !extra.contains(*path)
        };
        let mut strangers: Vec<_> = there.all_disks().filter(is_strange).cloned().collect();
        strangers.sort();
        strangers.dedup();
        strangers
    }

    /// The data disks which we made for a machine and which are no longer wanted.
    pub(super) fn extra(&self, machine: &Machine, there: &DomainState) -> Vec<PathBuf> {
        let prefix = format!("{}-", machine.domain.name);
        let pools = own_pools(self.cluster, self.there);
        let is_extra = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !machine.domain.disks.iter().any(|disk| disk.path == **path)
                && name.starts_with(&prefix)
                && name.ends_with("-data-disk")
                && pools
                    .iter()
                    .any(|pool| pool.path.as_deref() == path.parent())
        };
        let mut extra: Vec<_> = there.all_disks().filter(is_extra).cloned().collect();
        extra.sort();
        extra.dedup();
        extra
    }
}

/// Why a machine's disks can't be brought in order that has this one in the place of, or over, that one.
fn replaced(stranger: &Path, own: &Path) -> Refusal {
    let (stranger, own) = (stranger.display(), own.display());
    let why = format!("it has {stranger} where {own} was, as after a snapshot");
    let instead = "bring it back first (virsh blockcommit, or detach-disk and attach-disk)";
    Refusal::new(RefusalKind::DiskReplaced, why, instead).from_to(stranger, own)
}
