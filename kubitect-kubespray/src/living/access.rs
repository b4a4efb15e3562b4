//! [`Access`]: what Kubernetes on a living cluster is worked on with. Whoever composes the crates brings it.

use std::sync::Arc;

use kubitect_config::Remote;
use kubitect_config::cluster::Node;
use kubitect_config::remote::{BoxError, Doing};
use kubitect_config::value::Label;

/// What the work on Kubernetes asks of whoever has machines and balancers.
pub trait Access: Send + Sync {
    /// Logs in on a machine that answers.
    fn connect<'a>(&'a self, name: &'a Label) -> Doing<'a, Arc<dyn Remote>>;

    /// Keeps this text with a node's machine, in place of an earlier one; it is lost with the machine.
    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError>;

    /// Keeps new connections away from a master at all balancers (`drained`), or lets them come again.
    fn balance<'a>(&'a self, master: &'a Label, drained: bool) -> Doing<'a, ()>;
}
