//! Sizes: the lines of functions and files, the lines of the command line; and no cycles among modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{files, repository};

pub const CRATES: [&str; 5] = ["config", "provision", "lb", "kubespray", "cli"];

/// The most lines of a file, with its tests.
const FILE: usize = 400;

/// At most so many code lines of kubitect-cli are allowed now, with room for its everyday commands. The goal is 2,000.
const CLI: usize = 6_045;

/// Words that the code of kubitect-cli may not contain: what they name belongs to the libraries.
const FOREIGN: [&str; 3] = ["etcd", "quorum", "drain"];

/// The sources of a crate, by their paths from the repository, without their tests.
fn sources(package: &str) -> BTreeMap<String, String> {
    fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                collect(&path, all);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    collect(
        &repository().join(format!("kubitect-{package}/src")),
        &mut all,
    );
    let sources = all.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let path = path.strip_prefix(repository()).unwrap();
        (path.display().to_string(), text.to_owned())
    });
    sources.collect()
}

fn all_sources() -> BTreeMap<String, String> {
    CRATES.iter().flat_map(|package| sources(package)).collect()
}

/// Lines that are neither blank nor comments.
fn code(text: &str) -> usize {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

/// The lines of each function with a body, from `fn` to the brace that ends it, as rustfmt sets them.
fn functions(text: &str) -> Vec<usize> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start().split(' ');
        let mut words = words.skip_while(|word| {
            ["pub", "const", "async"].contains(word) || word.starts_with("pub(")
        });
        if words.next() != Some("fn") || line.ends_with(';') {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indent);
            rest.is_some_and(|rest| rest == "}" || (rest.starts_with(')') && rest.ends_with(';')))
        };
        match line.ends_with('}') {
            true => found.push(1),
            false => {
                let end = lines[start..].iter().position(ends).unwrap();
                found.push(end + 1);
            }
        }
    }
    found
}

/// Half of the functions have at most so many lines; nine in ten have at most 35.
const MEDIAN: usize = 9;

#[test]
fn functions_are_short() {
    let mut lines: Vec<_> = all_sources()
        .values()
        .flat_map(|text| functions(text))
        .collect();
    lines.sort_unstable();
    let (median, most) = (lines[lines.len() / 2], lines[lines.len() * 9 / 10]);
    println!(
        "{} functions: median {median} lines, nine in ten at most {most}",
        lines.len()
    );
    assert!(
        lines.len() > 1_000 && median <= MEDIAN && most <= 35,
        "{median} {most}"
    );
}

#[test]
fn files_are_small() {
    let mut all = Vec::new();
    files::collect(&repository(), &mut all);
    all.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    all.retain(|path| fs::read_to_string(path).unwrap().lines().count() > FILE);
    assert_eq!(all, Vec::<PathBuf>::new(), "over {FILE} lines");
}

#[test]
fn the_command_line_is_thin() {
    let own = sources("cli");
    let lines: usize = own.values().map(|text| code(text)).sum();
    println!("{lines} code lines of kubitect-cli");
    assert!(
        lines <= CLI,
        "{lines} lines; what is no composition belongs to the libraries"
    );
}

#[test]
fn the_command_line_leaves_the_cluster_to_the_libraries() {
    let mut speaks = BTreeSet::new();
    for (path, text) in sources("cli") {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            // Strings are for people, and may contain them.
            let parts = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            if FOREIGN
                .iter()
                .any(|word| parts.to_lowercase().contains(word))
            {
                speaks.insert(format!("{path}: {}", line.trim()));
            }
        }
    }
    assert_eq!(speaks, BTreeSet::new());
}

/// For each module at the root of a crate, the modules that its files name.
fn graph(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    let own = sources(package);
    let module = |path: &str| {
        let path = path.split_once("/src/").unwrap().1;
        path.split('/')
            .next()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned()
    };
    let names: BTreeSet<_> = own.keys().map(|path| module(path)).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in &own {
        let from = module(path);
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let text: String = lines.collect::<Vec<_>>().join("\n");
        let mut named = BTreeSet::new();
        for rest in text.split("crate::").skip(1) {
            let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            match list {
                // The names at the head of each entry of a list.
                Some((list, _)) => named.extend(list.split(',').map(|own| head(own).to_owned())),
                None => drop(named.insert(head(rest).to_owned())),
            }
        }
        named.retain(|name| names.contains(name) && *name != from);
        graph.entry(from).or_default().append(&mut named);
    }
    graph
}

fn head(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// All modules that can be reached from a module.
fn reach(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![from.to_owned()];
    while let Some(next) = ahead.pop() {
        for to in graph.get(&next).into_iter().flatten() {
            if reached.insert(to.clone()) {
                ahead.push(to.clone());
            }
        }
    }
    reached
}

#[test]
fn modules_form_no_circles() {
    let mut circles: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
    for package in CRATES {
        let graph = graph(package);
        for name in graph.keys() {
            let with: Vec<_> = reach(&graph, name)
                .into_iter()
                .filter(|other| reach(&graph, other).contains(name))
                .collect();
            if !with.is_empty() {
                circles.insert((package.to_owned(), with));
            }
        }
    }
    assert_eq!(circles, BTreeSet::new());
}
