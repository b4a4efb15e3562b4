//! [`Hypervisor`](crate::hypervisor::Hypervisor) with libvirt, by the crate `virt`, which nothing else imports. Without the feature
//! `libvirt`, only the writers and readers of XML are here.

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
#[cfg(feature = "libvirt")]
mod domain_change;
mod domain_state;
mod edit;
#[cfg(feature = "libvirt")]
mod lock;
#[cfg(feature = "libvirt")]
mod lookup;
mod metadata;
pub mod network;
#[cfg(feature = "libvirt")]
mod operations;
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
pub mod volume;
mod xml;

#[cfg(not(feature = "libvirt"))]
pub use absent::connect;
#[cfg(feature = "libvirt")]
pub use connect::{Libvirt, connect};
pub use uri::uri;
