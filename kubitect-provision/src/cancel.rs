//! [`Cancel`]: the one token with which a run is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon it is seen that a run is to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks a run to stop. Copies are the same token. Work that blocks ends between two steps; what waits is dropped. The next run
/// goes on from there.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns when the run is to stop.
    pub async fn cancelled(&self) {
        while !self.is_cancelled() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What work that blocks looks at between two steps.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
