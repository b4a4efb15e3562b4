//! Carries out a [`Plan`]: hosts in parallel, and on each host consecutive changes of one kind to several machines; all else in order.
//! A cancel takes effect between two changes, or during an upload of an image.

mod lanes;
mod machine;
mod pool;
mod volume;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubitect_config::value::{Label, Name};

use crate::change::{Change, Step};
use crate::error::Error;
use crate::event::{Event, Outcome};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::image::LocalImage;
use crate::image_use;
use crate::journal::{Entry, Journal};
use crate::plan::Plan;
use crate::power::OFF_WAIT;
use crate::uploads::Uploads;
use lanes::{BatchState, Lane, in_parallel};

/// What a plan needs besides the hosts.
#[derive(Default)]
pub struct Inputs {
    /// The bytes of the seed of each node that [`Plan::needs_seeds`] names.
    pub seeds: BTreeMap<Label, Vec<u8>>,
    /// The base image, if [`Plan::needs_image`] says so.
    pub image: Option<LocalImage>,
    /// The log of what is begun, done and failed.
    pub journal: Option<Journal>,
}

/// Seeds hold the machines' private keys: none of their bytes is shown.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            image,
            journal,
        } = self;
        f.debug_struct("Inputs")
            .field("seeds", &seeds.keys())
            .field("image", image)
            .field("journal", journal)
            .finish()
    }
}

/// Makes the plan's changes. After an interruption, observe and plan again: the new plan has what is left to do.
pub fn apply(
    plan: &Plan,
    hosts: &Hosts,
    inputs: &Inputs,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    apply_within(plan, hosts, inputs, OFF_WAIT, cancelled, on_event)
}

/// As [`apply`], with this deadline for a machine to shut down.
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
    let by_host: Vec<_> = by_host.into_iter().collect();
    let uploads = Uploads::default();
    in_parallel(&by_host, by_host.len(), |_, (name, changes), failed| {
        let hypervisor = hosts.get(name)?;
        let host = HostApply {
            cluster: &plan.cluster,
            name,
            hypervisor,
            inputs,
            off_within,
            on_event,
            is_stopped: &|| cancelled.load(Ordering::Relaxed) || failed(),
            image: &Mutex::new(()),
            uploads: &uploads,
        };
        host.run(changes)
    })
}

/// An error if the plan has a refused change, or the inputs lack something, before anything is changed.
fn check(plan: &Plan, hosts: &Hosts, inputs: &Inputs) -> Result<(), Error> {
    let refused: Vec<_> = plan.refused().cloned().collect();
    if !refused.is_empty() {
        return Err(Error::Refused(refused));
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

#[derive(Clone, Copy)]
struct HostApply<'a> {
    cluster: &'a Label,
    name: &'a Name,
    hypervisor: &'a Arc<dyn Hypervisor>,
    inputs: &'a Inputs,
    off_within: Duration,
    on_event: &'a (dyn Fn(Event) + Send + Sync),
    /// Whether no further change is to be begun: the run was cancelled, or a change has failed.
    is_stopped: &'a (dyn Fn() -> bool + Sync),
    /// Held while the base image is brought to the host.
    image: &'a Mutex<()>,
    /// The uploads of this run, to all hosts.
    uploads: &'a Uploads,
}

/// The fewest machines of a host that are worked on in parallel. Between the two limits, it is the number of the host's processors.
/// This one may exceed that number, since most of the work is waiting.
const MIN_WORKERS: u32 = 8;
/// The most: libvirtd carries out 20 calls at a time for all its clients (`max_workers` in libvirtd.conf).
const MAX_WORKERS: u32 = 16;
/// How many calls of one connection libvirtd carries out at a time (`max_client_requests`, 5), less one for keepalive.
const CALLS_PER_CONNECTION: usize = 4;

impl HostApply<'_> {
    fn run(&self, changes: &[&Change]) -> Result<(), Error> {
        for lanes in lanes::batches(changes) {
            let state = BatchState::default();
            match lanes.as_slice() {
                [lane] => self.carry_out(lane, &state)?,
                lanes => self.run_in_parallel(lanes, &state)?,
            }
        }
        Ok(())
    }

    /// Carries out lanes in parallel, over as many connections as that takes.
    fn run_in_parallel(&self, lanes: &[Lane<'_>], state: &BatchState) -> Result<(), Error> {
        let capability = self.hypervisor.capability().map_err(self.on_host())?;
        let workers = capability.cpus.clamp(MIN_WORKERS, MAX_WORKERS) as usize;
        let workers = workers.min(lanes.len());
        let more = (1..workers.div_ceil(CALLS_PER_CONNECTION))
            .filter_map(|_| self.hypervisor.another_connection());
        let connections: Vec<_> = std::iter::once(Arc::clone(self.hypervisor))
            .chain(more)
            .collect();
        in_parallel(lanes, workers, |worker, lane, failed| {
            let host = HostApply {
                hypervisor: &connections[worker % connections.len()],
                is_stopped: &|| (self.is_stopped)() || failed(),
                ..*self
            };
            host.carry_out(lane, state)
        })
    }

    /// Makes changes in their order.
    fn carry_out(&self, changes: &[&Change], state: &BatchState) -> Result<(), Error> {
        for change in changes {
            if (self.is_stopped)() {
                return Err(Error::Cancelled);
            }
            self.note(change, Entry::Begun)?;
            fail::fail_point!("provision::begun");
            let what = change.title();
            (self.on_event)(Event::Started { what: what.clone() });
            match self.step(change, state) {
                Ok(outcome) => {
                    fail::fail_point!("provision::made");
                    self.note(change, Entry::Done)?;
                    (self.on_event)(Event::Finished { what, outcome });
                }
                Err(error) => {
                    // The change's own error is returned, also if the journal can't be written, as on a full disk.
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

    fn step(&self, change: &Change, state: &BatchState) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        if let Some((node, what)) = change.step.gives() {
            // Noted before it is given: a run that is killed in between leaves the note, and the next run's plan has the guest use it.
            self.note_given(node, what).map_err(self.on_host())?;
            fail::fail_point!("provision::halfway");
        }
        let done = match &change.step {
            Step::CreateNetwork(network) => hypervisor.define_network(network).and_then(|()| {
                fail::fail_point!("provision::halfway");
                hypervisor.start_network(&network.name)
            }),
            Step::StartNetwork(name) => hypervisor.start_network(name),
            Step::Reserve(network, reservations) => reservations.iter().try_for_each(|each| {
                fail::fail_point!("provision::halfway");
                hypervisor.reserve(network, each)
            }),
            Step::Unreserve(network, reservations) => reservations.iter().try_for_each(|each| {
                fail::fail_point!("provision::halfway");
                hypervisor.unreserve(network, each)
            }),
            Step::RemoveNetwork(name) => hypervisor.remove_network(name),
            Step::EnsurePool(pool) => hypervisor.ensure_pool(pool),
            Step::StartPool(pool) => return self.start_pool(pool),
            Step::RemovePool {
                pool,
                with_disks,
                protected,
            } => {
                let removed = self.remove_pool(pool, *with_disks, protected);
                return removed.map_err(self.on_host());
            }
            Step::RemoveBasePool(uses) => return self.remove_base_pool(uses),
            Step::CreateImage(spec) => return self.create_image(change, spec),
            Step::RemoveImage(volume, uses) => return self.remove_image(volume, uses),
            Step::ReleaseImage(volume, uses) => {
                image_use::release(hypervisor.as_ref(), self.cluster, volume, uses)
            }
            Step::CreateVolume {
                volume,
                overlay,
                replace,
                ..
            } => return self.create_volume(change, volume, overlay.as_ref(), *replace),
            Step::WriteSeed { node, pool, volume } => return self.write_seed(node, pool, volume),
            Step::GrowVolume {
                node,
                pool,
                volume,
                capacity,
                ..
            } => hypervisor.grow_volume(pool, volume, *capacity, node),
            Step::RemoveVolume { pool, volume } => {
                return self
                    .remove_volume(pool, volume, state)
                    .map_err(self.on_host());
            }
            Step::CreateDomain(domain) | Step::RecoverDomain(domain) => {
                hypervisor.define_domain(domain).and_then(|()| {
                    fail::fail_point!("provision::halfway");
                    hypervisor.start_domain(&domain.name)
                })
            }
            Step::DefineDomain(domain) => hypervisor.define_domain(domain),
            Step::StartDomain(name) => hypervisor.start_domain(name),
            Step::ShutDownDomain(name) => {
                self.switch_off(name)?;
                return Ok(Outcome::Done);
            }
            Step::AttachDisk { node, disk } => hypervisor.attach_disk(node, disk),
            Step::DetachDisk { node, path } => hypervisor.detach_disk(node, path),
            Step::SetVcpus(domain) => return self.give_processors(domain),
            Step::TakeInUse { node, .. } => hypervisor.note_given(node, &[]),
            Step::Redefine(domain) => return self.redefine(domain),
            Step::RemoveDomain(name) => hypervisor.remove_domain(name),
            Step::Refused(refusal) => return Err(Error::Refused(vec![(**refusal).clone()])),
        };
        done.map_err(|failure| failure.on(self.name))?;
        Ok(Outcome::Done)
    }

    fn on_host(&self) -> impl Fn(Failure) -> Error {
        |failure| failure.on(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_seeds_are_not_shown() {
        let name: Label = "demo-master-1".parse().expect("it is a name");
        let inputs = Inputs {
            seeds: BTreeMap::from([(name, vec![231; 64])]),
            ..Inputs::default()
        };
        let shown = format!("{inputs:?}");
        assert!(shown.contains("demo-master-1"), "{shown}");
        assert!(!shown.contains("231"), "{shown}");
    }
}
