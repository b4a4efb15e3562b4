//! The shape of the project: which crate knows which, and what every file begins with.

mod assumptions;
mod example;
mod files;
mod layers;
mod points;
mod real;
mod sizes;
mod yaml;

use std::path::PathBuf;

/// The repository.
fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
