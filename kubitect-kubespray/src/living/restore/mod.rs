//! A cluster's etcd is restored from a snapshot: [`Content`] is what the snapshot holds, [`Restore`] the plan, and
//! `Restore::carry_out` carries it out.
//!
//! The snapshot is unpacked on each master while etcd runs, by etcd's own program, which checks it. Only then the control plane
//! and all members stop, their data are set aside, and they start with the unpacked data: as a new etcd cluster, so that no
//! member mixes with members of the former one. A killed run is started over by the same command, from what is on the masters.
//! Until it has ended, a note on the masters has every plan refuse other work.

mod bolt;
mod check;
mod content;
mod plan;
mod proto;
mod work;

pub use content::Content;
pub use plan::Restore;
pub use work::Restored;
