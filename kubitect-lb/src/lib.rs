//! The load balancer in front of a cluster's control plane: HAProxy, and keepalived where an address is shared.
//!
//! [`render`] is pure: a cluster and its facts ([`Facts::placeholders`](kubitect_config::Facts::placeholders), before there is a
//! machine) become the files of every balancer. [`roll_out`] puts them in place and goes back to the previous file where the new
//! one does not serve. [`plan`] lists beforehand the files that differ.
//! The crate opens no connection itself: its caller passes a [`Remote`](kubitect_config::Remote).
//!
//! ```
//! use kubitect_config::{Cluster, Facts};
//! use kubitect_config::remote::{BoxFuture, Output, Remote};
//! use kubitect_lb::Report;
//! use kubitect_config::value::Label;
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! /// A connection to one balancer.
//! struct Session;
//!
//! impl Remote for Session {
//!     fn put<'a>(&'a self, path: &'a str, bytes: &'a [u8], mode: u32, deadline: Duration) -> BoxFuture<'a, ()> {
//!         unimplemented!("write {} bytes to {path} with mode {mode:o}", bytes.len())
//!     }
//!     fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Output> {
//!         unimplemented!("run {argv:?}")
//!     }
//! }
//!
//! async fn balance(
//!     cluster: &Cluster,
//!     facts: &Facts,
//!     sessions: &BTreeMap<Label, Session>,
//! ) -> Result<Report, kubitect_lb::Error> {
//!     let rendered = kubitect_lb::render(cluster, facts)?;
//!     for change in kubitect_lb::plan(&rendered, sessions).await? {
//!         println!("{}: {} differs", change.node, change.file);
//!     }
//!     kubitect_lb::roll_out(&rendered, sessions, &|event| println!("{event}")).await
//! }
//! ```

mod balancer;
mod drain;
mod error;
mod event;
mod haproxy;
mod keepalived;
mod machine;
mod note;
mod plan;
mod render;
mod rollout;
mod service;
mod state;
mod status;
mod template;
mod vrrp;
mod work;

pub use balancer::{API, Balancer, Frontend, Probe, Server, Vrrp, balancers};
pub use drain::{SET_STATE, State, set_state};
pub use error::Error;
pub use event::Event;
pub use haproxy::{FILE as HAPROXY_FILE, PRIVATE_PORT, SOCKET};
pub use keepalived::FILE as KEEPALIVED_FILE;
pub use note::{notes, notes_so_far, outdated, row};
pub use plan::{Change, plan};
pub use render::{Rendered, files, render};
pub use rollout::{Report, holds, roll_out, roll_out_and, wait_serving};
pub use service::{PROBE, Service};
pub use state::{ServerState, out_of_service, servers};
pub use status::{BalancerState, Status, status};
pub use vrrp::{KEEPALIVED, Keepalived, VrrpState};
pub use work::Balancers;
