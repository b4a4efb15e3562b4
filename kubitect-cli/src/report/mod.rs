//! What a person reads while and after a command works.

mod block;
pub mod debug;
pub mod log;
mod plans;
mod problems;
mod reporter;
mod view;
mod words;

pub use plans::{fitted, of_plan};
pub use problems::{failure, hint, problems, set_color};
pub use reporter::Reporter;
pub use view::View;
pub use words::{RFC3339, time};
