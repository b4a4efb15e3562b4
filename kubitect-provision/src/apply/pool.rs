//! Pools and images that nobody needs any more.

use super::HostApply;
use crate::base;
use crate::change::{Spared, Uses};
use crate::error::Error;
use crate::event::Outcome;
use crate::hypervisor::Failure;
use crate::names::{self, is_log, is_own_volume, log_of};
use crate::observe::{PoolState, VolumeState};
use crate::resource::{BASE_POOL, Pool};
use crate::snapshots::snapshots;
use crate::users::Users;

impl HostApply<'_> {
    /// Starts a pool that holds disks of machines, unless what is in its place holds none of them.
    pub(super) fn start_pool(&self, pool: &Pool) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        let place = pool.path.display();
        verbs.start_pool(&pool.name).map_err(|failure| {
            let why = format!(
                "{}; disks of machines lie in {place}: mount its file system, or make the folder if they are lost for good",
                failure.source
            );
            Failure::new(failure.action, why).on(self.name)
        })?;
        fail::fail_point!("provision::halfway");
        let look = || -> Result<bool, Failure> {
            let pools = verbs.pools()?;
            let there = pools.iter().find(|there| there.name == pool.name);
            let domains = verbs.domains()?;
            Ok(there.is_some_and(|there| there.missing(self.cluster, &domains) > 0))
        };
        if !look().map_err(self.on_host())? {
            return Ok(Outcome::Done);
        }
        verbs.stop_pool(&pool.name).map_err(self.on_host())?;
        let why = format!(
            "{place} holds no disk of those that machines have there, as where a file system is not mounted: mount it; if the \
             disks are lost for good, say so by virsh pool-start {}, and apply again",
            pool.name
        );
        Err(Failure::new(format!("start pool {}", pool.name), why).on(self.name))
    }

    pub(super) fn remove_pool(
        &self,
        name: &str,
        with_disks: bool,
        spare: &Spared,
    ) -> Result<Outcome, Failure> {
        let verbs = self.hypervisor;
        let find = || -> Result<Option<PoolState>, Failure> {
            Ok(verbs.pools()?.into_iter().find(|pool| pool.name == name))
        };
        let Some(mut pool) = find()? else {
            return Ok(Outcome::Done);
        };
        // One that was stopped since the plan was made hid the disks, which the plan named, when their turn came.
        let with_disks = with_disks || !pool.active;
        if !pool.active
            && let Err(failure) = verbs.start_pool(name)
        {
            // What a run left that was killed before it had made the folder, or the folder is not there any more.
            let stays = verbs.remove_pool(name)?;
            let why = stays.unwrap_or_else(|| failure.source.to_string());
            return Ok(pool_removed(Some(why)));
        }
        // Consoles were written to until the machines went.
        if let Some(outcome) = self.look_again(name)? {
            return Ok(outcome);
        }
        if let Some(now) = find()? {
            pool = now;
        }
        // The cluster's machines are gone: a disk that a machine still has is another's by now.
        let (pools, domains) = match with_disks {
            true => (verbs.pools()?, verbs.domains()?),
            false => (Vec::new(), Vec::new()),
        };
        let users = Users::new(&pools, &domains);
        let free =
            |volume: &VolumeState| !spare.has(&volume.name) && users.of(name, volume).is_empty();
        // A log goes unless its machine is on another host.
        let is_over = |volume: &VolumeState| {
            let node = log_of(&volume.name);
            node.is_some_and(|node| !spare.has(&format!("{node}-seed")))
        };
        // With the disks go the files of their snapshots.
        let snapshots = snapshots(self.cluster, &pool);
        let snapshots = snapshots.filter(|(_, disk)| with_disks && !spare.has(disk));
        let snapshots = snapshots.map(|(volume, _)| volume).filter(|it| free(it));
        let own = pool.volumes.iter().filter(|volume| {
            is_own_volume(self.cluster.as_str(), &volume.name)
                && (is_over(volume) || (with_disks && !is_log(&volume.name) && free(volume)))
        });
        let ours: Vec<_> = snapshots.chain(own).collect();
        for volume in ours {
            verbs.remove_volume(name, &volume.name)?;
            fail::fail_point!("provision::halfway");
        }
        verbs.remove_pool(name).map(pool_removed)
    }

    /// Has libvirt look into a pool's folder again. Where it can't, it stops the pool: its folder is gone, as where another host that
    /// shares it has removed it. Then the pool goes, and this is how that ended.
    fn look_again(&self, name: &str) -> Result<Option<Outcome>, Failure> {
        let verbs = self.hypervisor;
        let Err(failure) = verbs.refresh_pool(name) else {
            return Ok(None);
        };
        if verbs.pool_state(name)?.is_some_and(|pool| pool.active) {
            return Err(failure);
        }
        verbs.remove_pool(name)?;
        let why = format!("its folder can't be looked into ({})", failure.source);
        Ok(Some(Outcome::Warned(why)))
    }

    pub(super) fn remove_image(&self, volume: &str, uses: &Uses) -> Result<Outcome, Error> {
        let removed = base::remove(self.hypervisor.as_ref(), self.cluster, volume, uses);
        let stays = removed.map_err(self.on_host())?;
        Ok(stays.map_or(Outcome::Done, Outcome::Skipped))
    }

    pub(super) fn remove_base_pool(&self, uses: &Uses) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        let work = || -> Result<Outcome, Failure> {
            let find = || -> Result<Option<PoolState>, Failure> {
                Ok(verbs
                    .pools()?
                    .into_iter()
                    .find(|pool| pool.name == BASE_POOL))
            };
            let Some(pool) = find()? else {
                return Ok(Outcome::Done);
            };
            if let (false, Some(path)) = (pool.active, &pool.path) {
                verbs.ensure_pool(&Pool {
                    name: BASE_POOL.to_owned(),
                    path: path.clone(),
                })?;
            }
            if let Some(outcome) = self.look_again(BASE_POOL)? {
                return Ok(outcome);
            }
            let pools = verbs.pools()?;
            let Some(pool) = pools.iter().find(|pool| pool.name == BASE_POOL) else {
                return Ok(Outcome::Done);
            };
            for image in base::removable(pool, &pools, self.cluster) {
                base::remove(verbs.as_ref(), self.cluster, &image.name, uses)?;
                fail::fail_point!("provision::halfway");
            }
            for marker in &pool.volumes {
                if names::beside(&marker.name).is_some_and(|image| pool.volume(image).is_none()) {
                    verbs.remove_volume(BASE_POOL, &marker.name)?;
                }
            }
            if find()?.is_some_and(|pool| !pool.volumes.is_empty()) {
                return Ok(Outcome::Skipped("something is left in it".to_owned()));
            }
            verbs.remove_pool(BASE_POOL).map(pool_removed)
        };
        work().map_err(self.on_host())
    }
}

/// How the removal of a pool ended whose folder stays for this reason, if it does.
fn pool_removed(stays: Option<String>) -> Outcome {
    stays.map_or(Outcome::Done, |why| {
        Outcome::Warned(format!("its folder stays ({why})"))
    })
}
