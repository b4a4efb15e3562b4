//! Living clusters: what is set up on their machines ([`note`]), what follows from it ([`plan`]), and doing it
//! ([`Kubernetes`]).
//!
//! What is done needs connections to machines, a text kept with each, and the balancers; whoever has them brings an
//! [`Access`].

mod access;
mod back;
pub mod deprecated;
mod etcd;
mod foresee;
mod half_done;
mod has;
mod kubernetes;
mod look;
mod membership;
mod nodes;
pub mod note;
pub mod plan;
mod recall;
pub mod restore;
mod revive;
pub mod rows;
mod service;
mod settings;
pub mod snapshot;
mod stage;
mod system;

pub use access::Access;
pub use back::{Back, Step};
pub use foresee::{Foreseen, foresee, vacated};
pub use has::{finished, has};
pub use kubernetes::{Context, Kubernetes};
pub use look::{Found, Nodes, not_known};
pub use note::Note;
pub use stage::{Seen, Stage, Task};
