//! The load balancer in front of a cluster's control plane: HAProxy, and keepalived where an address is shared.

mod balancer;
mod error;
mod haproxy;
mod keepalived;
mod render;
mod template;

pub use balancer::{API, Balancer, Frontend, Probe, Server, Vrrp, balancers};
pub use error::{BoxError, Error};
pub use haproxy::{FILE as HAPROXY_FILE, PRIVATE_PORT, SOCKET};
pub use keepalived::FILE as KEEPALIVED_FILE;
pub use render::{Rendered, render};
