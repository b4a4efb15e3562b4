//! SSH to the machines, with host keys that are known before the first connection.
//!
//! Each machine's host key is made here ([`Keys`]), given to the machine by cloud-init, and pinned by every [`Session`]: there is
//! no trust on first use. [`ready`] waits until SSH answers and cloud-init is done.

mod cloud_init_errors;
mod cloud_init_stages;
mod config;
mod grow;
mod jump;
pub mod keys;
pub mod known_hosts;
pub mod private_key;
pub mod quote;
pub mod session;
mod sessions;
mod short_ecdsa;
pub mod wait;

#[cfg(test)]
mod tests;

pub use config::client_config;
pub use grow::take_in_use;
pub use keys::{Keys, MachineKeys, remove_other_host_keys};
pub use session::{Session, Target};
pub use sessions::Sessions;
pub use wait::{Ready, WaitLimits, ready};
