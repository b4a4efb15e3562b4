//! Carries out a [`Plan`]: hosts side by side, changes in order; a cancel stops between two changes, or in an
//! upload of an image.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use kubitect_config::value::Label;

use crate::base;
use crate::change::{Change, ImageSpec, Step};
use crate::error::Error;
use crate::event::{Event, Outcome};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::journal::{Entry, Journal};
use crate::observe::{PoolState, VolumeState};
use crate::plan::Plan;
use crate::removal::{is_log, is_own_volume};
use crate::resource::{BASE_POOL, Backing, Format, Pool, Volume};

/// What a plan is carried out with.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The seed volume's bytes of each node that [`Plan::needs_seeds`] names.
    pub seeds: BTreeMap<Label, Vec<u8>>,
    /// The base image, if [`Plan::needs_image`] says so.
    pub image: Option<LocalImage>,
    /// Where intents are logged.
    pub journal: Option<Journal>,
}

/// A base image on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, 64 lower-case hexadecimal digits; checked again while it is brought to a host.
    pub sha256: String,
    /// What a guest sees of it, in bytes.
    pub virtual_size: u64,
    /// How its bytes are kept.
    pub format: Format,
}

/// Makes the plan's changes. Whatever interrupts it, a new plan goes on from there.
pub fn apply(
    plan: &Plan,
    hosts: &Hosts,
    inputs: &Inputs,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    check(plan, hosts, inputs)?;
    on_event(Event::Planned {
        total: plan.changes.len(),
    });
    let mut by_host: BTreeMap<&Label, Vec<&Change>> = BTreeMap::new();
    for change in &plan.changes {
        by_host.entry(&change.host).or_default().push(change);
    }
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (name, changes) in by_host {
            let (stop, failure) = (&stop, &failure);
            scope.spawn(move || {
                let stopped = || cancelled.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed);
                let result = hosts.get(name).and_then(|hypervisor| {
                    let host = HostApply {
                        cluster: &plan.cluster,
                        name,
                        hypervisor,
                        inputs,
                        on_event,
                        stopped: &stopped,
                    };
                    host.run(&changes)
                });
                if let Err(error) = result {
                    // The other hosts stop as well; the first failure is the one to tell.
                    stop.store(true, Ordering::Relaxed);
                    let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(error);
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// An error unless all changes can be made with what was brought.
fn check(plan: &Plan, hosts: &Hosts, inputs: &Inputs) -> Result<(), Error> {
    let reasons: Vec<_> = plan
        .refused()
        .map(|change| format!("can't {} yet ({})", change.title(), change.details))
        .collect();
    if !reasons.is_empty() {
        return Err(Error::Refused { reasons });
    }
    for change in &plan.changes {
        hosts.get(&change.host)?;
    }
    let missing = |missing: String| Err(Error::MissingInput { missing });
    if let Some(node) = plan
        .needs_seeds()
        .find(|node| !inputs.seeds.contains_key(*node))
    {
        return missing(format!("there is no seed for {node}"));
    }
    if !plan.needs_image() {
        return Ok(());
    }
    let Some(image) = &inputs.image else {
        return missing("there is no base image".to_owned());
    };
    for change in &plan.changes {
        if let Step::CreateVolume {
            volume,
            overlay: Some(_),
            ..
        } = &change.step
            && volume.capacity < image.virtual_size
        {
            return Err(Error::DiskTooSmall {
                volume: volume.name.clone(),
                gib: volume.capacity >> 30,
                needed: image.virtual_size.div_ceil(1 << 30),
            });
        }
    }
    Ok(())
}

struct HostApply<'a> {
    cluster: &'a Label,
    name: &'a Label,
    hypervisor: &'a Arc<dyn Hypervisor>,
    inputs: &'a Inputs,
    on_event: &'a (dyn Fn(Event) + Send + Sync),
    /// Whether no further change is wanted.
    stopped: &'a dyn Fn() -> bool,
}

impl HostApply<'_> {
    fn run(&self, changes: &[&Change]) -> Result<(), Error> {
        for change in changes {
            if (self.stopped)() {
                return Err(Error::Cancelled);
            }
            self.note(change, Entry::Begun)?;
            let what = change.title();
            (self.on_event)(Event::Started { what: what.clone() });
            match self.step(change) {
                Ok(outcome) => {
                    self.note(change, Entry::Done)?;
                    (self.on_event)(Event::Finished { what, outcome });
                }
                Err(error) => {
                    // The failure itself matters more than a full disk under the journal.
                    if let Err(unwritten) = self.note(change, Entry::Failed(&error.to_string())) {
                        tracing::warn!(error = %unwritten, "failure not noted in the journal");
                    }
                    let text = error.to_string();
                    (self.on_event)(Event::Failed { what, error: text });
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn note(&self, change: &Change, entry: Entry<'_>) -> Result<(), Error> {
        match &self.inputs.journal {
            Some(journal) => journal.write(change, entry),
            None => Ok(()),
        }
    }

    fn step(&self, change: &Change) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        let done = match &change.step {
            Step::CreateNetwork(network) => verbs
                .define_network(network)
                .and_then(|()| verbs.start_network(&network.name)),
            Step::StartNetwork(name) => verbs.start_network(name),
            Step::Reserve(network, reservations) => reservations
                .iter()
                .try_for_each(|reservation| verbs.reserve(network, reservation)),
            Step::RemoveNetwork(name) => verbs.remove_network(name),
            Step::EnsurePool(pool) => verbs.ensure_pool(pool),
            Step::RemovePool { pool, with_disks } => {
                return self.remove_pool(pool, *with_disks).map_err(self.on_host());
            }
            Step::RemoveBasePool => return self.remove_base_pool(),
            Step::CreateImage(spec) => return self.create_image(change, spec),
            Step::RemoveImage(volume) => return self.remove_image(volume),
            Step::CreateVolume {
                volume,
                overlay,
                replace,
            } => return self.create_volume(change, volume, overlay.as_ref(), *replace),
            Step::WriteSeed { node, pool, volume } => return self.write_seed(node, pool, volume),
            Step::RemoveVolume { pool, volume } => verbs.remove_volume(pool, volume),
            Step::CreateDomain(domain) => verbs
                .define_domain(domain)
                .and_then(|()| verbs.start_domain(&domain.name)),
            Step::StartDomain(name) => verbs.start_domain(name),
            Step::RemoveDomain(name) => verbs.remove_domain(name),
            Step::Refused => {
                return Err(Error::Refused {
                    reasons: vec![change.title()],
                });
            }
        };
        done.map_err(|failure| failure.on(self.name))?;
        Ok(Outcome::Done)
    }

    fn on_host(&self) -> impl Fn(Failure) -> Error {
        |failure| failure.on(self.name)
    }

    fn image(&self) -> Result<&LocalImage, Error> {
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
        base::ensure(
            self.name,
            self.hypervisor.as_ref(),
            spec,
            self.image()?,
            &|done, total| {
                (self.on_event)(Event::Progress {
                    what: what.clone(),
                    done,
                    total: Some(total),
                });
                // An upload may take minutes, and one that was cut off is done anew.
                !(self.stopped)()
            },
        )
    }

    fn create_image(&self, change: &Change, spec: &ImageSpec) -> Result<Outcome, Error> {
        let (_, uploaded) = self.ensure_image(change, spec)?;
        Ok(if uploaded {
            Outcome::Done
        } else {
            Outcome::Skipped("the host has it".to_owned())
        })
    }

    fn create_volume(
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
        } else if self.has_volume(&volume.pool, &volume.name)? {
            // The pool was stopped while the plan was made. Whatever is in the disk is kept.
            return Ok(Outcome::Skipped("it is there".to_owned()));
        }
        let Some(spec) = overlay else {
            verbs.create_volume(volume).map_err(self.on_host())?;
            return Ok(Outcome::Done);
        };
        // Another cluster's destroy may take the image away just before the overlay needs it: then again, from the start.
        let mut attempts = 0..3;
        loop {
            let (image, _) = self.ensure_image(change, spec)?;
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

    fn has_volume(&self, pool: &str, volume: &str) -> Result<bool, Error> {
        let pools = self.hypervisor.pools().map_err(self.on_host())?;
        Ok(pools
            .iter()
            .any(|there| there.name == pool && there.volume(volume).is_some()))
    }

    fn write_seed(&self, node: &Label, pool: &str, name: &str) -> Result<Outcome, Error> {
        let seed = self
            .inputs
            .seeds
            .get(node)
            .ok_or_else(|| Error::MissingInput {
                missing: format!("there is no seed for {node}"),
            })?;
        let volume = Volume {
            pool: pool.to_owned(),
            name: name.to_owned(),
            capacity: seed.len() as u64,
            format: Format::Raw,
            backing: None,
        };
        let verbs = self.hypervisor;
        verbs
            .remove_volume(pool, name)
            .and_then(|()| verbs.create_volume(&volume))
            .and_then(|()| verbs.upload(pool, name, &mut seed.as_slice(), volume.capacity))
            .map_err(self.on_host())?;
        Ok(Outcome::Done)
    }

    fn remove_pool(&self, name: &str, with_disks: bool) -> Result<Outcome, Failure> {
        let verbs = self.hypervisor;
        let find = || -> Result<Option<PoolState>, Failure> {
            Ok(verbs.pools()?.into_iter().find(|pool| pool.name == name))
        };
        let Some(mut pool) = find()? else {
            return Ok(Outcome::Done);
        };
        // One that was stopped since the plan was made hid the disks, which the plan named, when their turn came.
        let with_disks = with_disks || !pool.active;
        if let (false, Some(path)) = (pool.active, &pool.path) {
            verbs.ensure_pool(&Pool {
                name: name.to_owned(),
                path: path.clone(),
            })?;
        }
        // Consoles were written to until the machines went.
        verbs.refresh_pool(name)?;
        if let Some(now) = find()? {
            pool = now;
        }
        // The cluster's machines are gone: a disk that a machine still has is another's by now.
        let domains = if with_disks {
            verbs.domains()?
        } else {
            Vec::new()
        };
        let free = |volume: &VolumeState| !domains.iter().any(|domain| domain.uses(name, volume));
        let ours = pool.volumes.iter().filter(|volume| {
            is_own_volume(self.cluster.as_str(), &volume.name)
                && (is_log(&volume.name) || (with_disks && free(volume)))
        });
        for volume in ours {
            verbs.remove_volume(name, &volume.name)?;
        }
        verbs.remove_pool(name).map(pool_removed)
    }

    fn remove_image(&self, volume: &str) -> Result<Outcome, Error> {
        let stays =
            base::remove(self.hypervisor.as_ref(), self.cluster, volume).map_err(self.on_host())?;
        Ok(stays.map_or(Outcome::Done, Outcome::Skipped))
    }

    fn remove_base_pool(&self) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        let work = || -> Result<Outcome, Failure> {
            let find = || -> Result<Option<PoolState>, Failure> {
                Ok(verbs
                    .pools()?
                    .into_iter()
                    .find(|pool| pool.name == BASE_POOL))
            };
            let Some(pool) = find()? else {
                return Ok(Outcome::Done);
            };
            if let (false, Some(path)) = (pool.active, &pool.path) {
                verbs.ensure_pool(&Pool {
                    name: BASE_POOL.to_owned(),
                    path: path.clone(),
                })?;
            }
            verbs.refresh_pool(BASE_POOL)?;
            let pools = verbs.pools()?;
            let Some(pool) = pools.iter().find(|pool| pool.name == BASE_POOL) else {
                return Ok(Outcome::Done);
            };
            for image in base::removable(pool, &pools, self.cluster) {
                base::remove(verbs.as_ref(), self.cluster, &image.name)?;
            }
            for marker in &pool.volumes {
                if base::image_of(&marker.name).is_some_and(|image| pool.volume(image).is_none()) {
                    verbs.remove_volume(BASE_POOL, &marker.name)?;
                }
            }
            if find()?.is_some_and(|pool| !pool.volumes.is_empty()) {
                return Ok(Outcome::Skipped("something is left in it".to_owned()));
            }
            verbs.remove_pool(BASE_POOL).map(pool_removed)
        };
        work().map_err(self.on_host())
    }
}

/// How the removal of a pool ended whose folder stays for this reason, if it does.
fn pool_removed(stays: Option<String>) -> Outcome {
    stays.map_or(Outcome::Done, |why| {
        Outcome::Warned(format!("its folder stays ({why})"))
    })
}

/// The volume as an overlay.
fn over(volume: &Volume, backing: Backing) -> Volume {
    Volume {
        backing: Some(backing),
        ..volume.clone()
    }
}
