//! [`Way`]: how a base image gets to a host, and whether another host of the run has the same folder.

use kubitect_config::value::Name;

use crate::change::ImageSpec;
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::image_use;
use crate::names::use_of;
use crate::observe::PoolState;
use crate::resource::BASE_POOL;
use crate::uploads::Uploads;

/// How an image gets to a host.
pub(crate) struct Way<'a> {
    /// The host.
    pub host: &'a Name,
    /// Its libvirt.
    pub hypervisor: &'a dyn Hypervisor,
    /// What other hosts upload meanwhile.
    pub uploads: &'a Uploads,
    /// Told so many bytes of so many; says whether to go on.
    pub progress: &'a dyn Fn(u64, u64) -> bool,
    /// Whether nothing more is wanted.
    pub stopped: &'a dyn Fn() -> bool,
}

impl Way<'_> {
    /// An image that is not the one that is meant is used by nobody.
    pub(crate) fn give_up(&self, spec: &ImageSpec, volume: &str, error: &Error) {
        let mark = use_of(volume, &spec.cluster, self.host);
        if matches!(error, Error::Checksum { .. })
            && let Err(failure) = self.hypervisor.remove_volume(BASE_POOL, &mark)
        {
            tracing::debug!(error = %failure.source, "mark of use not removed");
        }
    }

    /// Which of these hosts, which upload to volumes of this name, has the same folder: its mark of use lies beside. This host's own
    /// lies there by then.
    pub(crate) fn shares(
        &self,
        spec: &ImageSpec,
        volume: &str,
        others: &[Name],
    ) -> Result<Option<Name>, Error> {
        let look = || -> Result<Option<PoolState>, Failure> {
            image_use::mark_use(self.hypervisor, volume, &spec.cluster, self.host)?;
            fail::fail_point!("provision::halfway");
            if others.is_empty() {
                return Ok(None);
            }
            self.hypervisor.refresh_pool(BASE_POOL)?;
            self.hypervisor.pool_state(BASE_POOL)
        };
        let Some(pool) = look().map_err(|failure| failure.on(self.host))? else {
            return Ok(None);
        };
        let mut others = others.iter();
        let shared = others.find(|other| {
            let mark = use_of(volume, &spec.cluster, other);
            pool.volume(&mark).is_some()
        });
        Ok(shared.cloned())
    }
}
