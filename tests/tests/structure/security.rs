//! Each test that `docs/security.md` names exists.

use std::collections::BTreeSet;
use std::fs;

use super::{files, repository};

#[test]
fn tests_that_the_page_names_are_there() {
    let mut all = Vec::new();
    files::collect(&repository(), &mut all);
    all.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: String = all
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let page = fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let is_test = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.matches('_').count() > 2 && word.chars().all(plain)
    };
    let named: BTreeSet<_> = page.split('`').filter(is_test).collect();
    assert!(named.len() > 30, "{named:?}");
    // Tests of whole runs are named in a list.
    let is_there = |name: &&&str| {
        sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}\","))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert_eq!(missing, [&""; 0]);
}
