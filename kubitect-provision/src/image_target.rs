//! [`ImageTarget`]: the host that a base image is uploaded to, and whether another host of the run shares its folder.

use kubitect_config::value::Name;

use crate::change::ImageSpec;
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::image_use;
use crate::names::use_mark;
use crate::observe::PoolState;
use crate::resource::BASE_POOL;
use crate::uploads::Uploads;

/// A host that a base image is uploaded to.
pub(crate) struct ImageTarget<'a> {
    /// The host.
    pub host: &'a Name,
    /// Its libvirt.
    pub hypervisor: &'a dyn Hypervisor,
    /// The uploads of all hosts of this run.
    pub uploads: &'a Uploads,
    /// Gets the uploaded and the total bytes; returns whether to go on.
    pub progress: &'a dyn Fn(u64, u64) -> bool,
    /// Whether the run is to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

impl ImageTarget<'_> {
    /// Removes the use mark of this host after a failed upload, if the reason is a wrong checksum: then no disk will use the
    /// image.
    pub(crate) fn remove_use_mark(&self, spec: &ImageSpec, volume: &str, error: &Error) {
        let mark = use_mark(volume, &spec.cluster, self.host);
        if matches!(error, Error::Checksum { .. })
            && let Err(failure) = self.hypervisor.remove_volume(BASE_POOL, &mark)
        {
            tracing::debug!(error = %failure.source, "mark of use not removed");
        }
    }

    /// Which of these hosts, which now upload a volume of this name, has the same folder: the folder holds its use mark. This
    /// host's own mark is added first, so that of two such hosts the later one sees the other's.
    pub(crate) fn shared_with(
        &self,
        spec: &ImageSpec,
        volume: &str,
        others: &[Name],
    ) -> Result<Option<Name>, Error> {
        let pool_with_mark = || -> Result<Option<PoolState>, Failure> {
            image_use::add_use_mark(self.hypervisor, volume, &spec.cluster, self.host)?;
            fail::fail_point!("provision::halfway");
            if others.is_empty() {
                return Ok(None);
            }
            self.hypervisor.refresh_pool(BASE_POOL)?;
            self.hypervisor.pool_state(BASE_POOL)
        };
        let Some(pool) = pool_with_mark().map_err(|failure| failure.on(self.host))? else {
            return Ok(None);
        };
        let mut others = others.iter();
        let shared = others.find(|other| {
            let mark = use_mark(volume, &spec.cluster, other);
            pool.volume(&mark).is_some()
        });
        Ok(shared.cloned())
    }
}
