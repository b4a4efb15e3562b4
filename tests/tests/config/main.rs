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

/// The repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

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

/// Compares a generated file with the one that is checked in; with `UPDATE_DOCS=1`, writes it.
fn assert_fresh(path: &str, generated: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, generated).expect(path);
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == generated,
        "{path} is out of date: run this test with UPDATE_DOCS=1 and look at the difference"
    );
}
