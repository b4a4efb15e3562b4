//! intent log.
