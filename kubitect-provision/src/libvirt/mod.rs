//! The port on the `virt` crate; nothing else imports it.

mod added;
mod agent;
mod capability;
mod connect;
pub mod domain;
mod edit;
mod lookup;
mod machine;
mod metadata;
pub mod network;
pub mod pool;
mod ports;
mod redefine;
mod reservation;
mod stream;
mod verbs;
pub mod volume;
mod xml;

pub use connect::{Libvirt, uri};
