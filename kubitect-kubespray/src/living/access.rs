//! [`Access`]: what Kubernetes on a living cluster is worked on with. Whoever composes the crates brings it.

use kubitect_config::remote::{Doing, Machines};
use kubitect_config::value::Label;

/// What the work on Kubernetes asks of whoever has machines and balancers.
pub trait Access: Send + Sync {
    /// The machines, those that leave among them.
    fn machines(&self) -> &dyn Machines;

    /// Keeps new connections away from a master at all balancers (`away`), or lets them come again.
    fn balance<'a>(&'a self, master: &'a Label, away: bool) -> Doing<'a, ()>;
}
