//! [`Picture`]: a cluster as a person draws it: how clients come in, the network, hosts, and the machines on them.
//!
//! It is plain data, made of a [`Cluster`](kubitect_config::Cluster), to which what was seen of a living cluster may be added. Each form
//! of it is a function: text, Mermaid, DOT, and SVG, whose boxes a layout library places.

mod dot;
mod layout;
mod mermaid;
mod model;
mod svg;
mod words;

#[cfg(test)]
mod tests;

pub use dot::dot;
pub use mermaid::mermaid;
pub use model::{HostBox, MachineBox, Picture, Seen, Way};
pub use svg::svg;
pub use words::words;
