//! The port on the `virt` crate; nothing else imports it.

mod agent;
mod capability;
mod connect;
pub mod domain;
mod lookup;
mod machine;
mod metadata;
pub mod network;
pub mod pool;
mod reservation;
mod stream;
mod verbs;
pub mod volume;
mod xml;

pub use connect::{Libvirt, uri};
