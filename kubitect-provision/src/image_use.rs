//! Use marks of base images: which cluster has overlays on an image, on which host. Hosts may share the folder, and no host lists the
//! disks of another.

use kubitect_config::value::{Label, Name};

use crate::change::ReleasedUses;
use crate::hypervisor::{Failure, Hypervisor};
use crate::names::{parse_use_mark, use_mark};
use crate::resource::{BASE_POOL, Format, Volume};
use crate::state::PoolState;

/// The use marks of an image, each with whether it is this cluster's and among the released ones.
fn uses<'p>(
    pool: &'p PoolState,
    image: &str,
    cluster: &Label,
    released: &ReleasedUses,
) -> impl Iterator<Item = (&'p str, bool)> {
    pool.volumes.iter().filter_map(move |volume| {
        let (of, by, host) = parse_use_mark(&volume.name)?;
        let is_released = by == cluster.as_str() && released.includes(host);
        (of == image).then_some((volume.name.as_str(), is_released))
    })
}

/// Whether an image has a use mark that is not released.
pub(crate) fn is_used(
    pool: &PoolState,
    image: &str,
    cluster: &Label,
    released: &ReleasedUses,
) -> bool {
    uses(pool, image, cluster, released).any(|(_, is_released)| !is_released)
}

/// Whether an image has a use mark that is released.
pub(crate) fn is_released(
    pool: &PoolState,
    image: &str,
    cluster: &Label,
    released: &ReleasedUses,
) -> bool {
    uses(pool, image, cluster, released).any(|(_, is_released)| is_released)
}

/// Removes the released use marks of the cluster from an image.
pub(crate) fn release(
    hypervisor: &dyn Hypervisor,
    cluster: &Label,
    image: &str,
    released: &ReleasedUses,
) -> Result<(), Failure> {
    let Some(pool) = hypervisor.pool_state(BASE_POOL)? else {
        return Ok(());
    };
    for (mark, _) in uses(&pool, image, cluster, released).filter(|(_, is_released)| *is_released) {
        hypervisor.remove_volume(BASE_POOL, mark)?;
        fail::fail_point!("provision::halfway");
    }
    Ok(())
}

/// Adds the use mark of the cluster on this host to an image, unless it has it.
pub(crate) fn add_use_mark(
    hypervisor: &dyn Hypervisor,
    image: &str,
    cluster: &Label,
    host: &Name,
) -> Result<(), Failure> {
    let name = use_mark(image, cluster, host);
    match hypervisor.volume_state(BASE_POOL, &name)? {
        Some(_) => Ok(()),
        None => hypervisor.create_volume(&empty(&name)),
    }
}

/// An empty volume in the pool of base images: a mark, or an image that grows as it is uploaded.
pub(crate) fn empty(name: &str) -> Volume {
    Volume {
        pool: BASE_POOL.to_owned(),
        name: name.to_owned(),
        capacity: 1,
        format: Format::Raw,
        backing: None,
    }
}
