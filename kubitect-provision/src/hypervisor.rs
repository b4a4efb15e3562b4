//! the port.
