//! Pools, and the base image under disks that have yet to be made.

use std::path::{Path, PathBuf};

use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use super::disk::half_made;
use crate::base;
use crate::change::{Action, Kind, Step};
use crate::desired::{DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, PoolState};
use crate::removal::rival;
use crate::resource::{BASE_POOL, Pool};

impl HostDiff<'_> {
    /// A pool; one that others share may lie elsewhere.
    pub(super) fn pool(&mut self, wanted: &Pool, place_matters: bool) -> Result<(), Error> {
        let Some(there) = self.there.pool(&wanted.name) else {
            let rival = self
                .there
                .pools
                .iter()
                .find(|pool| pool.path.as_ref() == Some(&wanted.path));
            if let Some(rival) = rival {
                let why = format!(
                    "its folder {} is the one wanted for {}",
                    wanted.path.display(),
                    wanted.name
                );
                return Err(self.foreign("pool", &rival.name, why));
            }
            let details = wanted.path.display().to_string();
            let step = Step::EnsurePool(wanted.clone());
            self.push(Action::Create, Kind::Pool, &wanted.name, details, step);
            return Ok(());
        };
        if !there.is_folder || (place_matters && there.path.as_ref() != Some(&wanted.path)) {
            let place = there
                .path
                .as_ref()
                .map_or("no folder".to_owned(), |p| p.display().to_string());
            let why = format!("it lies in {place}, not in {}", wanted.path.display());
            if !self.holds_our_disks(there) {
                return Err(self.foreign("pool", &wanted.name, why));
            }
            let why = format!("{why}; disks of a living cluster are not moved");
            let instead = "put the old path back, or destroy the cluster and apply again";
            let refusal =
                Refusal::new(RefusalKind::Pool, why, instead).from_to(place, wanted.path.display());
            self.refuse(Action::Replace, Kind::Pool, &wanted.name, refusal);
            return Ok(());
        }
        if let Some(rival) = rival(self.cluster, there, self.there) {
            let why = format!(
                "it holds disks of cluster {rival}, whose name and data pool make the same name; give the data pool \
                 another one"
            );
            return Err(self.foreign("pool", &wanted.name, why));
        }
        if !there.active {
            let pool = Pool {
                name: wanted.name.clone(),
                path: there.path.clone().unwrap_or_else(|| wanted.path.clone()),
            };
            let step = match self.holds_our_disks(there) {
                true => Step::StartPool(pool),
                false => Step::EnsurePool(pool),
            };
            self.push(Action::Start, Kind::Pool, &wanted.name, "", step);
        }
        Ok(())
    }

    /// Refuses to make anew what is missing in a pool in which all is missing.
    pub(super) fn hollow(&mut self, wanted: &DesiredHost) {
        for pool in &self.there.pools {
            let disks = wanted.machines.iter().flat_map(|machine| {
                let there = self.there.domain(machine.domain.name.as_str());
                let disks = machine.domain.disks.iter().map(|disk| &disk.path);
                disks.filter(move |path| there.is_some_and(|there| there.disks.contains(path)))
            });
            let concerns =
                |path: &PathBuf| path.parent().is_some() && path.parent() == pool.path.as_deref();
            // One lost disk is a lost disk, where its machine runs: its file system could not go under it.
            let missing = pool.missing(self.cluster, &self.there.domains);
            let runs =
                |domain: &DomainState| domain.live.is_some() && domain.all_disks().any(&concerns);
            let is_lost = missing == 1 && self.there.domains.iter().any(runs);
            if missing == 0 || is_lost || !disks.into_iter().any(concerns) {
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

    /// Whether a machine of ours has a disk in this pool.
    pub(super) fn holds_our_disks(&self, pool: &PoolState) -> bool {
        !pool.disks_of(self.cluster, &self.there.domains).is_empty()
    }

    /// The base image, if a main disk has yet to be made.
    pub(super) fn image(&mut self, wanted: &DesiredHost) -> Result<(), Error> {
        if !wanted
            .machines
            .iter()
            .any(|machine| self.makes_main(machine))
        {
            return Ok(());
        }
        self.pool(&wanted.image.pool, false)?;
        let whole = self
            .there
            .pool(BASE_POOL)
            .map(base::verified)
            .unwrap_or_default();
        let known = wanted.image_sha256.as_ref();
        if !whole.iter().any(|image| known == Some(&image.sha256)) {
            let details = "brought to the host and verified";
            let step = Step::CreateImage(wanted.image.clone());
            self.push(
                Action::Create,
                Kind::Image,
                &wanted.image.distro,
                details,
                step,
            );
        }
        Ok(())
    }

    fn makes_main(&self, machine: &Machine) -> bool {
        let main = &machine.main;
        self.kept(machine).is_none()
            && self
                .there
                .volume(&main.pool, &main.name)
                .is_none_or(|there| half_made(there, true))
    }
}
