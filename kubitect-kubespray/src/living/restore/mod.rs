//! A cluster's etcd brought back to what a snapshot holds: [`Content`] is what the snapshot has in it, [`Restore`] what is done with
//! it, which `Restore::carry_out` does.
//!
//! All is prepared beside what runs, by etcd's own program on each master, which checks the snapshot. Only then the control plane and
//! all members stop, what they hold is set aside, and they start with what was prepared, as an etcd of its own that never mixes with the
//! one before it. Whoever is killed begins anew, by what lies on the masters; a note on them keeps every other work away until then.

mod bolt;
mod content;
mod look;
mod plan;
mod proto;
mod work;

pub use content::Content;
pub use plan::Restore;
pub use work::Restored;
