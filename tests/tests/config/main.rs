//! The configuration: fixtures, schema, what editors make of it, and documentation.

mod docs;
mod editor;
mod explain;
mod fixtures;
mod load;
mod samples;
mod schema;
mod upgrading;

use std::path::{Path, PathBuf};

use tests::pages::{assert_fresh, repository};

/// The YAML files of a folder of the repository, in order.
fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository().join(folder))
        .expect(folder)
        .map(|entry| entry.expect(folder).path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no fixture");
    files
}

/// The file's name without its extension.
fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .expect("named in ASCII")
}
