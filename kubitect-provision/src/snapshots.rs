//! Which files in a pool are external snapshots of a cluster's disks (`virsh snapshot-create-as --disk-only`). Pure.

use kubitect_config::value::Label;

use crate::names::disk_of_snapshot;
use crate::observe::{PoolState, VolumeState};

/// The snapshot files of the cluster's disks in a pool, each with the name of the disk. Both have to fit: the name of the file,
/// and its backing file, which is the disk or another snapshot of it in the same folder.
pub(crate) fn snapshots<'p>(
    cluster: &Label,
    pool: &'p PoolState,
) -> impl Iterator<Item = (&'p VolumeState, &'p str)> {
    let cluster = cluster.clone();
    pool.volumes.iter().filter_map(move |volume| {
        let disk = disk_of_snapshot(cluster.as_str(), &volume.name)?;
        let backing = volume.backing.as_ref()?;
        let name = backing.file_name()?.to_str()?;
        let is_over_disk = name == disk || disk_of_snapshot(cluster.as_str(), name) == Some(disk);
        let is_same_folder = backing.parent() == volume.path.parent();
        (is_over_disk && is_same_folder).then_some((volume, disk))
    })
}

/// Whether a volume is the backing file of one that is no snapshot of the cluster's.
pub(crate) fn is_under_another(cluster: &Label, volume: &VolumeState, pools: &[PoolState]) -> bool {
    let mut over = pools
        .iter()
        .flat_map(|pool| &pool.volumes)
        .filter(|above| above.backing.as_ref() == Some(&volume.path));
    over.any(|above| disk_of_snapshot(cluster.as_str(), &above.name).is_none())
}
