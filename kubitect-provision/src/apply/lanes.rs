//! Which changes of a host are made in parallel: consecutive changes of one kind, the changes of each machine in their order.
//!
//! Most of the time is spent waiting for libvirt: QEMU takes 0.5 to 0.9 s to start a machine, 2 s to end one. The order between kinds
//! stays (disks before the machines that have them), so that a run that stops leaves nothing that a run without parallel changes
//! could not leave.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::change::{Change, Step};
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::observe::{DomainState, PoolState};

/// The changes of one machine or volume, which are made one after another.
pub(super) type Lane<'a> = Vec<&'a Change>;

/// A lane with the name of its machine or volume.
type Named<'a> = (&'a str, Lane<'a>);

/// The kinds of changes that may be made in parallel with others of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Disks and seeds are made.
    Disks,
    /// Machines are defined and started.
    Starts,
    /// Machines are shut down.
    Ends,
    /// Machines are removed.
    Machines,
    /// Volumes are removed.
    Volumes,
}

/// The kind of a change, and its machine or volume; none for a change that is made alone.
fn kind(step: &Step) -> Option<(Kind, &str)> {
    Some(match step {
        Step::CreateVolume { node, .. } | Step::WriteSeed { node, .. } => {
            (Kind::Disks, node.as_str())
        }
        Step::CreateDomain(domain) | Step::RecoverDomain(domain) => {
            (Kind::Starts, domain.name.as_str())
        }
        Step::StartDomain(name) => (Kind::Starts, name.as_str()),
        Step::ShutDownDomain(name) => (Kind::Ends, name.as_str()),
        Step::RemoveDomain(name) => (Kind::Machines, name.as_str()),
        Step::RemoveVolume { volume, .. } => (Kind::Volumes, volume.as_str()),
        _ => return None,
    })
}

/// Groups changes into batches, which are made one after another; each has lanes, which are made in parallel.
pub(super) fn batches<'a>(changes: &[&'a Change]) -> Vec<Vec<Lane<'a>>> {
    let mut batches: Vec<(Option<Kind>, Vec<Named<'a>>)> = Vec::new();
    for change in changes {
        let (of, name) = kind(&change.step).map_or((None, ""), |(kind, name)| (Some(kind), name));
        match batches.last_mut() {
            Some((last, lanes)) if of.is_some() && *last == of => {
                match lanes.iter_mut().find(|(own, _)| *own == name) {
                    Some((_, lane)) => lane.push(change),
                    None => lanes.push((name, vec![change])),
                }
            }
            _ => batches.push((of, vec![(name, vec![change])])),
        }
    }
    let lanes = |lanes: Vec<Named<'a>>| lanes.into_iter().map(|(_, lane)| lane).collect();
    batches.into_iter().map(|(_, own)| lanes(own)).collect()
}

/// A host's pools and domains, read at most once for a batch.
#[derive(Default)]
pub(super) struct BatchState {
    host: Mutex<Option<Arc<PoolsAndDomains>>>,
}

/// A host's pools and domains.
pub(super) struct PoolsAndDomains {
    pub pools: Vec<PoolState>,
    pub domains: Vec<DomainState>,
}

impl BatchState {
    /// The host's pools and domains, as they were when the batch first asked for them.
    pub(super) fn read(
        &self,
        hypervisor: &dyn Hypervisor,
    ) -> Result<Arc<PoolsAndDomains>, Failure> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = &*host {
            return Ok(Arc::clone(host));
        }
        let found = Arc::new(PoolsAndDomains {
            pools: hypervisor.pools()?,
            domains: hypervisor.domains()?,
        });
        *host = Some(Arc::clone(&found));
        Ok(found)
    }
}

/// Does the work for all items, by this many threads in parallel, which are numbered from 0. After a failure, no further item is begun,
/// and the first failure is returned.
pub(super) fn in_parallel<T: Sync>(
    items: &[T],
    workers: usize,
    work: impl Fn(usize, &T, &(dyn Fn() -> bool + Sync)) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let is_stopped = || failed.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for worker in 0..workers.min(items.len()) {
            let (next, failed, failure, work) = (&next, &failed, &failure, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if is_stopped() {
                        break;
                    }
                    if let Err(error) = work(worker, item, &is_stopped) {
                        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        first.get_or_insert(error);
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let first = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, Disruption, Part};
    use kubitect_config::value::Label;

    fn change(step: Step) -> Change {
        Change {
            action: Action::Create,
            kind: crate::change::Kind::Domain,
            name: String::new(),
            host: "h".parse().unwrap(),
            disruption: Disruption::None,
            details: String::new(),
            loses: false,
            part: Part::Make,
            step,
        }
    }

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    fn seed(node: &str) -> Step {
        Step::WriteSeed {
            node: label(node),
            pool: "p".to_owned(),
            volume: format!("{node}-seed"),
        }
    }

    #[test]
    fn machines_go_side_by_side_and_each_keeps_its_order() {
        let steps = [
            Step::StartNetwork("n".to_owned()),
            Step::StartNetwork("m".to_owned()),
            seed("a"),
            seed("a"),
            seed("b"),
            Step::StartDomain(label("a")),
            Step::StartDomain(label("b")),
            Step::RemoveDomain(label("a")),
            Step::StartDomain(label("a")),
        ];
        let changes = steps.map(change);
        let changes: Vec<_> = changes.iter().collect();
        let sizes: Vec<Vec<usize>> = batches(&changes)
            .iter()
            .map(|lanes| lanes.iter().map(Vec::len).collect())
            .collect();
        let expected: [&[usize]; 6] = [&[1], &[1], &[2, 1], &[1, 1], &[1], &[1]];
        assert_eq!(sizes, expected);
        let in_order: Vec<_> = batches(&changes).concat().concat();
        assert!(
            in_order
                .iter()
                .zip(&changes)
                .all(|(a, b)| std::ptr::eq(*a, *b))
        );
    }

    #[test]
    fn all_wait_at_the_same_time_and_a_failure_stops_the_rest() {
        // Were they one after another, the first would wait for ever.
        let barrier = std::sync::Barrier::new(5);
        in_parallel(&[(); 5], 5, |_, (), _| {
            barrier.wait();
            Ok(())
        })
        .unwrap();

        let begun = AtomicUsize::new(0);
        let result = in_parallel(&[(); 9], 1, |_, (), _| {
            match begun.fetch_add(1, Ordering::Relaxed) {
                2 => Err(Error::Cancelled),
                _ => Ok(()),
            }
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(begun.into_inner(), 3);
    }
}
