//! The crates are a star: a program that uses one part does not get the others' dependencies.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repository;

/// The names of all crates that a program with this one links.
fn linked(package: &str) -> BTreeSet<String> {
    linked_with(package, &[])
}

/// The same, with these features.
fn linked_with(package: &str, features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let names: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    assert!(names.contains(package), "{names:?}");
    names
}

fn ours(package: &str) -> Vec<String> {
    let mut names = linked(package);
    names.remove(package);
    names.retain(|name| name.starts_with("kubitect-"));
    names.into_iter().collect()
}

#[test]
fn only_provision_knows_libvirt() {
    for package in ["kubitect-config", "kubitect-lb", "kubitect-kubespray"] {
        let names = linked(package);
        assert!(
            !names.contains("virt") && !names.contains("virt-sys"),
            "{package}: {names:?}"
        );
    }
    assert!(linked("kubitect-provision").contains("virt"));
}

#[test]
fn who_embeds_the_whole_gets_no_command_line() {
    let of_the_program = [
        "clap",
        "clap_complete",
        "annotate-snippets",
        "tracing-subscriber",
    ];
    let whole = linked("kubitect-cli");
    let library = linked_with("kubitect-cli", &["--no-default-features"]);
    for name in of_the_program {
        assert!(whole.contains(name), "{name}: {whole:?}");
        assert!(!library.contains(name), "{name}: {library:?}");
    }
}

/// Without libvirt's library, files can still be validated and rendered.
#[test]
fn a_build_without_libvirt_has_nothing_of_it() {
    let features = ["--no-default-features", "--features", "program"];
    let names = linked_with("kubitect-cli", &features);
    assert!(names.contains("clap"), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("virt")),
        "{names:?}"
    );
    assert!(linked("kubitect-cli").contains("virt-sys"));
}

#[test]
fn the_configuration_is_pure() {
    let names = linked("kubitect-config");
    for name in ["russh", "tokio", "ureq", "rustix"] {
        assert!(!names.contains(name), "{names:?}");
    }
}

#[test]
fn the_parts_know_the_configuration_and_not_one_another() {
    assert_eq!(ours("kubitect-config"), [""; 0]);
    for package in ["kubitect-provision", "kubitect-lb", "kubitect-kubespray"] {
        assert_eq!(ours(package), ["kubitect-config"], "{package}");
    }
}
