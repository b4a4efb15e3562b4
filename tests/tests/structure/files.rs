//! Every source file begins with the one job it has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository;

/// All files of the project, but what is built and what is hidden.
pub fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with('.') || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, all),
            false => all.push(path),
        }
    }
}

fn begins_with_its_job(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with("#!") && !line.starts_with("# shellcheck "));
    let first = lines.next().unwrap_or_default();
    let comment = match path.extension().unwrap().to_str() {
        Some("rs") => first.strip_prefix("//! "),
        _ => first.strip_prefix("# "),
    };
    comment.is_some_and(|job| job.len() > 8)
}

#[test]
fn every_file_begins_with_its_job() {
    let mut all = Vec::new();
    collect(&repository(), &mut all);
    all.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "rs" || extension == "sh")
    });
    assert!(all.len() > 150, "only {} files were found", all.len());
    all.retain(|path| !begins_with_its_job(path));
    assert_eq!(all, Vec::<PathBuf>::new());
}
