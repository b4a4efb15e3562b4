//! Files of snapshots (`virsh snapshot-create-as --disk-only`) that lie in a cluster's pools: which are surely its own. Pure.

use kubitect_config::value::Label;

use crate::names::snapshot_of;
use crate::observe::{PoolState, VolumeState};

/// The files of snapshots of the cluster's disks in a pool, each with the disk: by their names, and by what lies under them.
pub(crate) fn snapshots<'p>(
    cluster: &Label,
    pool: &'p PoolState,
) -> impl Iterator<Item = (&'p VolumeState, &'p str)> {
    let cluster = cluster.clone();
    pool.volumes.iter().filter_map(move |volume| {
        let disk = snapshot_of(cluster.as_str(), &volume.name)?;
        let under = volume.backing.as_ref()?;
        let name = under.file_name()?.to_str()?;
        let is_over = name == disk || snapshot_of(cluster.as_str(), name) == Some(disk);
        let is_here = under.parent() == volume.path.parent();
        (is_over && is_here).then_some((volume, disk))
    })
}

/// Whether something lies over a volume that is no snapshot of the cluster's.
pub(crate) fn is_under_another(cluster: &Label, volume: &VolumeState, pools: &[PoolState]) -> bool {
    let mut over = pools
        .iter()
        .flat_map(|pool| &pool.volumes)
        .filter(|above| above.backing.as_ref() == Some(&volume.path));
    over.any(|above| snapshot_of(cluster.as_str(), &above.name).is_none())
}
