//! [`Access`]: the machines and balancers of an existing cluster, as the work on Kubernetes needs them. Whoever composes the crates
//! provides it.

use kubitect_config::remote::{BoxFuture, Machines};
use kubitect_config::value::Label;

/// What the work on Kubernetes asks of whoever has machines and balancers.
pub trait Access: Send + Sync {
    /// The machines, those that leave among them.
    fn machines(&self) -> &dyn Machines;

    /// Drains a master at all balancers (`away`: they send it no new connections), or has them send it connections again.
    fn balance<'a>(&'a self, master: &'a Label, away: bool) -> BoxFuture<'a, ()>;
}
