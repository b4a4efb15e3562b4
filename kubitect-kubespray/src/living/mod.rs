//! Kubernetes on an existing cluster: the notes on its machines ([`note`]), the tasks that follow from them ([`plan`]), and
//! carrying these out ([`Kubernetes`]).
//!
//! Carrying them out needs connections to machines, a place for a text beside each machine, and the balancers. Whoever composes
//! the crates provides the three by an [`Access`].

mod access;
pub mod deprecated;
mod diagnostics;
mod etcd;
mod forecast;
mod half_done;
mod kubernetes;
mod membership;
mod node_plan;
mod nodes;
pub mod note;
pub mod plan;
mod rebuilt_notes;
mod repair;
pub mod restore;
pub mod rows;
mod service;
mod settings;
pub mod snapshot;
mod stage;
mod startup;
mod summary;
mod system;

pub use access::Access;
pub use diagnostics::diagnostics;
pub use forecast::{Forecast, forecast, vacated};
pub use kubernetes::{Context, Kubernetes};
pub use node_plan::{NodePlan, PlanInput, unknown_disk};
pub use note::Note;
pub use stage::{ObservedNode, Stage, Task};
pub use startup::{Startup, WaitStep};
pub use summary::{joined_nodes, newest_release};
