//! Blocking work in programs that have a tokio runtime.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Error;

/// The time between two checks of `stopped`.
const POLL: Duration = Duration::from_millis(100);

/// Does blocking work on this thread. In a runtime with several threads, other tasks go on meanwhile.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match multi_thread_runtime() {
        Ok(_) => tokio::task::block_in_place(work),
        Err(_) => work(),
    }
}

/// Runs a future to its end on the calling thread.
///
/// # Errors
/// There is no runtime, or it has only one thread, which must not be blocked.
pub fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = multi_thread_runtime()?;
    Ok(tokio::task::block_in_place(|| runtime.block_on(work)))
}

/// The result of blocking work, done in a thread of its own. None: `limit` is over, or `stopped` said that the result is no longer
/// wanted; the thread then ends by itself.
pub(crate) fn run_within<T: Send + 'static>(
    limit: Duration,
    stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let end = Instant::now() + limit;
    let (sender, receiver) = mpsc::channel();
    // The send fails once the limit is over; then the result is dropped.
    thread::spawn(move || drop(sender.send(work())));
    loop {
        let remaining = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(remaining.min(POLL)) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Timeout) if remaining > POLL && !stopped() => {}
            Err(_) => return None,
        }
    }
}

fn multi_thread_runtime() -> Result<Handle, Error> {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread => Ok(runtime),
        _ => Err(Error::failed(
            "begin: this needs a tokio runtime of several threads, as `#[tokio::main]` makes it",
        )),
    }
}
