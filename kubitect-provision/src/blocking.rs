//! Work that blocks, in programs that have a tokio runtime.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Error;

/// How soon it is seen that nobody wants an answer any more.
const LOOK: Duration = Duration::from_millis(100);

/// Does work that blocks; what else goes on in a runtime of several threads goes on elsewhere meanwhile.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match of_several_threads() {
        Ok(_) => tokio::task::block_in_place(work),
        Err(_) => work(),
    }
}

/// Does work to its end on the thread that calls this.
///
/// # Errors
/// There is no runtime, or it has one thread, on which work that blocks would end the program.
pub fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = of_several_threads()?;
    Ok(tokio::task::block_in_place(|| runtime.block_on(work)))
}

/// What `work`, which blocks, gives within `limit`, on a thread of its own. Nothing: the time is over, or `stopped` says that nobody
/// wants it any more; then it is left to end by itself.
pub(crate) fn answer<T: Send + 'static>(
    limit: Duration,
    stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let end = Instant::now() + limit;
    let (sender, receiver) = mpsc::channel();
    // Nobody listens any more once the time is over.
    thread::spawn(move || drop(sender.send(work())));
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(LOOK)) {
            Ok(given) => return Some(given),
            Err(RecvTimeoutError::Timeout) if left > LOOK && !stopped() => {}
            Err(_) => return None,
        }
    }
}

fn of_several_threads() -> Result<Handle, Error> {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread => Ok(runtime),
        _ => Err(Error::failed(
            "begin: this needs a tokio runtime of several threads, as `#[tokio::main]` makes it",
        )),
    }
}
