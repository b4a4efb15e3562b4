//! Volumes: disks over their image, seeds, and what may be removed.

use std::sync::PoisonError;

use super::lanes::Seen;
use super::{HostApply, LocalImage};
use crate::base;
use crate::change::{Change, ImageSpec};
use crate::diff::disk::{is_whole_seed, is_written};
use crate::error::Error;
use crate::event::{Event, Outcome};
use crate::hypervisor::Failure;
use crate::names::log_of;
use crate::observe::VolumeState;
use crate::resource::{Backing, Format, Volume};
use crate::users::Users;
use crate::way::Way;
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
        // Disks are made side by side, and the image is uploaded once.
        let _alone = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        let way = Way {
            host: self.name,
            hypervisor: self.hypervisor.as_ref(),
            uploads: self.uploads,
            progress: &|done, total| {
                (self.on_event)(Event::Progress {
                    what: what.clone(),
                    done,
                    total: Some(total),
                });
                // An upload may take minutes, and one that was cut off is done anew.
                !(self.stopped)()
            },
            stopped: self.stopped,
        };
        base::ensure(&way, spec, self.local_image()?)
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
        let verbs = self.hypervisor;
        let remove = || verbs.remove_volume(&volume.pool, &volume.name);
        if replace {
            remove().map_err(self.on_host())?;
            fail::fail_point!("provision::halfway");
        } else if let Some(there) = self.volume_state(&volume.pool, &volume.name)? {
            // The plan did not see it: its pool was stopped, or not defined.
            return match is_written(&there) {
                true => Err(turned_up(self.name, &volume.name)),
                false => Ok(Outcome::Skipped("it is there".to_owned())),
            };
        }
        let Some(spec) = overlay else {
            verbs.create_volume(volume).map_err(self.on_host())?;
            return Ok(Outcome::Done);
        };
        // Another cluster's destroy may take the image away just before the overlay needs it: then again, from the start.
        let mut attempts = 0..3;
        loop {
            let (image, _) = self.ensure_image(change, spec)?;
            fail::fail_point!("provision::halfway");
            let made = verbs.create_volume(&over(volume, image.backing.clone()));
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
        let there = self.hypervisor.volume_state(pool, volume);
        there.map_err(self.on_host())
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
        // It begins small and grows as it is written: then its length tells whether all of it was.
        let volume = Volume {
            pool: pool.to_owned(),
            name: name.to_owned(),
            capacity: 1,
            format: Format::Raw,
            backing: None,
        };
        let verbs = self.hypervisor;
        let main = format!("{node}-main-disk");
        let has_run = self
            .volume_state(pool, &main)?
            .as_ref()
            .is_some_and(is_written);
        let there = self.volume_state(pool, name)?;
        if has_run && there.as_ref().is_some_and(is_whole_seed) {
            // The machine was started with this seed, and the plan did not see it.
            return Err(turned_up(self.name, &main));
        }
        let written = verbs.remove_volume(pool, name).and_then(|()| {
            fail::fail_point!("provision::halfway");
            verbs.create_volume(&volume)?;
            fail::fail_point!("provision::halfway");
            verbs.upload(pool, name, &mut seed.as_slice(), length)
        });
        written.map_err(self.on_host())?;
        Ok(Outcome::Done)
    }

    /// Removes a volume unless a machine has come to use it; of a console's log, all parts.
    pub(super) fn remove_volume(
        &self,
        pool: &str,
        volume: &str,
        seen: &Seen,
    ) -> Result<Outcome, Failure> {
        let verbs = self.hypervisor;
        if let Some(node) = log_of(volume) {
            return self.remove_log(pool, node);
        }
        let Some(found) = verbs.volume_state(pool, volume)? else {
            return Ok(Outcome::Done);
        };
        let host = seen.look(verbs.as_ref())?;
        let users = Users::new(&host.pools, &host.domains);
        if let Some(user) = users.of(pool, &found).first() {
            let why = format!("it stays: machine {} uses it", user.name);
            return Ok(Outcome::Warned(why));
        }
        verbs.remove_volume(pool, volume)?;
        Ok(Outcome::Done)
    }

    /// Removes all parts of a machine's console log.
    fn remove_log(&self, pool: &str, node: &str) -> Result<Outcome, Failure> {
        let verbs = self.hypervisor;
        // It was written to until the machine went.
        verbs.refresh_pool(pool)?;
        let there = verbs.pool_state(pool)?;
        let volumes = there.into_iter().flat_map(|pool| pool.volumes);
        for part in volumes.filter(|volume| log_of(&volume.name) == Some(node)) {
            verbs.remove_volume(pool, &part.name)?;
            fail::fail_point!("provision::halfway");
        }
        Ok(Outcome::Done)
    }
}

/// The error of a disk with something in it that the plan did not see. What was planned is wrong then: a machine is brought back,
/// and what is set up on it is not set up anew.
fn turned_up(host: &Name, volume: &str) -> Error {
    Error::Hypervisor {
        host: host.to_string(),
        action: format!("make {volume}"),
        source: "it is there, with something in it, and its pool hid it from the plan; nothing of it was touched. Plan again: \
                 the next plan sees it"
            .into(),
    }
}

/// The volume as an overlay.
fn over(volume: &Volume, backing: Backing) -> Volume {
    Volume {
        backing: Some(backing),
        ..volume.clone()
    }
}
