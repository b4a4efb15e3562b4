//! Runs futures or blocking work concurrently: for questions to several machines at the same time.
//!
//! Outputs have the order of the inputs, whichever ends first. No tasks are spawned: if the caller's future is dropped, all
//! futures that it waits for are dropped with it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The most machines that are asked at the same time: enough for any cluster's masters and balancers, and few enough for this
/// process' limit of open files and for the SSH server of a host through which all its machines are reached.
pub const AT_ONCE: usize = 64;

/// Runs futures concurrently in this task, at most [`AT_ONCE`] of them, and gives their outputs in order.
pub async fn side_by_side<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    at_most(AT_ONCE, futures).await
}

/// As [`side_by_side`], with another limit.
pub async fn at_most<F: Future>(
    limit: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    // The iterator is consumed first: so only the futures, and not the iterator, have to be `Send` for this one to be.
    let mut all = All::of(limit, futures.into_iter().collect());
    let mut outputs = BTreeMap::new();
    std::future::poll_fn(|context| {
        all.poll(context, &mut |index, output| {
            outputs.insert(index, output);
            true
        })
    })
    .await;
    outputs.into_values().collect()
}

/// Runs futures concurrently, and gives the first success as soon as there is one; if all fail, their errors in order.
pub async fn first_success<T, E, F: Future<Output = Result<T, E>>>(
    futures: impl IntoIterator<Item = F>,
) -> Result<T, Vec<E>> {
    let mut all = All::of(AT_ONCE, futures.into_iter().collect());
    let mut success = None;
    let mut failures = BTreeMap::new();
    std::future::poll_fn(|context| {
        all.poll(context, &mut |index, output| match output {
            Ok(value) => {
                success.get_or_insert(value);
                false
            }
            Err(error) => {
                failures.insert(index, error);
                true
            }
        })
    })
    .await;
    success.ok_or_else(|| failures.into_values().collect())
}

/// A duration as minutes and seconds: `3:07`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Works on items in at most `limit` threads, for work that blocks. Gives the results in order.
pub fn in_threads<T: Sync, R: Send>(
    limit: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return done;
            };
            done.push((index, work(item)));
        }
    };
    let mut done: BTreeMap<usize, R> = BTreeMap::new();
    std::thread::scope(|scope| {
        let others = limit.max(1).min(items.len()).saturating_sub(1);
        let others: Vec<_> = (0..others).map(|_| scope.spawn(worker)).collect();
        // The caller's thread works, too: for a single item no other is needed.
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

/// Futures that have not begun, and those that run, each with its index.
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

    /// Polls all that may run. `take` gets the index and output of each that ends, and says whether to continue.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        take: &mut dyn FnMut(usize, F::Output) -> bool,
    ) -> Poll<()> {
        // The number of running futures that were polled in this call.
        let mut polled = 0;
        loop {
            while self.running.len() < self.limit
                && let Some((index, future)) = self.waiting.pop_front()
            {
                self.running.push((index, Box::pin(future)));
            }
            if polled == self.running.len() {
                break;
            }
            while let Some((index, future)) = self.running.get_mut(polled) {
                match future.as_mut().poll(context) {
                    Poll::Pending => polled += 1,
                    Poll::Ready(output) => {
                        let index = *index;
                        // Another one may begin in its place.
                        self.running.remove(polled);
                        if !take(index, output) {
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

    /// Polls a future until it ends, without waiting to be woken.
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

    /// A future that is pending so many times.
    async fn pause(times: usize) {
        let mut remaining = times;
        std::future::poll_fn(|_| {
            let ready = remaining == 0;
            remaining = remaining.saturating_sub(1);
            match ready {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    #[test]
    fn futures_that_wait_for_one_another_end_and_keep_their_order() {
        let begun = &Cell::new(0);
        let outputs = run(side_by_side((0..9).map(|n| async move {
            begun.set(begun.get() + 1);
            // Each waits until all have begun.
            std::future::poll_fn(|_| match begun.get() {
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
    fn no_more_than_the_limit_run_and_all_end() {
        let (running, most) = (&Cell::new(0), &Cell::new(0));
        let outputs = run(at_most(
            3,
            (0..20).map(|n| async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                pause(n % 4).await;
                running.set(running.get() - 1);
                n
            }),
        ));
        assert_eq!(outputs, (0..20).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
        // Futures that never wait, too.
        assert_eq!(run(at_most(2, (0..5).map(|n| async move { n }))).len(), 5);
        assert!(run(side_by_side(std::iter::empty::<std::future::Ready<()>>())).is_empty());
    }

    #[test]
    fn threads_wait_for_one_another_and_keep_the_order() {
        // If they ran one after another, the first would wait for ever.
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
                // It never ends, and is not waited for.
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
