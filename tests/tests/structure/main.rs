//! The shape of the project: which crate depends on which, what every file begins with, where the pages' links lead, and which
//! words comments don't use.

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
