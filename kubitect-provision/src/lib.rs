//! Networks, disks and virtual machines of a cluster on libvirt hosts: observe, plan, apply, gather.

pub mod apply;
mod base;
pub mod change;
pub mod cloud_init;
pub mod desired;
mod diff;
mod error;
mod event;
#[cfg(feature = "fake")]
pub mod fake;
mod file;
pub mod gather;
pub mod hypervisor;
pub mod image;
pub mod journal;
pub mod libvirt;
pub mod machine;
pub mod observe;
pub mod plan;
pub mod preflight;
mod removal;
pub mod resource;
pub mod ssh;
#[cfg(test)]
mod testing;

pub use apply::{Inputs, LocalImage, apply};
pub use error::Error;
pub use event::{Event, Outcome};
pub use hypervisor::Hosts;
pub use plan::{Plan, plan, plan_destroy};
