//! The port on the `virt` crate; nothing else imports it. Without the feature `libvirt`, only what is written for libvirt is here.

#![cfg_attr(
    not(any(feature = "libvirt", test)),
    expect(dead_code, reason = "what reads libvirt's answers")
)]

#[cfg(not(feature = "libvirt"))]
mod absent;
mod added;
#[cfg(feature = "libvirt")]
mod agent;
#[cfg(feature = "libvirt")]
mod capability;
#[cfg(feature = "libvirt")]
mod connect;
pub mod domain;
mod domain_seen;
mod edit;
#[cfg(feature = "libvirt")]
mod lock;
#[cfg(feature = "libvirt")]
mod lookup;
#[cfg(feature = "libvirt")]
mod machine;
mod metadata;
pub mod network;
pub mod pool;
mod ports;
mod redefine;
#[cfg(feature = "libvirt")]
mod reservation;
#[cfg(feature = "libvirt")]
mod storage;
#[cfg(feature = "libvirt")]
mod stream;
mod uri;
#[cfg(feature = "libvirt")]
mod verbs;
pub mod volume;
mod xml;

#[cfg(not(feature = "libvirt"))]
pub use absent::connect;
#[cfg(feature = "libvirt")]
pub use connect::{Libvirt, connect};
pub use uri::uri;
