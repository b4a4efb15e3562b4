//! Signals that interrupt (Ctrl-C, SIGTERM, SIGHUP): the first one cancels the work, the second one ends the process. And runtimes
//! that end in time.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use kubitect_provision::Cancel;

/// Work that blocks has to end within this time once nothing waits for it; else it is abandoned.
const END: Duration = Duration::from_secs(2);
/// After the second signal the process has to end within this time; else it is aborted.
const EXIT: Duration = Duration::from_secs(1);

/// Does work on a runtime of its own. The first Ctrl-C, SIGTERM or SIGHUP (the terminal is closed) calls `stop` on another
/// thread. The second one calls `before_exit` and ends the process at once, which is safe: the next run goes on from any state.
fn on_runtime<T>(
    stop: impl FnOnce() + Send + 'static,
    before_exit: impl FnOnce(u8) + Send + 'static,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    // A task of its own runs on another thread while this one blocks on libvirt.
    runtime.spawn(watch(stop, before_exit));
    Ok(end(runtime, work))
}

/// The same for work that ends when it is cancelled.
pub fn until_interrupted<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    until_interrupted_and(cancel, drop, work)
}

/// The same; before the second signal ends the process, `before_exit` is called with the exit code.
pub fn until_interrupted_and<T>(
    cancel: &Cancel,
    before_exit: impl FnOnce(u8) + Send + 'static,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let cancel = cancel.clone();
    on_runtime(move || cancel.cancel(), before_exit, work)?
}

/// Does work on a runtime of its own. A signal ends the process at once: nothing is changed by this work.
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
    // Dropping the runtime would wait for threads that block, for ever if they hang.
    runtime.shutdown_timeout(END);
    result
}

async fn watch(stop: impl FnOnce(), before_exit: impl FnOnce(u8)) {
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
    // Exit handlers may wait for the very thing that hangs; then the process is aborted.
    std::thread::spawn(|| {
        std::thread::sleep(EXIT);
        std::process::abort();
    });
    before_exit(Failure::INTERRUPTED);
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
