//! What a person reads while and after a command works.

mod problems;
mod reporter;

pub use problems::{problems, set_color};
pub use reporter::Reporter;
