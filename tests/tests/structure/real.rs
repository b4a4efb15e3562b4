//! The ring with the real Kubespray, as far as it can be checked without running it: the versions fit, and the scripts parse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubitect_config::release;
use kubitect_config::value::Version;

use crate::repository;

fn ring() -> PathBuf {
    repository().join("tests/real")
}

/// The version of `module` that a folder's go.mod requires.
fn required(folder: &Path, module: &str) -> Version {
    let text = fs::read_to_string(folder.join("go.mod")).unwrap();
    let found = text.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        line.strip_prefix(module)?.strip_prefix(' ')
    });
    let found = found.unwrap_or_else(|| panic!("{}: no {module}", folder.display()));
    found.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_ring_upgrades_between_versions_of_the_newest_release() {
    let newest = release::all().last().unwrap();
    let tag = fs::read_to_string(ring().join("release")).unwrap();
    assert_eq!(tag.trim(), newest.tag.to_string());
    let ends: Vec<_> = fs::read_dir(ring().join("programs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("/kubernetes-"))
        .map(|path| required(&path, "k8s.io/kubernetes"))
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for end in &ends {
        assert!(newest.supports(end), "{} does not set up {end}", newest.tag);
    }
    let (one, other) = (ends[0].minor(), ends[1].minor());
    assert_eq!(one.1.abs_diff(other.1), 1, "{ends:?}");
}

#[test]
fn the_first_plays_are_of_known_releases_with_what_they_set_up() {
    let text = fs::read_to_string(ring().join("first-plays")).unwrap();
    let mut tags = Vec::new();
    for line in text.lines() {
        let (tag, kubernetes) = line.split_once(' ').unwrap();
        let pinned = release::find(&tag.parse().unwrap());
        let pinned = pinned.unwrap_or_else(|| panic!("{tag} is not in the table"));
        assert!(pinned.supports(&kubernetes.parse().unwrap()), "{line}");
        tags.push(pinned.tag.clone());
    }
    assert_eq!(tags.last(), Some(&release::newest().tag));
}

#[test]
fn every_set_of_programs_is_pinned() {
    for entry in fs::read_dir(ring().join("programs")).unwrap() {
        let folder = entry.unwrap().path();
        let module = fs::read_to_string(folder.join("go.mod")).unwrap();
        if module.contains("require") {
            let sums = fs::read_to_string(folder.join("go.sum")).unwrap();
            assert!(!sums.is_empty(), "{}", folder.display());
        }
    }
}

#[test]
fn the_rings_scripts_parse() {
    let mut scripts = vec![repository().join("tests/real.sh")];
    let entries = fs::read_dir(ring()).unwrap();
    scripts.extend(entries.map(|entry| entry.unwrap().path()));
    let mut checked = 0;
    for script in scripts {
        let mut command = match script.extension().and_then(|e| e.to_str()) {
            Some("sh") => {
                let mut command = Command::new("bash");
                command.arg("-n");
                command
            }
            Some("py") => {
                let mut command = Command::new("python3");
                let read = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
                command.args(["-B", "-c", read]);
                command
            }
            _ => continue,
        };
        let output = command.arg(&script).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", script.display());
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} scripts were found");
}
