//! Raw to checked: every rule that the schema cannot say, each problem reported, nothing given up early.

mod addresses;
mod balancer;
mod certificate;
mod claim;
mod conditions;
mod disk;
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
mod words;

pub(crate) use conditions::known_values;
pub(crate) use root::cluster;
pub(crate) use site::site;
