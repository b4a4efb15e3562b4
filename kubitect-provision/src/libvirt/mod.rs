//! The port on the `virt` crate; nothing else imports it.

mod capability;
mod connect;
pub mod domain;
mod machine;
mod metadata;
pub mod network;
pub mod pool;
mod stream;
mod verbs;
pub mod volume;
mod xml;

pub use connect::Libvirt;
