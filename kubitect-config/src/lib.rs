//! Kubitect's configuration: from YAML text to a complete and consistent [`Cluster`].
//!
//! The crate is pure: it opens no connection, starts no program and reads no environment. `Cluster` and [`Facts`]
//! are the nouns that all other Kubitect crates share.

pub mod cluster;
mod facts;
mod problem;
pub mod release;
mod site;
pub mod value;

pub use cluster::Cluster;
pub use facts::{Facts, NodeFacts};
pub use problem::{Problem, Severity};
pub use site::Site;
