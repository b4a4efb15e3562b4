//! SSH to the machines, authenticated from the first connection.
//!
//! Each machine's host key is made here ([`Keys`]), handed over by cloud-init and pinned by every [`Session`]: there
//! is no trust on first use. [`ready`] waits until a machine can be worked with.

mod complaints;
mod config;
mod grown;
mod jump;
pub mod keys;
pub mod known_hosts;
pub mod private_key;
pub mod quote;
pub mod session;
mod sessions;
mod short;
mod stages;
pub mod wait;

#[cfg(test)]
mod tests;

pub use config::client_config;
pub use grown::take_in_use;
pub use keys::{Keys, MachineKeys, forget_others};
pub use session::{Session, Target};
pub use sessions::Sessions;
pub use wait::{Patience, Ready, ready};
