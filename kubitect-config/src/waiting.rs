//! Waits for many things at the same time: what several machines are asked is asked side by side.
//!
//! The order of what comes out is that of what went in, whichever ended first. Nothing is spawned: who is cancelled takes all
//! that it waits for along.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// How many machines are asked at the same time: enough for any cluster's masters and balancers, and few enough for the open
/// files of this process and for the SSH server of a host through which all of its machines are reached.
pub const AT_ONCE: usize = 64;

/// Runs futures side by side in this task, [`AT_ONCE`] of them at most, and gives their outputs in order.
pub async fn side_by_side<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    at_most(AT_ONCE, futures).await
}

/// As [`side_by_side`], with a limit of its own.
pub async fn at_most<F: Future>(
    limit: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    // No iterator is held while this waits: only the futures have to be `Send` where this one has to.
    let mut all = All::of(limit, futures.into_iter().collect());
    let mut outputs = BTreeMap::new();
    std::future::poll_fn(|context| {
        all.poll(context, &mut |at, output| {
            outputs.insert(at, output);
            true
        })
    })
    .await;
    outputs.into_values().collect()
}

/// Runs futures side by side, and gives the first success as soon as there is one; or else why each failed, in order.
pub async fn first_success<T, E, F: Future<Output = Result<T, E>>>(
    futures: impl IntoIterator<Item = F>,
) -> Result<T, Vec<E>> {
    let mut all = All::of(AT_ONCE, futures.into_iter().collect());
    let mut success = None;
    let mut failures = BTreeMap::new();
    std::future::poll_fn(|context| {
        all.poll(context, &mut |at, output| match output {
            Ok(value) => {
                success.get_or_insert(value);
                false
            }
            Err(error) => {
                failures.insert(at, error);
                true
            }
        })
    })
    .await;
    success.ok_or_else(|| failures.into_values().collect())
}

/// A time as minutes and seconds, as `3:07`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Works on items in threads, so many of them at most: for what blocks. Gives the results in order.
pub fn in_threads<T: Sync, R: Send>(
    limit: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return done;
            };
            done.push((at, work(item)));
        }
    };
    let mut done: BTreeMap<usize, R> = BTreeMap::new();
    std::thread::scope(|scope| {
        let others = limit.max(1).min(items.len()).saturating_sub(1);
        let others: Vec<_> = (0..others).map(|_| scope.spawn(worker)).collect();
        // This thread works, too: for a single item there is no other.
        done.extend(worker());
        for other in others {
            done.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
    });
    done.into_values().collect()
}

/// Futures that wait, and those that run.
struct All<F> {
    limit: usize,
    waiting: VecDeque<(usize, F)>,
    running: Vec<(usize, Pin<Box<F>>)>,
}

impl<F: Future> All<F> {
    fn of(limit: usize, futures: Vec<F>) -> Self {
        Self {
            limit: limit.max(1),
            waiting: futures.into_iter().enumerate().collect(),
            running: Vec::new(),
        }
    }

    /// Polls all that may run. `take` gets each output, and says whether to go on.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        take: &mut dyn FnMut(usize, F::Output) -> bool,
    ) -> Poll<()> {
        // How many of those that run were polled by now.
        let mut polled = 0;
        loop {
            while self.running.len() < self.limit
                && let Some((at, future)) = self.waiting.pop_front()
            {
                self.running.push((at, Box::pin(future)));
            }
            if polled == self.running.len() {
                break;
            }
            while let Some((at, future)) = self.running.get_mut(polled) {
                match future.as_mut().poll(context) {
                    Poll::Pending => polled += 1,
                    Poll::Ready(output) => {
                        let at = *at;
                        // What has ended makes room for another.
                        self.running.remove(polled);
                        if !take(at, output) {
                            return Poll::Ready(());
                        }
                    }
                }
            }
        }
        match self.running.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Waker;

    use super::*;

    /// Runs what wakes itself.
    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
        }
        panic!("it waits for ever");
    }

    /// Pending so many times.
    async fn pause(times: usize) {
        let mut left = times;
        std::future::poll_fn(|_| {
            let ready = left == 0;
            left = left.saturating_sub(1);
            match ready {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    #[test]
    fn what_waits_for_one_another_goes_on_and_keeps_its_order() {
        let here = &Cell::new(0);
        let outputs = run(side_by_side((0..9).map(|n| async move {
            here.set(here.get() + 1);
            // Each waits for all the others to be here.
            std::future::poll_fn(|_| match here.get() {
                9 => Poll::Ready(()),
                _ => Poll::Pending,
            })
            .await;
            pause(9 - n).await;
            n
        })));
        assert_eq!(outputs, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_run_than_may_and_all_have_their_turn() {
        let (here, most) = (&Cell::new(0), &Cell::new(0));
        let outputs = run(at_most(
            3,
            (0..20).map(|n| async move {
                here.set(here.get() + 1);
                most.set(most.get().max(here.get()));
                pause(n % 4).await;
                here.set(here.get() - 1);
                n
            }),
        ));
        assert_eq!(outputs, (0..20).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
        // Those that never wait, too.
        assert_eq!(run(at_most(2, (0..5).map(|n| async move { n }))).len(), 5);
        assert!(run(side_by_side(std::iter::empty::<std::future::Ready<()>>())).is_empty());
    }

    #[test]
    fn threads_wait_for_one_another_and_keep_the_order() {
        // Were they one after another, the first would wait for ever.
        let barrier = std::sync::Barrier::new(5);
        let items: Vec<_> = (0..5).collect();
        let doubled = in_threads(5, &items, |n| {
            barrier.wait();
            2 * n
        });
        assert_eq!(doubled, [0, 2, 4, 6, 8]);
        let items: Vec<_> = (0..50).collect();
        assert_eq!(in_threads(3, &items, |n| *n), items);
        assert!(in_threads(0, &[(); 0], |()| ()).is_empty());
    }

    #[test]
    fn the_first_success_ends_it_and_failures_come_in_order() {
        let ask = |n: usize| async move {
            match n {
                // It never answers, and nobody waits for it.
                0 => std::future::pending().await,
                2 => {
                    pause(3).await;
                    Ok(n)
                }
                _ => Err(n),
            }
        };
        assert_eq!(run(first_success((0..4).map(ask))), Ok(2));
        let fail = |n: usize| async move {
            pause(5 - n).await;
            Err::<(), _>(n)
        };
        assert_eq!(run(first_success((0..4).map(fail))), Err(vec![0, 1, 2, 3]));
    }
}
