//! The output of commands: plans, problems, events and logs, on the terminal and in files.

mod block;
mod clean;
pub mod debug;
pub mod log;
mod plans;
mod problems;
mod reporter;
mod view;

pub use clean::{RFC3339, time};
pub use plans::{fitted, of_plan};
pub use problems::{failure, hint, problems, set_color};
pub use reporter::Reporter;
pub use view::View;
