//! Starts pools, and removes pools and base images that nothing needs any more.

use super::HostApply;
use crate::base;
use crate::change::{Protected, ReleasedUses};
use crate::error::Error;
use crate::event::Outcome;
use crate::hypervisor::Failure;
use crate::names::{self, is_log, is_own_volume, node_of_log};
use crate::observe::{PoolState, VolumeState};
use crate::resource::{BASE_POOL, Pool};
use crate::snapshots::snapshots;
use crate::volume_users::VolumeUsers;

impl HostApply<'_> {
    /// Starts a pool that holds disks of machines. Where none of these disks is in its folder, the pool is stopped again, with an error:
    /// then its file system is rather not mounted, and new disks would be made in the empty mount point.
    pub(super) fn start_pool(&self, pool: &Pool) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        let place = pool.path.display();
        hypervisor.start_pool(&pool.name).map_err(|failure| {
            let why = format!(
                "{}; disks of machines lie in {place}: mount its file system, or make the folder if they are lost for good",
                failure.source
            );
            Failure::new(failure.action, why).on(self.name)
        })?;
        fail::fail_point!("provision::halfway");
        let any_missing = || -> Result<bool, Failure> {
            let pools = hypervisor.pools()?;
            let observed = pools.iter().find(|observed| observed.name == pool.name);
            let domains = hypervisor.domains()?;
            Ok(observed.is_some_and(|observed| observed.missing(self.cluster, &domains) > 0))
        };
        if !any_missing().map_err(self.on_host())? {
            return Ok(Outcome::Done);
        }
        hypervisor.stop_pool(&pool.name).map_err(self.on_host())?;
        let why = format!(
            "{place} holds no disk of those that machines have there, as where a file system is not mounted: mount it; if the \
             disks are lost for good, say so by virsh pool-start {}, and apply again",
            pool.name
        );
        Err(Failure::new(format!("start pool {}", pool.name), why).on(self.name))
    }

    /// Removes a pool with the console logs in it, and with the cluster's disks if the plan could not list them.
    pub(super) fn remove_pool(
        &self,
        name: &str,
        with_disks: bool,
        protected: &Protected,
    ) -> Result<Outcome, Failure> {
        let hypervisor = self.hypervisor;
        let find = || -> Result<Option<PoolState>, Failure> {
            Ok(hypervisor
                .pools()?
                .into_iter()
                .find(|pool| pool.name == name))
        };
        let Some(mut pool) = find()? else {
            return Ok(Outcome::Done);
        };
        // A pool that was stopped after the plan was made has hidden its disks from the plan's own changes, so they are still there.
        let with_disks = with_disks || !pool.active;
        if !pool.active
            && let Err(failure) = hypervisor.start_pool(name)
        {
            // Its folder does not exist: a killed run had not made it yet, or somebody has removed it.
            let stays = hypervisor.remove_pool(name)?;
            let why = stays.unwrap_or_else(|| failure.source.to_string());
            return Ok(pool_removed(Some(why)));
        }
        // Consoles were written to until the machines were removed: libvirt has to list their files again.
        if let Some(outcome) = self.refresh_or_remove(name)? {
            return Ok(outcome);
        }
        if let Some(now) = find()? {
            pool = now;
        }
        // The cluster's machines are removed by now: a disk that a machine still uses is another program's, and stays.
        let (pools, domains) = match with_disks {
            true => (hypervisor.pools()?, hypervisor.domains()?),
            false => (Vec::new(), Vec::new()),
        };
        let users = VolumeUsers::new(&pools, &domains);
        let free = |volume: &VolumeState| {
            !protected.contains(&volume.name) && users.of(name, volume).is_empty()
        };
        // A log is removed unless its machine is on another host: hosts may share the folder.
        let is_old_log = |volume: &VolumeState| {
            let node = node_of_log(&volume.name);
            node.is_some_and(|node| !protected.contains(&format!("{node}-seed")))
        };
        // With the disks, the files of their snapshots are removed.
        let snapshots = snapshots(self.cluster, &pool);
        let snapshots = snapshots.filter(|(_, disk)| with_disks && !protected.contains(disk));
        let snapshots = snapshots.map(|(volume, _)| volume).filter(|it| free(it));
        let own = pool.volumes.iter().filter(|volume| {
            is_own_volume(self.cluster.as_str(), &volume.name)
                && (is_old_log(volume) || (with_disks && !is_log(&volume.name) && free(volume)))
        });
        let ours: Vec<_> = snapshots.chain(own).collect();
        for volume in ours {
            hypervisor.remove_volume(name, &volume.name)?;
            fail::fail_point!("provision::halfway");
        }
        hypervisor.remove_pool(name).map(pool_removed)
    }

    /// Refreshes a pool before it is removed. Where libvirt can't and stops the pool, its folder does not exist any more, as where another
    /// host that shares it has removed it: then the pool is removed, and the outcome of that is returned.
    fn refresh_or_remove(&self, name: &str) -> Result<Option<Outcome>, Failure> {
        let hypervisor = self.hypervisor;
        let Err(failure) = hypervisor.refresh_pool(name) else {
            return Ok(None);
        };
        if hypervisor.pool_state(name)?.is_some_and(|pool| pool.active) {
            return Err(failure);
        }
        hypervisor.remove_pool(name)?;
        let why = format!("its folder can't be looked into ({})", failure.source);
        Ok(Some(Outcome::Warned(why)))
    }

    pub(super) fn remove_image(&self, volume: &str, uses: &ReleasedUses) -> Result<Outcome, Error> {
        let removed = base::remove(self.hypervisor.as_ref(), self.cluster, volume, uses);
        let stays = removed.map_err(self.on_host())?;
        Ok(stays.map_or(Outcome::Done, Outcome::Skipped))
    }

    /// Removes the images that no cluster needs, what is left beside removed ones, and the pool of base images if it is empty then.
    pub(super) fn remove_base_pool(&self, uses: &ReleasedUses) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        let work = || -> Result<Outcome, Failure> {
            let find = || -> Result<Option<PoolState>, Failure> {
                Ok(hypervisor
                    .pools()?
                    .into_iter()
                    .find(|pool| pool.name == BASE_POOL))
            };
            let Some(pool) = find()? else {
                return Ok(Outcome::Done);
            };
            if let (false, Some(path)) = (pool.active, &pool.path) {
                hypervisor.ensure_pool(&Pool {
                    name: BASE_POOL.to_owned(),
                    path: path.clone(),
                })?;
            }
            if let Some(outcome) = self.refresh_or_remove(BASE_POOL)? {
                return Ok(outcome);
            }
            let pools = hypervisor.pools()?;
            let Some(pool) = pools.iter().find(|pool| pool.name == BASE_POOL) else {
                return Ok(Outcome::Done);
            };
            for image in base::removable(pool, &pools, self.cluster) {
                base::remove(hypervisor.as_ref(), self.cluster, &image.name, uses)?;
                fail::fail_point!("provision::halfway");
            }
            for marker in &pool.volumes {
                if names::owning_image(&marker.name)
                    .is_some_and(|image| pool.volume(image).is_none())
                {
                    hypervisor.remove_volume(BASE_POOL, &marker.name)?;
                }
            }
            if find()?.is_some_and(|pool| !pool.volumes.is_empty()) {
                return Ok(Outcome::Skipped("something is left in it".to_owned()));
            }
            hypervisor.remove_pool(BASE_POOL).map(pool_removed)
        };
        work().map_err(self.on_host())
    }
}

/// The outcome of a pool's removal, with the reason why its folder stays, if it does.
fn pool_removed(stays: Option<String>) -> Outcome {
    stays.map_or(Outcome::Done, |why| {
        Outcome::Warned(format!("its folder stays ({why})"))
    })
}
