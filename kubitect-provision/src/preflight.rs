//! Checks hosts before anything is created.
