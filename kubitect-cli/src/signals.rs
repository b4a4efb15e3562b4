//! Ctrl-C and its kin: the first asks work to stop, the second ends the process; and runtimes that end in time.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use kubitect_provision::Cancel;

/// How long work that blocks may take to end by itself, once nobody waits for it.
const END: Duration = Duration::from_secs(2);
/// How long the process may take to end, once it is asked a second time.
const EXIT: Duration = Duration::from_secs(1);

/// Does work on a runtime of its own. `stop` is called, on another thread, at the first ctrl-C, SIGTERM or SIGHUP (the terminal is
/// gone); the second one ends the process at once, after `last`. It may be killed anywhere: the next run goes on from there.
fn on_runtime<T>(
    stop: impl FnOnce() + Send + 'static,
    last: impl FnOnce(u8) + Send + 'static,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    // On a thread of its own, so that it comes through while libvirt is waited for.
    runtime.spawn(watch(stop, last));
    Ok(end(runtime, work))
}

/// The same, of work that ends when it is cancelled.
pub fn until_interrupted<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    until_interrupted_and(cancel, drop, work)
}

/// The same; before the second signal ends the process, `last` is called with the exit code.
pub fn until_interrupted_and<T>(
    cancel: &Cancel,
    last: impl FnOnce(u8) + Send + 'static,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let cancel = cancel.clone();
    on_runtime(move || cancel.cancel(), last, work)?
}

/// The same, of work that signals may end at any time.
pub fn on_runtime_alone<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(end(runtime()?, work))
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::because("start", e))
}

fn end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let result = runtime.block_on(work);
    // Dropping it would wait for what blocks, for ever if that hangs.
    runtime.shutdown_timeout(END);
    result
}

async fn watch(stop: impl FnOnce(), last: impl FnOnce(u8)) {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        tracing::debug!("signals can't be waited for");
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    next().await;
    stop();
    next().await;
    // What runs when a process ends may wait for the very thing that hangs.
    std::thread::spawn(|| {
        std::thread::sleep(EXIT);
        std::process::abort();
    });
    last(Failure::INTERRUPTED);
    std::process::exit(Failure::INTERRUPTED.into());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_that_hangs_does_not_keep_a_run_from_ending() {
        let (_held, stuck) = mpsc::channel::<()>();
        let began = Instant::now();
        let done = on_runtime(|| {}, drop, async {
            // Until the test ends.
            tokio::task::spawn_blocking(move || stuck.recv());
            7
        });
        assert_eq!(done.unwrap(), 7);
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it waited for it"
        );
    }
}
