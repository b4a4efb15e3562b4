//! Networks, disks and virtual machines of a cluster on libvirt hosts: observe, plan, apply, gather.
//!
//! Data flows one way: a [`Cluster`](kubitect_config::Cluster) becomes what is [`desired`], the hosts are [`observe`]d,
//! their difference is a [`Plan`], and only [`apply`](apply::apply) changes anything. libvirt is the truth: nothing is
//! remembered between runs, so a run that died is simply run again.
//!
//! ```no_run
//! # async fn demo(
//! #     cluster: &kubitect_config::Cluster,
//! #     folder: &std::path::Path,
//! # ) -> Result<kubitect_config::Facts, Box<dyn std::error::Error>> {
//! use kubitect_provision::{Cancel, Event, Hosts, Inputs, apply, cloud_init, gather, image, plan, ssh::Keys};
//!
//! let (cancel, tell) = (Cancel::default(), |event: Event| println!("{event}"));
//! let hosts = Hosts::connect(cluster)?;
//! let plan = plan(cluster, &hosts)?; // reads only
//! println!("{plan}");
//! // What it is carried out with: the base image, and a seed with its keys for each machine that is made.
//! let keys = Keys::ensure(&folder.join("ssh"), cluster, None)?;
//! let mut inputs = Inputs::default();
//! if plan.needs_image() {
//!     inputs.image = Some(image::fetch(&cluster.guest.image, folder, cancel.flag(), &tell)?);
//! }
//! for node in &cluster.nodes {
//!     if plan.needs_seeds().any(|name| *name == node.name) {
//!         let own = keys.machine(&node.name).ok_or("it has no key")?;
//!         let documents = cloud_init::documents(cluster, node, &own);
//!         inputs.seeds.insert(node.name.clone(), cloud_init::seed::image(&documents)?);
//!     }
//! }
//! apply(&plan, &hosts, &inputs, cancel.flag(), &tell)?; // blocks
//! let facts = gather::gather(cluster, &hosts, &keys, cancel.flag(), &tell).await?; // where they are
//! # Ok(facts)
//! # }
//! ```
//!
//! [`Fleet`] does all of this in a cluster's folder, and waits until the machines can be logged in on.

mod again;
pub mod apply;
pub mod archive;
pub mod at_work;
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
mod snapshots;
pub mod ssh;
mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod trust;
mod uploads;
mod users;
mod way;

pub use apply::{Inputs, apply};
pub use cancel::Cancel;
pub use client::write_client_config;
pub use error::Error;
pub use event::{Event, Outcome};
pub use fleet::Fleet;
pub use hypervisor::Hosts;
pub use image::LocalImage;
pub use plan::Plan;
pub use planner::{ground, plan, plan_destroy, plan_destroy_without, plan_of};
pub use recovery::recover;
