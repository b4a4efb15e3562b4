//! Volumes: makes disks and seeds, and removes volumes that no machine uses.

use std::sync::PoisonError;

use super::lanes::BatchState;
use super::{HostApply, LocalImage};
use crate::base;
use crate::change::{Change, ImageSpec};
use crate::diff::disk::{is_whole_seed, is_written};
use crate::error::Error;
use crate::event::{Event, Outcome};
use crate::hypervisor::Failure;
use crate::image_target::ImageTarget;
use crate::names::node_of_log;
use crate::observe::VolumeState;
use crate::resource::{Backing, Format, Volume};
use crate::volume_users::VolumeUsers;
use kubitect_config::value::{Label, Name};

impl HostApply<'_> {
    fn local_image(&self) -> Result<&LocalImage, Error> {
        let missing = "there is no base image".to_owned();
        self.inputs
            .image
            .as_ref()
            .ok_or(Error::MissingInput { missing })
    }

    fn ensure_image(
        &self,
        change: &Change,
        spec: &ImageSpec,
    ) -> Result<(base::Verified, bool), Error> {
        let what = change.title();
        // Disks are made in parallel; the lock makes one of them upload the image, and the others wait.
        let _alone = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        let target = ImageTarget {
            host: self.name,
            hypervisor: self.hypervisor.as_ref(),
            uploads: self.uploads,
            progress: &|done, total| {
                (self.on_event)(Event::Progress {
                    what: what.clone(),
                    done,
                    total: Some(total),
                });
                // An upload may take minutes, so a cancel ends it; the next run begins it again.
                !(self.is_stopped)()
            },
            stopped: self.is_stopped,
        };
        base::ensure(&target, spec, self.local_image()?)
    }

    pub(super) fn create_image(&self, change: &Change, spec: &ImageSpec) -> Result<Outcome, Error> {
        let (_, uploaded) = self.ensure_image(change, spec)?;
        Ok(if uploaded {
            Outcome::Done
        } else {
            Outcome::Skipped("the host has it".to_owned())
        })
    }

    pub(super) fn create_volume(
        &self,
        change: &Change,
        volume: &Volume,
        overlay: Option<&ImageSpec>,
        replace: bool,
    ) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        let remove = || hypervisor.remove_volume(&volume.pool, &volume.name);
        if replace {
            remove().map_err(self.on_host())?;
            fail::fail_point!("provision::halfway");
        } else if let Some(existing) = self.volume_state(&volume.pool, &volume.name)? {
            // The plan could not list it: its pool was stopped or not defined.
            return match is_written(&existing) {
                true => Err(hidden_disk(self.name, &volume.name)),
                false => Ok(Outcome::Skipped("it exists already".to_owned())),
            };
        }
        let Some(spec) = overlay else {
            hypervisor.create_volume(volume).map_err(self.on_host())?;
            return Ok(Outcome::Done);
        };
        // Another cluster's destroy may remove the image between its check and the overlay: then both are made again.
        let mut attempts = 0..3;
        loop {
            let (image, _) = self.ensure_image(change, spec)?;
            fail::fail_point!("provision::halfway");
            let made = hypervisor.create_volume(&with_backing(volume, image.backing.clone()));
            let whole = base::is_whole(self.hypervisor.as_ref(), &image).map_err(self.on_host())?;
            let last = attempts.next().is_none();
            match made {
                Ok(()) if whole => return Ok(Outcome::Done),
                Ok(()) => remove().map_err(self.on_host())?,
                Err(failure) if whole || last => return Err(failure.on(self.name)),
                Err(_) => {}
            }
            if last {
                return Err(Error::Hypervisor {
                    host: self.name.to_string(),
                    action: format!("keep the image under {}", volume.name),
                    source: "another run removes it again and again".into(),
                });
            }
        }
    }

    fn volume_state(&self, pool: &str, volume: &str) -> Result<Option<VolumeState>, Error> {
        let existing = self.hypervisor.volume_state(pool, volume);
        existing.map_err(self.on_host())
    }

    pub(super) fn write_seed(
        &self,
        node: &Label,
        pool: &str,
        name: &str,
    ) -> Result<Outcome, Error> {
        let seed = self
            .inputs
            .seeds
            .get(node)
            .ok_or_else(|| Error::MissingInput {
                missing: format!("there is no seed for {node}"),
            })?;
        let length = seed.len() as u64;
        // It is made small and grows as it is written, so that its length shows whether all of it was written.
        let volume = Volume {
            pool: pool.to_owned(),
            name: name.to_owned(),
            capacity: 1,
            format: Format::Raw,
            backing: None,
        };
        let hypervisor = self.hypervisor;
        let main = format!("{node}-main-disk");
        let has_run = self
            .volume_state(pool, &main)?
            .as_ref()
            .is_some_and(is_written);
        let existing = self.volume_state(pool, name)?;
        if has_run && existing.as_ref().is_some_and(is_whole_seed) {
            // The machine was started with this seed, which holds its host key, and the plan could not list it.
            return Err(hidden_disk(self.name, &main));
        }
        let written = hypervisor.remove_volume(pool, name).and_then(|()| {
            fail::fail_point!("provision::halfway");
            hypervisor.create_volume(&volume)?;
            fail::fail_point!("provision::halfway");
            hypervisor.upload(pool, name, &mut seed.as_slice(), length)
        });
        written.map_err(self.on_host())?;
        Ok(Outcome::Done)
    }

    /// Removes a volume unless a machine uses it by now; of a console's log, all parts.
    pub(super) fn remove_volume(
        &self,
        pool: &str,
        volume: &str,
        state: &BatchState,
    ) -> Result<Outcome, Failure> {
        let hypervisor = self.hypervisor;
        if let Some(node) = node_of_log(volume) {
            return self.remove_log(pool, node);
        }
        let Some(found) = hypervisor.volume_state(pool, volume)? else {
            return Ok(Outcome::Done);
        };
        let host = state.read(hypervisor.as_ref())?;
        let users = VolumeUsers::new(&host.pools, &host.domains);
        if let Some(user) = users.of(pool, &found).first() {
            let why = format!("it stays: machine {} uses it", user.name);
            return Ok(Outcome::Warned(why));
        }
        hypervisor.remove_volume(pool, volume)?;
        Ok(Outcome::Done)
    }

    /// Removes all parts of a machine's console log.
    fn remove_log(&self, pool: &str, node: &str) -> Result<Outcome, Failure> {
        let hypervisor = self.hypervisor;
        // It was written to until the machine was removed: libvirt has to list its parts again.
        hypervisor.refresh_pool(pool)?;
        let existing = hypervisor.pool_state(pool)?;
        let volumes = existing.into_iter().flat_map(|pool| pool.volumes);
        for part in volumes.filter(|volume| node_of_log(&volume.name) == Some(node)) {
            hypervisor.remove_volume(pool, &part.name)?;
            fail::fail_point!("provision::halfway");
        }
        Ok(Outcome::Done)
    }
}

/// The error of an existing disk with content that the plan could not list. The plan is wrong then: the machine would have to be
/// recovered with this disk, and not be set up as a new one.
fn hidden_disk(host: &Name, volume: &str) -> Error {
    Error::Hypervisor {
        host: host.to_string(),
        action: format!("make {volume}"),
        source: "it exists and has content, and its pool hid it from the plan; nothing of it was changed. Plan again: \
                 the next plan sees it"
            .into(),
    }
}

/// The volume as an overlay on this image.
fn with_backing(volume: &Volume, backing: Backing) -> Volume {
    Volume {
        backing: Some(backing),
        ..volume.clone()
    }
}
