//! What of a host's changes is made side by side: consecutive changes of one kind, each machine's in their order.
//!
//! What waits in libvirt is mostly waiting: the start of a machine takes QEMU 0.5 to 0.9 s, its end 2 s. The order between kinds
//! stays (disks before the machines that have them), so that whatever stops a run leaves what a run one by one leaves too.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::change::{Change, Step};
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::observe::{DomainState, PoolState};

/// The changes of one machine, or of one volume, in their order.
pub(super) type Lane<'a> = Vec<&'a Change>;

/// A lane, and what it is done to.
type Named<'a> = (&'a str, Lane<'a>);

/// Changes that may be made side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Disks and seeds are made.
    Disks,
    /// Machines are defined and started.
    Starts,
    /// Machines shut down.
    Ends,
    /// Machines are removed.
    Machines,
    /// Volumes are removed.
    Volumes,
}

/// The kind of a change, and what it is done to; nothing for one that is made alone.
fn kind(step: &Step) -> Option<(Kind, &str)> {
    Some(match step {
        Step::CreateVolume { node, .. } | Step::WriteSeed { node, .. } => {
            (Kind::Disks, node.as_str())
        }
        Step::CreateDomain(domain) | Step::BringBack(domain) => {
            (Kind::Starts, domain.name.as_str())
        }
        Step::StartDomain(name) => (Kind::Starts, name.as_str()),
        Step::ShutDownDomain(name) => (Kind::Ends, name.as_str()),
        Step::RemoveDomain(name) => (Kind::Machines, name.as_str()),
        Step::RemoveVolume { volume, .. } => (Kind::Volumes, volume.as_str()),
        _ => return None,
    })
}

/// The changes as batches that are made one after another, each of lanes that are carried out side by side.
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

/// What is looked up once for a batch.
#[derive(Default)]
pub(super) struct Seen {
    host: Mutex<Option<Arc<Looked>>>,
}

/// A host's pools and domains.
pub(super) struct Looked {
    pub pools: Vec<PoolState>,
    pub domains: Vec<DomainState>,
}

impl Seen {
    /// The host's pools and domains as they are when a batch first asks for them.
    pub(super) fn look(&self, verbs: &dyn Hypervisor) -> Result<Arc<Looked>, Failure> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = &*host {
            return Ok(Arc::clone(host));
        }
        let found = Arc::new(Looked {
            pools: verbs.pools()?,
            domains: verbs.domains()?,
        });
        *host = Some(Arc::clone(&found));
        Ok(found)
    }
}

/// Works on items side by side, by so many workers, who are numbered from 0. After a failure nothing more is begun; the first
/// failure is the one that is returned.
pub(super) fn side_by_side<T: Sync>(
    items: &[T],
    workers: usize,
    work: impl Fn(usize, &T, &(dyn Fn() -> bool + Sync)) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let stopped = || failed.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for worker in 0..workers.min(items.len()) {
            let (next, failed, failure, work) = (&next, &failed, &failure, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stopped() {
                        break;
                    }
                    if let Err(error) = work(worker, item, &stopped) {
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
        side_by_side(&[(); 5], 5, |_, (), _| {
            barrier.wait();
            Ok(())
        })
        .unwrap();

        let begun = AtomicUsize::new(0);
        let result = side_by_side(&[(); 9], 1, |_, (), _| {
            match begun.fetch_add(1, Ordering::Relaxed) {
                2 => Err(Error::Cancelled),
                _ => Ok(()),
            }
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(begun.into_inner(), 3);
    }
}
