//! Pools on a connection: what makes one with its folder, and removes it with that.

use virt::error::Error as VirtError;

use super::lookup::found;
use super::{Libvirt, pool, volume};
use crate::observe::PoolState;
use crate::resource::Pool;

impl Libvirt {
    /// Defines a pool, makes its folder and starts it; whichever of it is missing.
    pub(super) fn make_pool(&self, pool: &Pool) -> Result<(), VirtError> {
        let defined = match self.find_pool(&pool.name)? {
            Some(defined) => defined,
            None => self
                .connected()
                .define_storage_pool_xml(&pool::to_xml(pool), 0)?,
        };
        // Last comes what a plan looks at: whether it is active.
        defined.set_autostart(true)?;
        if !defined.is_active()? {
            defined.build(0)?;
            defined.create(0)?;
        }
        Ok(())
    }

    /// Removes a pool, and its folder if that is empty; else why the folder stays.
    pub(super) fn drop_pool(&self, name: &str) -> Result<Option<String>, VirtError> {
        let Some(pool) = self.find_pool(name)? else {
            return Ok(None);
        };
        let mut stays = None;
        // Only an active pool tells what lies in it. One that can't be started has no folder.
        if pool.is_active()? || pool.create(0).is_ok() {
            pool.refresh(0)?;
            let left = pool.num_of_volumes()? > 0;
            pool.destroy()?;
            stays = if left {
                Some("something else lies in it".to_owned())
            } else {
                // This is an rmdir: what libvirt does not list, or appears meanwhile, keeps the folder.
                pool.delete(0).err().map(|error| error.message().to_owned())
            };
        }
        found(pool.undefine()).map(|_| stays)
    }
}

/// A pool as libvirt tells of it: its XML, whether it is active, and the XML of its volumes.
pub(super) fn pool_of(told: &(String, bool, Vec<String>)) -> Result<PoolState, roxmltree::Error> {
    let (xml, active, volumes) = told;
    let mut state = pool::from_xml(xml, *active)?;
    state.volumes = volumes
        .iter()
        .map(|xml| volume::from_xml(xml))
        .collect::<Result<_, _>>()?;
    Ok(state)
}
