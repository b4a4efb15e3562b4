//! what is there.
