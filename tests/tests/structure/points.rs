//! The points at which tests kill the program: each is listed by name, and none is in the program that people run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::points::POINTS;

use crate::repository;

/// The names in all sources below a folder.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let points = text.split("fail_point!(").skip(1);
            names.extend(points.map(|rest| {
                let name = rest.split('"').nth(1).unwrap();
                assert!(rest.starts_with(&format!("\"{name}\");")), "{rest}");
                name.to_owned()
            }));
        }
    }
}

#[test]
fn the_list_of_points_is_that_of_the_sources() {
    let listed: BTreeSet<_> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), POINTS.len(), "each is listed once");
    let mut found = BTreeSet::new();
    for package in ["config", "provision", "lb", "kubespray", "cli"] {
        let mut own = BTreeSet::new();
        collect(
            &repository().join(format!("kubitect-{package}/src")),
            &mut own,
        );
        let prefix = format!("{package}::");
        assert!(own.iter().all(|name| name.starts_with(&prefix)), "{own:?}");
        found.append(&mut own);
    }
    assert_eq!(found, listed);
}

/// The features of `fail` in a build of these packages, without their tests.
fn features(packages: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["tree", "--locked", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .args(packages)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("fail v"))
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}

#[test]
fn what_people_run_has_none() {
    assert!(fail::has_failpoints(), "the tests have them");
    for packages in [&["--package", "kubitect-cli"][..], &["--workspace"]] {
        let found = features(packages);
        assert!(!found.is_empty(), "{packages:?}");
        for line in found {
            assert!(line.ends_with(" []"), "{packages:?}: {line}");
        }
    }
}
