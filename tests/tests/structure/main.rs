//! The shape of the project: which crate knows which, what every file begins with, and where the pages' links lead.

mod assumptions;
mod example;
mod files;
mod layers;
mod pages;
mod points;
mod real;
mod recording;
mod security;
mod site;
mod sizes;
mod yaml;

use std::path::PathBuf;

/// The repository.
fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
