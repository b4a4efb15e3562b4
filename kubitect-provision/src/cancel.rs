//! [`Cancel`]: the token by which a run is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time between two checks of the token.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks a run to stop. Clones are the same token. Blocking work ends between two steps; futures that wait are dropped. The next
/// run goes on from there.
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

    /// The flag that blocking work checks between two steps.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
