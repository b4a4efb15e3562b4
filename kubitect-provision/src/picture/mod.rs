//! [`Picture`]: a diagram of a cluster: where clients connect, the network, the hosts, and the machines on them.
//!
//! It is plain data, made from a [`Cluster`](kubitect_config::Cluster). The observed state of a running cluster may be added.
//! Each format is a function: text, Mermaid, DOT, and SVG, whose boxes a layout library places.

mod dot;
mod layout;
mod mermaid;
mod model;
mod svg;
mod text;

#[cfg(test)]
mod tests;

pub use dot::dot;
pub use mermaid::mermaid;
pub use model::{HostBox, MachineBox, MachineStatus, Picture, Route};
pub use svg::svg;
pub use text::text;
