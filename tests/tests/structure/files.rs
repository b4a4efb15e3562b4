//! Every source file begins with the one job it has, and no comment in a crate uses words of our own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pages::WORDS;
use crate::repository;
use crate::sizes::CRATES;

/// All files of the project, without build results and hidden files.
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

/// Whether a line contains these words as whole ones: not `let go` in `kubelet got`.
fn has_words(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + words.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

/// The places at which comments of a source use words of our own for what has a name in the field.
fn own_words(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().zip(1..);
    let comments = lines.filter(|(line, _)| line.trim_start().starts_with("//"));
    let faults = comments.flat_map(|(line, number)| {
        let words = WORDS.iter().chain(&["let go"]);
        let used = words.filter(move |word| has_words(line, word));
        used.map(move |word| format!("{}:{number}: {word}", path.display()))
    });
    faults.collect()
}

#[test]
fn comments_use_the_words_of_the_field() {
    let mut all = Vec::new();
    for package in CRATES {
        collect(
            &repository().join(format!("kubitect-{package}/src")),
            &mut all,
        );
    }
    all.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(all.len() > 150, "only {} files were found", all.len());
    let faults: Vec<_> = all.iter().flat_map(|path| own_words(path)).collect();
    assert_eq!(faults, [""; 0]);
}
