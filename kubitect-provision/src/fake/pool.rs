//! Operations on pools in memory.

use std::collections::BTreeMap;

use super::{File, State};
use crate::observe::{PoolState, VolumeState};
use crate::resource::Pool;

impl State {
    /// Defines a pool, unless it exists.
    pub(super) fn define_pool(&mut self, pool: &Pool) {
        if self.host.pool(&pool.name).is_none() {
            self.host.pools.push(PoolState {
                name: pool.name.clone(),
                is_folder: true,
                path: Some(pool.path.clone()),
                active: false,
                available: 1 << 40,
                volumes: Vec::new(),
            });
        }
    }

    /// Defines a pool, makes its folder and starts it.
    pub(super) fn ensure_pool(&mut self, pool: &Pool) -> Result<(), String> {
        self.define_pool(pool);
        if let Some(existing) = self.pool_mut(&pool.name) {
            existing.active = true;
            let path = existing.path.clone().unwrap_or_default();
            self.folders.entry(path).or_default();
        }
        Ok(())
    }

    /// Starts a pool whose folder exists.
    pub(super) fn start_pool(&mut self, name: &str) -> Result<(), String> {
        let existing = self.pool_mut(name).ok_or(format!("no pool {name}"))?;
        let path = existing.path.clone().unwrap_or_default();
        if !self.folders.contains_key(&path) {
            return Err(format!("cannot open path '{}'", path.display()));
        }
        if let Some(existing) = self.pool_mut(name) {
            existing.active = true;
        }
        Ok(())
    }

    /// Stops a pool, if it exists.
    pub(super) fn stop_pool(&mut self, name: &str) {
        if let Some(pool) = self.pool_mut(name) {
            pool.active = false;
        }
    }

    /// Removes a pool, and its folder if that is empty; else returns why the folder stays.
    pub(super) fn remove_pool(&mut self, name: &str) -> Option<String> {
        let path = self.host.pool(name).and_then(|pool| pool.path.clone());
        self.host.pools.retain(|pool| pool.name != name);
        let path = path?;
        if !self.folders.get(&path)?.is_empty() {
            return Some("something else lies in it".to_owned());
        }
        self.folders.remove(&path);
        None
    }

    /// A pool, with its volumes if it is active.
    pub(super) fn with_volumes(&self, pool: &PoolState) -> PoolState {
        let path = pool.path.clone().unwrap_or_default();
        let files = self.folders.get(&path).filter(|_| pool.active);
        let volumes = files.into_iter().flatten();
        let volumes = volumes.map(|(name, file)| VolumeState {
            name: name.clone(),
            path: path.join(name),
            format: file.format.clone(),
            capacity: file.capacity,
            allocation: file.allocation,
            physical: Some(file.bytes.len() as u64),
            backing: file.backing.clone(),
        });
        PoolState {
            volumes: volumes.collect(),
            ..pool.clone()
        }
    }

    pub(super) fn folder(&mut self, pool: &str) -> Result<&mut BTreeMap<String, File>, String> {
        let found = self.host.pool(pool).ok_or(format!("no pool {pool}"))?;
        if !found.active {
            return Err(format!("pool {pool} is not active"));
        }
        let path = found.path.clone().unwrap_or_default();
        let folder = self.folders.get_mut(&path);
        folder.ok_or(format!("no folder {}", path.display()))
    }

    pub(super) fn pool_mut(&mut self, name: &str) -> Option<&mut PoolState> {
        self.host.pools.iter_mut().find(|pool| pool.name == name)
    }
}
