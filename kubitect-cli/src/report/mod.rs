//! What a person reads while and after a command works.

mod block;
pub mod log;
mod problems;
mod reporter;
mod view;
mod watch;

pub use problems::{failure, problems, set_color};
pub use reporter::{Reporter, time};
pub use view::View;
