//! [`Users`]: the machines that use a volume, as a disk or as what lies under one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::state::{DomainState, PoolState, VolumeState};

/// The machines of a host, and what of its volumes lies over what.
pub(crate) struct Users<'a> {
    domains: &'a [DomainState],
    /// The volumes over a path, with the names of their pools.
    over: BTreeMap<&'a Path, Vec<(&'a str, &'a VolumeState)>>,
}

impl<'a> Users<'a> {
    /// Of what was seen on a host.
    pub(crate) fn new(pools: &'a [PoolState], domains: &'a [DomainState]) -> Self {
        let mut over: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pool in pools {
            for volume in &pool.volumes {
                if let Some(backing) = &volume.backing {
                    let above = over.entry(backing.as_path()).or_default();
                    above.push((pool.name.as_str(), volume));
                }
            }
        }
        Self { domains, over }
    }

    /// The machines that have this volume of that pool as a disk, or something that lies over it: a snapshot, or a linked clone.
    pub(crate) fn of(&self, pool: &str, volume: &VolumeState) -> Vec<&'a DomainState> {
        let mut layers = vec![(pool, volume)];
        let mut next = 0;
        while let Some((_, volume)) = layers.get(next) {
            let above = self.over.get(volume.path.as_path());
            // Nothing lies over itself, whatever files say.
            let new: Vec<_> = above
                .into_iter()
                .flatten()
                .filter(|(_, above)| layers.iter().all(|(_, seen)| seen.path != above.path))
                .copied()
                .collect();
            layers.extend(new);
            next += 1;
        }
        let uses = |domain: &DomainState| {
            let mut layers = layers.iter();
            layers.any(|(pool, layer)| domain.uses(pool, layer))
        };
        self.domains.iter().filter(|domain| uses(domain)).collect()
    }
}
