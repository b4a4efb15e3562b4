//! The port on the `virt` crate; nothing else imports it.

mod connect;
pub mod domain;
mod metadata;
pub mod network;
pub mod pool;
mod verbs;
pub mod volume;
mod xml;

pub use connect::Libvirt;
