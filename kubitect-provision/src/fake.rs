//! the port in memory.
