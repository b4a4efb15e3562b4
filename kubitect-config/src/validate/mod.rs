//! Validation: from raw types to a checked [`Cluster`](crate::Cluster) or [`Site`](crate::Site).
//!
//! These are the rules that the JSON Schema cannot express. Every problem is reported: a faulty part does not end the checks of
//! others.

mod addresses;
mod balancer;
mod certificate;
mod claim;
mod conditions;
mod disk;
mod formats;
mod forward;
mod host;
mod kubernetes;
mod label;
mod network;
mod node;
mod pair;
mod placing;
mod proxy;
mod root;
mod site;
mod sizes;
mod template;
mod variables;

pub(crate) use conditions::known_values;
pub(crate) use root::cluster;
pub(crate) use site::site;
