//! The load balancer in front of a cluster's control plane: HAProxy, and keepalived where an address is shared.
//!
//! [`render`] is pure: a cluster and its facts ([`Facts::placeholders`](kubitect_config::Facts::placeholders), before there is a
//! machine) become the files of every balancer. [`roll_out`] puts them in place and goes back to the previous file where the new
//! one does not serve. [`plan`] lists beforehand the files that differ.
//! The crate opens no connection itself: its caller passes a [`Remote`](kubitect_config::Remote) for each balancer.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use kubitect_config::presets::Preset;
//! use kubitect_config::value::Label;
//! use kubitect_config::{Facts, Remote, Site};
//! use kubitect_lb::{Error, Rendered, Report};
//!
//! let file = Preset::find("example-multi-master").expect("it is one of the presets").text();
//! let cluster = kubitect_config::parse(&file, "cluster.yaml", &Site::default())?.cluster;
//! let rendered = kubitect_lb::render(&cluster, &Facts::placeholders(&cluster))?;
//! assert!(rendered[0].haproxy.contains("frontend kube_api"));
//!
//! async fn balance<R: Remote>(rendered: &[Rendered], balancers: &BTreeMap<Label, R>) -> Result<Report, Error> {
//!     for change in kubitect_lb::plan(rendered, balancers).await? {
//!         println!("{}: {} differs", change.node, change.file);
//!     }
//!     kubitect_lb::roll_out(rendered, balancers, &|event| println!("{event}")).await
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
