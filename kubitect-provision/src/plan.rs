//! what is to be done.
