//! Carries out a [`Plan`]: hosts side by side, and on each the machines of one kind of change; all else in order. A cancel
//! stops between two changes, or in an upload of an image.

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
use lanes::{Lane, Seen, side_by_side};

/// What a plan is carried out with.
#[derive(Default)]
pub struct Inputs {
    /// The seed volume's bytes of each node that [`Plan::needs_seeds`] names.
    pub seeds: BTreeMap<Label, Vec<u8>>,
    /// The base image, if [`Plan::needs_image`] says so.
    pub image: Option<LocalImage>,
    /// Where intents are logged.
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
    let by_host: Vec<_> = by_host.into_iter().collect();
    let uploads = Uploads::default();
    side_by_side(&by_host, by_host.len(), |_, (name, changes), failed| {
        let hypervisor = hosts.get(name)?;
        let host = HostApply {
            cluster: &plan.cluster,
            name,
            hypervisor,
            inputs,
            off_within,
            on_event,
            stopped: &|| cancelled.load(Ordering::Relaxed) || failed(),
            image: &Mutex::new(()),
            uploads: &uploads,
        };
        host.run(changes)
    })
}

/// An error unless all changes can be made with what was brought.
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
    /// Whether no further change is wanted.
    stopped: &'a (dyn Fn() -> bool + Sync),
    /// Whoever brings the base image to the host.
    image: &'a Mutex<()>,
    /// What is uploaded to all hosts.
    uploads: &'a Uploads,
}

/// As many machines of a host are worked on at a time as it has processors, and so many at least: what is done to them is mostly
/// waited for.
const AT_LEAST: u32 = 8;
/// And so many at most: libvirtd takes 20 calls at a time for all its clients (`max_workers` in libvirtd.conf).
const AT_MOST: u32 = 16;
/// How many calls of one connection libvirtd carries out at a time (`max_client_requests`, 5), less one for keepalive.
const BY_ONE_CONNECTION: usize = 4;

impl HostApply<'_> {
    fn run(&self, changes: &[&Change]) -> Result<(), Error> {
        for lanes in lanes::batches(changes) {
            let seen = Seen::default();
            match lanes.as_slice() {
                [lane] => self.carry_out(lane, &seen)?,
                lanes => self.beside(lanes, &seen)?,
            }
        }
        Ok(())
    }

    /// Carries out lanes side by side, over as many connections as that takes.
    fn beside(&self, lanes: &[Lane<'_>], seen: &Seen) -> Result<(), Error> {
        let capability = self.hypervisor.capability().map_err(self.on_host())?;
        let workers = capability.cpus.clamp(AT_LEAST, AT_MOST) as usize;
        let workers = workers.min(lanes.len());
        let more =
            (1..workers.div_ceil(BY_ONE_CONNECTION)).filter_map(|_| self.hypervisor.another());
        let connections: Vec<_> = std::iter::once(Arc::clone(self.hypervisor))
            .chain(more)
            .collect();
        side_by_side(lanes, workers, |worker, lane, failed| {
            let host = HostApply {
                hypervisor: &connections[worker % connections.len()],
                stopped: &|| (self.stopped)() || failed(),
                ..*self
            };
            host.carry_out(lane, seen)
        })
    }

    /// Makes changes in their order.
    fn carry_out(&self, changes: &[&Change], seen: &Seen) -> Result<(), Error> {
        for change in changes {
            if (self.stopped)() {
                return Err(Error::Cancelled);
            }
            self.note(change, Entry::Begun)?;
            fail::fail_point!("provision::begun");
            let what = change.title();
            (self.on_event)(Event::Started { what: what.clone() });
            match self.step(change, seen) {
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

    fn step(&self, change: &Change, seen: &Seen) -> Result<Outcome, Error> {
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
            Step::RemovePool {
                pool,
                with_disks,
                spare,
            } => {
                let removed = self.remove_pool(pool, *with_disks, spare);
                return removed.map_err(self.on_host());
            }
            Step::RemoveBasePool(uses) => return self.remove_base_pool(uses),
            Step::CreateImage(spec) => return self.create_image(change, spec),
            Step::RemoveImage(volume, uses) => return self.remove_image(volume, uses),
            Step::ReleaseImage(volume, uses) => {
                image_use::release(verbs.as_ref(), self.cluster, volume, uses)
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
            } => verbs.grow_volume(pool, volume, *capacity, node),
            Step::RemoveVolume { pool, volume } => {
                return self
                    .remove_volume(pool, volume, seen)
                    .map_err(self.on_host());
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
