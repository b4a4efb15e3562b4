//! Networks, disks and virtual machines of a cluster on libvirt hosts: observe, plan, apply, gather.
//!
//! Data flows one way: [`desired`] derives the resources of a [`Cluster`](kubitect_config::Cluster), [`observe`] reads the hosts,
//! the difference of both is a [`Plan`], and only [`apply`](apply::apply) changes anything. The state is in libvirt alone: each
//! run observes and plans again, so that a run that was killed is repaired by running it again.
//!
//! ```no_run
//! # async fn demo(
//! #     cluster: &kubitect_config::Cluster,
//! #     folder: &std::path::Path,
//! # ) -> Result<kubitect_config::Facts, Box<dyn std::error::Error>> {
//! use kubitect_provision::{Cancel, Event, Hosts, Inputs, apply, cloud_init, gather, image, plan, ssh::Keys};
//!
//! let (cancel, on_event) = (Cancel::default(), |event: Event| println!("{event}"));
//! let hosts = Hosts::connect(cluster)?;
//! let plan = plan(cluster, &hosts)?; // reads only
//! println!("{plan}");
//! // The inputs of the plan: the base image, and for each new machine a seed with its keys.
//! let keys = Keys::ensure(&folder.join("ssh"), cluster, None)?;
//! let mut inputs = Inputs::default();
//! if plan.needs_image() {
//!     inputs.image = Some(image::fetch(&cluster.guest.image, folder, cancel.flag(), &on_event)?);
//! }
//! for node in &cluster.nodes {
//!     if plan.needs_seeds().any(|name| *name == node.name) {
//!         let machine_keys = keys.machine(&node.name).ok_or("it has no key")?;
//!         let documents = cloud_init::documents(cluster, node, &machine_keys);
//!         inputs.seeds.insert(node.name.clone(), cloud_init::seed::image(&documents)?);
//!     }
//! }
//! apply(&plan, &hosts, &inputs, cancel.flag(), &on_event)?; // blocks
//! let facts = gather::gather(cluster, &hosts, &keys, cancel.flag(), &on_event).await?; // names, addresses, keys
//! # Ok(facts)
//! # }
//! ```
//!
//! [`Fleet`] does all of this in a cluster's folder, and waits until logins on the machines succeed.

pub mod active_run;
pub mod apply;
pub mod archive;
pub mod balloon;
mod base;
pub mod blocking;
mod bounded;
pub mod cancel;
pub mod change;
mod claim;
mod client;
pub mod cloud_init;
mod deadline;
pub mod desired;
mod diff;
pub mod doctor;
mod error;
mod event;
#[cfg(feature = "fake")]
pub mod fake;
pub mod file;
pub mod fleet;
pub mod gather;
pub mod home;
pub mod host_lock;
pub mod hosts;
pub mod hypervisor;
pub mod image;
mod image_target;
mod image_use;
pub mod journal;
pub mod libvirt;
pub mod machine;
mod names;
pub mod observe;
pub mod picture;
pub mod plan;
mod planner;
pub mod power;
pub mod preflight;
pub mod reach;
mod recovery;
mod removal;
pub mod render;
pub mod resource;
mod retry;
mod snapshots;
pub mod ssh;
mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trust;
mod uploads;
mod volume_users;

pub use apply::{Inputs, apply};
pub use cancel::Cancel;
pub use client::write_client_config;
pub use error::Error;
pub use event::{Event, Outcome};
pub use fleet::Fleet;
pub use hypervisor::Hosts;
pub use image::LocalImage;
pub use plan::Plan;
pub use planner::{plan, plan_destroy, plan_destroy_without, plan_of, prerequisites};
pub use recovery::recover;
