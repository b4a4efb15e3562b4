//! Carries out a [`Plan`]: hosts side by side, changes in order; a cancel stops between two changes, or in an
//! upload of an image.

mod machine;
mod pool;
mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kubitect_config::value::{Label, Name};

use crate::change::{Change, Step};
use crate::error::Error;
use crate::event::{Event, Outcome};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::journal::{Entry, Journal};
use crate::plan::Plan;
use crate::resource::Format;

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

/// How long a machine's guest may take to shut down: services with a grace period of their own, emulated, on a busy host.
const OFF_WAIT: Duration = Duration::from_secs(5 * 60);

/// Makes the plan's changes. Whatever interrupts it, a new plan goes on from there.
pub fn apply(
    plan: &Plan,
    hosts: &Hosts,
    inputs: &Inputs,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    apply_within(plan, hosts, inputs, OFF_WAIT, cancelled, on_event)
}

/// As [`apply`], waiting no longer than this for a machine to go off that must be switched off.
pub fn apply_within(
    plan: &Plan,
    hosts: &Hosts,
    inputs: &Inputs,
    off_within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    check(plan, hosts, inputs)?;
    on_event(Event::Planned {
        total: plan.changes.len(),
    });
    let mut by_host: BTreeMap<&Name, Vec<&Change>> = BTreeMap::new();
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
                        off_within,
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
        .map(|change| format!("can't {} ({})", change.title(), change.details))
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
    name: &'a Name,
    hypervisor: &'a Arc<dyn Hypervisor>,
    inputs: &'a Inputs,
    off_within: Duration,
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
            fail::fail_point!("provision::begun");
            let what = change.title();
            (self.on_event)(Event::Started { what: what.clone() });
            match self.step(change) {
                Ok(outcome) => {
                    fail::fail_point!("provision::made");
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
        if let Some((node, what)) = change.step.gives() {
            // Before, so that no run that dies hides it from the next.
            self.note_given(node, what).map_err(self.on_host())?;
            fail::fail_point!("provision::halfway");
        }
        let done = match &change.step {
            Step::CreateNetwork(network) => verbs.define_network(network).and_then(|()| {
                fail::fail_point!("provision::halfway");
                verbs.start_network(&network.name)
            }),
            Step::StartNetwork(name) => verbs.start_network(name),
            Step::Reserve(network, reservations) => reservations.iter().try_for_each(|each| {
                fail::fail_point!("provision::halfway");
                verbs.reserve(network, each)
            }),
            Step::Unreserve(network, reservations) => reservations.iter().try_for_each(|each| {
                fail::fail_point!("provision::halfway");
                verbs.unreserve(network, each)
            }),
            Step::RemoveNetwork(name) => verbs.remove_network(name),
            Step::EnsurePool(pool) => verbs.ensure_pool(pool),
            Step::StartPool(pool) => return self.start_pool(pool),
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
            Step::GrowVolume {
                node,
                pool,
                volume,
                capacity,
                ..
            } => verbs.grow_volume(pool, volume, *capacity, node),
            Step::RemoveVolume { pool, volume } => {
                return self.remove_volume(pool, volume).map_err(self.on_host());
            }
            Step::CreateDomain(domain) | Step::BringBack(domain) => {
                verbs.define_domain(domain).and_then(|()| {
                    fail::fail_point!("provision::halfway");
                    verbs.start_domain(&domain.name)
                })
            }
            Step::DefineDomain(domain) => verbs.define_domain(domain),
            Step::StartDomain(name) => verbs.start_domain(name),
            Step::ShutDownDomain(name) => {
                self.switch_off(name)?;
                return Ok(Outcome::Done);
            }
            Step::AttachDisk { node, disk } => verbs.attach_disk(node, disk),
            Step::DetachDisk { node, path } => verbs.detach_disk(node, path),
            Step::SetVcpus(domain) => return self.give_processors(domain),
            Step::TakeInUse { node, .. } => verbs.note_given(node, &[]),
            Step::Redefine(domain) => return self.redefine(domain),
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
}
