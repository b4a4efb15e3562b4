//! The kubitect command.
fn main() {}
