//! The port on the `virt` crate.
