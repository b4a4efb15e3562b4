//! [`VolumeUsers`]: the machines that use a volume, as a disk or as the backing file of one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::state::{DomainState, PoolState, VolumeState};

/// The machines of a host, and which of its volumes are overlays of which.
pub(crate) struct VolumeUsers<'a> {
    domains: &'a [DomainState],
    /// For each path, the volumes whose backing file it is, with the names of their pools.
    overlays: BTreeMap<&'a Path, Vec<(&'a str, &'a VolumeState)>>,
}

impl<'a> VolumeUsers<'a> {
    /// From the observed pools and machines of a host.
    pub(crate) fn new(pools: &'a [PoolState], domains: &'a [DomainState]) -> Self {
        let mut overlays: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pool in pools {
            for volume in &pool.volumes {
                if let Some(backing) = &volume.backing {
                    let above = overlays.entry(backing.as_path()).or_default();
                    above.push((pool.name.as_str(), volume));
                }
            }
        }
        Self { domains, overlays }
    }

    /// The machines that have this volume of that pool, or an overlay of it, as a disk: a snapshot, or a linked clone.
    pub(crate) fn of(&self, pool: &str, volume: &VolumeState) -> Vec<&'a DomainState> {
        let mut layers = vec![(pool, volume)];
        let mut next = 0;
        while let Some((_, volume)) = layers.get(next) {
            let above = self.overlays.get(volume.path.as_path());
            // Each volume once, even if backing files form a cycle.
            let new: Vec<_> = above
                .into_iter()
                .flatten()
                .filter(|(_, above)| layers.iter().all(|(_, layer)| layer.path != above.path))
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
