//! Kubitect's configuration: from YAML text to a complete and consistent [`Cluster`].
//!
//! The crate is pure: it opens no connection, starts no program and reads no environment. `Cluster` and [`Facts`]
//! are the nouns that all other Kubitect crates share.

pub mod cluster;
mod defaults;
mod error;
mod facts;
pub mod images;
mod load;
mod problem;
mod raw;
pub mod release;
mod report;
mod schema;
mod site;
mod structure;
mod tree;
mod validate;
pub mod value;

pub use cluster::Cluster;
pub use error::Error;
pub use facts::{Facts, NodeFacts};
pub use load::{Parsed, load, parse};
pub use problem::{Problem, Severity};
pub use schema::{schema, site_schema};
pub use site::Site;
