//! Marks beside base images: which cluster has disks over one on which host. Hosts may share the folder, and none sees the disks of
//! the others.

use kubitect_config::value::{Label, Name};

use crate::change::Uses;
use crate::hypervisor::{Failure, Hypervisor};
use crate::names::{use_of, used};
use crate::resource::{BASE_POOL, Format, Volume};
use crate::state::PoolState;

/// The marks of use of an image, and whether each of them is this cluster's and goes.
fn uses<'p>(
    pool: &'p PoolState,
    image: &str,
    cluster: &Label,
    going: &Uses,
) -> impl Iterator<Item = (&'p str, bool)> {
    pool.volumes.iter().filter_map(move |volume| {
        let (of, by, host) = used(&volume.name)?;
        let goes = by == cluster.as_str() && going.go(host);
        (of == image).then_some((volume.name.as_str(), goes))
    })
}

/// Whether an image has a mark of use that stays.
pub(crate) fn is_used(pool: &PoolState, image: &str, cluster: &Label, going: &Uses) -> bool {
    uses(pool, image, cluster, going).any(|(_, goes)| !goes)
}

/// Whether an image has a mark of use that goes.
pub(crate) fn is_released(pool: &PoolState, image: &str, cluster: &Label, going: &Uses) -> bool {
    uses(pool, image, cluster, going).any(|(_, goes)| goes)
}

/// Removes the cluster's marks of use that go from an image.
pub(crate) fn release(
    hypervisor: &dyn Hypervisor,
    cluster: &Label,
    image: &str,
    going: &Uses,
) -> Result<(), Failure> {
    let Some(pool) = hypervisor.pool_state(BASE_POOL)? else {
        return Ok(());
    };
    for (mark, _) in uses(&pool, image, cluster, going).filter(|(_, goes)| *goes) {
        hypervisor.remove_volume(BASE_POOL, mark)?;
        fail::fail_point!("provision::halfway");
    }
    Ok(())
}

/// Says beside an image that disks of the cluster on this host lie over it, unless that is said.
pub(crate) fn mark_use(
    hypervisor: &dyn Hypervisor,
    image: &str,
    cluster: &Label,
    host: &Name,
) -> Result<(), Failure> {
    let name = use_of(image, cluster, host);
    match hypervisor.volume_state(BASE_POOL, &name)? {
        Some(_) => Ok(()),
        None => hypervisor.create_volume(&empty(&name)),
    }
}

/// A volume of the pool that is all in its name, or grows.
pub(crate) fn empty(name: &str) -> Volume {
    Volume {
        pool: BASE_POOL.to_owned(),
        name: name.to_owned(),
        capacity: 1,
        format: Format::Raw,
        backing: None,
    }
}
