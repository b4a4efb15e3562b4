//! Pools, and the base image for disks that have yet to be made.

use std::path::{Path, PathBuf};

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use super::disk::is_half_made;
use crate::base;
use crate::change::{Action, Kind, Step};
use crate::desired::{DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, PoolState};
use crate::removal::other_owner;
use crate::resource::{BASE_POOL, Pool};

impl HostDiff<'_> {
    /// Creates or starts a pool. With `path_matters`, one in another folder is refused; the pool of base images may be in any, since
    /// another cluster of the host may have made it.
    pub(super) fn pool(&mut self, desired: &Pool, path_matters: bool) -> Result<(), Error> {
        let Some(observed) = self.observed.pool(&desired.name) else {
            let other = self
                .observed
                .pools
                .iter()
                .find(|pool| pool.path.as_ref() == Some(&desired.path));
            if let Some(other) = other {
                let why = format!(
                    "its folder {} is the one wanted for {}",
                    desired.path.display(),
                    desired.name
                );
                return Err(self.foreign("pool", &other.name, why));
            }
            let details = desired.path.display().to_string();
            let step = Step::EnsurePool(desired.clone());
            self.push(Action::Create, Kind::Pool, &desired.name, details, step);
            return Ok(());
        };
        if !observed.is_folder || (path_matters && observed.path.as_ref() != Some(&desired.path)) {
            let place = observed
                .path
                .as_ref()
                .map_or("no folder".to_owned(), |p| p.display().to_string());
            let why = format!("it lies in {place}, not in {}", desired.path.display());
            if !self.holds_own_disks(observed) {
                return Err(self.foreign("pool", &desired.name, why));
            }
            let why = format!("{why}; disks of a living cluster are not moved");
            let instead = "put the old path back, or destroy the cluster and apply again";
            let refusal = Refusal::new(RefusalKind::Pool, why, instead)
                .from_to(place, desired.path.display());
            self.refuse(Action::Replace, Kind::Pool, &desired.name, refusal);
            return Ok(());
        }
        if let Some(owner) = other_owner(self.cluster, observed, self.observed) {
            let why = format!(
                "it holds disks of cluster {owner}, whose name and data pool make the same name; give the data pool \
                 another one"
            );
            return Err(self.foreign("pool", &desired.name, why));
        }
        if !observed.active {
            let pool = Pool {
                name: desired.name.clone(),
                path: observed
                    .path
                    .clone()
                    .unwrap_or_else(|| desired.path.clone()),
            };
            let step = match self.holds_own_disks(observed) {
                true => Step::StartPool(pool),
                false => Step::EnsurePool(pool),
            };
            self.push(Action::Start, Kind::Pool, &desired.name, "", step);
        }
        Ok(())
    }

    /// Refuses to replace the missing disks of a pool in which all disks are missing: then its file system is rather not mounted, and
    /// new, empty disks would hide that.
    pub(super) fn refuse_empty_pools(&mut self, desired: &DesiredHost) {
        for pool in &self.observed.pools {
            let disks = desired.machines.iter().flat_map(|machine| {
                let observed = self.observed.domain(machine.domain.name.as_str());
                let disks = machine.domain.disks.iter().map(|disk| &disk.path);
                disks.filter(move |path| {
                    observed.is_some_and(|observed| observed.disks.contains(path))
                })
            });
            let is_in_pool =
                |path: &PathBuf| path.parent().is_some() && path.parent() == pool.path.as_deref();
            // A single missing disk of a machine that runs is a lost one: while QEMU has it open, its file system can't be unmounted.
            let missing = pool.missing(self.cluster, &self.observed.domains);
            let runs =
                |domain: &DomainState| domain.live.is_some() && domain.all_disks().any(&is_in_pool);
            let is_lost = missing == 1 && self.observed.domains.iter().any(runs);
            if missing == 0 || is_lost || !disks.into_iter().any(is_in_pool) {
                continue;
            }
            let place = pool.path.as_deref().unwrap_or(Path::new("")).display();
            let what = match missing {
                1 => format!("the only disk that a machine has in {place} is"),
                _ => format!("all {missing} disks that machines have in {place} are"),
            };
            let why = format!("{what} missing, as where a file system is not mounted");
            let instead = "mount it; if what is missing is lost for good, say so by virsh undefine of the machines, or virsh \
                           detach-disk of data disks";
            let refusal = Refusal::new(RefusalKind::PoolEmpty, why, instead);
            self.refuse(Action::Replace, Kind::Pool, &pool.name, refusal);
        }
    }

    /// Whether a machine of the cluster has a disk in this pool.
    pub(super) fn holds_own_disks(&self, pool: &PoolState) -> bool {
        !pool
            .disks_of(self.cluster, &self.observed.domains)
            .is_empty()
    }

    /// Uploads the base image if a main disk has yet to be made and the host does not have the image verified.
    pub(super) fn image(&mut self, desired: &DesiredHost) -> Result<(), Error> {
        if !desired
            .machines
            .iter()
            .any(|machine| self.makes_main(machine))
        {
            return Ok(());
        }
        self.pool(&desired.image.pool, false)?;
        let verified = self
            .observed
            .pool(BASE_POOL)
            .map(base::verified)
            .unwrap_or_default();
        let sha256 = desired.image_sha256.as_ref();
        if !verified.iter().any(|image| sha256 == Some(&image.sha256)) {
            let details = "brought to the host and verified";
            let step = Step::CreateImage(desired.image.clone());
            self.push(
                Action::Create,
                Kind::Image,
                &desired.image.distro,
                details,
                step,
            );
        }
        Ok(())
    }

    fn makes_main(&self, machine: &Machine) -> bool {
        let main = &machine.main;
        self.retained_domain(machine).is_none()
            && self
                .observed
                .volume(&main.pool, &main.name)
                .is_none_or(|observed| is_half_made(observed, true))
    }
}
