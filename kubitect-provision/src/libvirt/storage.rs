//! Makes and removes pools with their folders.

use virt::error::Error as VirtError;

use super::lookup::if_exists;
use super::{Libvirt, pool, volume};
use crate::observe::PoolState;
use crate::resource::Pool;

impl Libvirt {
    /// Defines a pool, makes its folder and starts it: whatever of this is missing.
    pub(super) fn make_pool(&self, pool: &Pool) -> Result<(), VirtError> {
        let defined = match self.find_pool(&pool.name)? {
            Some(defined) => defined,
            None => self
                .connected()
                .define_storage_pool_xml(&pool::to_xml(pool), 0)?,
        };
        // The pool becomes active last: a plan looks at that, and so finds what was interrupted.
        defined.set_autostart(true)?;
        if !defined.is_active()? {
            defined.build(0)?;
            defined.create(0)?;
        }
        Ok(())
    }

    /// Removes a pool, and its folder if that is empty; else returns why the folder stays.
    pub(super) fn delete_pool(&self, name: &str) -> Result<Option<String>, VirtError> {
        let Some(pool) = self.find_pool(name)? else {
            return Ok(None);
        };
        let mut stays = None;
        // Only an active pool lists its volumes. One that can't be started has no folder.
        if pool.is_active()? || pool.create(0).is_ok() {
            pool.refresh(0)?;
            let left = pool.num_of_volumes()? > 0;
            pool.destroy()?;
            stays = if left {
                Some("something else lies in it".to_owned())
            } else {
                // This is an rmdir: it fails if the folder has a file that libvirt does not list, or that was made since.
                pool.delete(0).err().map(|error| error.message().to_owned())
            };
        }
        if_exists(pool.undefine()).map(|_| stays)
    }
}

/// The state of a pool, from its XML, whether it is active, and the XML of its volumes.
pub(super) fn pool_of(pool: &(String, bool, Vec<String>)) -> Result<PoolState, roxmltree::Error> {
    let (xml, active, volumes) = pool;
    let mut state = pool::from_xml(xml, *active)?;
    state.volumes = volumes
        .iter()
        .map(|xml| volume::from_xml(xml))
        .collect::<Result<_, _>>()?;
    Ok(state)
}
