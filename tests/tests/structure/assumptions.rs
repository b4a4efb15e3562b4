//! What our code assumes of machines with Kubernetes (paths, ports, units, probes). No variable of a user's can move it: every
//! such variable is set by Kubitect, or may only have the value that we assume.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubitect_config::release::names;
use kubitect_config::variables::{RELIED, broken, managed};
use serde_yaml::Value;

use crate::repository;

/// What a string in the sources assumes, and Kubespray's variables that would move it. The first entry that fits counts.
const ASSUMPTIONS: [(&str, &[&str]); 39] = [
    // Paths: a part of the string.
    ("/usr/local/bin", &["bin_dir"]),
    (
        "/etc/kubernetes/manifests",
        &["kube_config_dir", "kube_manifest_dir"],
    ),
    ("/etc/kubernetes/ssl", &["kube_config_dir", "kube_cert_dir"]),
    ("/etc/kubernetes", &["kube_config_dir"]),
    ("/etc/ssl/etcd", &["etcd_config_dir", "etcd_cert_dir"]),
    (
        "/etc/etcd.env",
        &["etcd_deployment_type", "etcd_kubeadm_enabled"],
    ),
    ("/var/lib/etcd", &["etcd_data_dir", "etcd_deployment_type"]),
    (
        "/etc/systemd/system/etcd",
        &["etcd_deployment_type", "etcd_kubeadm_enabled"],
    ),
    // kubeadm's own paths, which no variable moves.
    ("/var/lib/kubelet", &[]),
    // Created by Kubitect.
    ("/var/lib/kubitect", &[]),
    // From the distributions' packages.
    ("/etc/haproxy", &[]),
    ("/var/lib/haproxy", &[]),
    ("/etc/keepalived", &[]),
    ("/etc/hosts", &[]),
    ("/etc/os-release", &[]),
    ("/etc/cni", &[]),
    ("/etc/crio", &["container_manager"]),
    ("/etc/systemd", &[]),
    ("/var/lib/cloud", &[]),
    // On this machine.
    ("/usr/local/share", &[]),
    ("/var/lib/libvirt", &[]),
    // Ports.
    (
        "6443",
        &["kube_apiserver_port", "loadbalancer_apiserver_localhost"],
    ),
    ("2379", &[]),
    ("2380", &[]),
    ("2381", &[]),
    ("10250", &[]),
    ("10256", &[]),
    ("10257", &[]),
    ("10259", &[]),
    // Units of systemd: the whole string.
    ("etcd", &["etcd_deployment_type", "etcd_kubeadm_enabled"]),
    (
        "etcd.service",
        &["etcd_deployment_type", "etcd_kubeadm_enabled"],
    ),
    ("kubelet", &[]),
    ("kubelet.service", &[]),
    ("containerd", &["container_manager"]),
    ("docker", &["container_manager"]),
    ("crio", &["container_manager"]),
    // Probes.
    ("/readyz", PROBE),
    ("/livez", PROBE),
    ("127.0.0.1", &["kube_apiserver_bind_address"]),
];

/// The variables that decide whether the API server answers a client without a certificate.
const PROBE: &[&str] = &[
    "kube_api_anonymous_auth",
    "kube_apiserver_authentication_config_anonymous",
    "rbac_enabled",
];

/// Assumptions of what a step does, which no string in the sources shows.
const BY_DEED: [&str; 5] = [
    // There is one etcd, and its members are the masters.
    "etcd_events_cluster_enabled",
    "etcd_events_cluster_setup",
    // A node that joins gets certificates.
    "force_etcd_cert_refresh",
    // Nodes have their machines' names.
    "override_system_hostname",
    // Machines are restarted by Kubitect.
    "system_upgrade",
];

/// The Rust sources below a folder, tests aside.
pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
            found.push(path);
        }
    }
}

/// The strings of a source before its tests.
fn strings(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = code.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.starts_with("#[")
    });
    let mut found = Vec::new();
    for line in lines {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('"') {
            let Some((string, next)) = after.split_once('"') else {
                break;
            };
            found.push(string.to_owned());
            rest = next;
        }
    }
    found
}

/// Whether a string is a path, a port or a unit on a machine.
fn concerns(string: &str) -> bool {
    let is_path = ["/etc/", "/usr/local/", "/var/lib/", "/opt/"]
        .iter()
        .any(|root| string.contains(root));
    let is_word = |c: char| c.is_ascii_digit();
    let is_port = string.split(|c| !is_word(c)).any(|number| {
        [
            "6443", "2379", "2380", "2381", "10250", "10256", "10257", "10259",
        ]
        .contains(&number)
    });
    let is_unit = matches!(
        string,
        "etcd" | "etcd.service" | "kubelet" | "kubelet.service" | "containerd" | "docker" | "crio"
    );
    let is_probe = string.contains("/readyz") || string.contains("/livez");
    let is_local = string.contains("https://127.0.0.1");
    is_path || is_port || is_unit || is_probe || is_local
}

/// All assumptions that a string makes.
fn assumptions(string: &str) -> Vec<&'static (&'static str, &'static [&'static str])> {
    let is_unit = |word: &str| !word.contains('/') && word.starts_with(|c: char| c.is_alphabetic());
    let path = |word: &str| word.starts_with('/');
    let all = ASSUMPTIONS.iter().filter(|(word, _)| match is_unit(word) {
        true => *word == string,
        false => string.contains(word),
    });
    // Of several paths that fit, the longest one, which is the first in the list.
    let mut paths = false;
    all.filter(|(word, _)| {
        let first = !(path(word) && paths);
        paths |= path(word);
        first
    })
    .collect()
}

#[test]
fn no_variable_moves_what_our_code_takes_for_granted() {
    let mut files = Vec::new();
    for package in ["kubespray", "lb", "cli"] {
        sources(
            &repository().join(format!("kubitect-{package}/src")),
            &mut files,
        );
    }
    let mut used = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for string in strings(&text).iter().filter(|string| concerns(string)) {
            let made = assumptions(string);
            assert!(
                !made.is_empty(),
                "{}: {string:?} takes something for granted on a machine. Write it into ASSUMPTIONS, with the variables of \
                 Kubespray that move it, and these into RELIED of kubitect-config/src/variables.rs",
                file.display()
            );
            used.extend(
                made.iter()
                    .flat_map(|(_, variables)| variables.iter().copied()),
            );
        }
    }
    // The walk has found what is known to exist.
    for variable in [
        "bin_dir",
        "kube_config_dir",
        "kube_cert_dir",
        "etcd_cert_dir",
        "kube_api_anonymous_auth",
    ] {
        assert!(used.contains(variable), "{variable}: {used:?}");
    }
}

/// The paths of Kubernetes and etcd on a master, as pages name them: people copy them.
#[test]
fn paths_on_the_pages_are_those_that_our_code_goes_by() {
    let mut files = Vec::new();
    for package in ["kubespray", "config"] {
        let folder = repository().join(format!("kubitect-{package}/src"));
        sources(&folder, &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let literals: BTreeSet<String> = texts.flat_map(|text| strings(&text)).collect();
    let of_masters = [
        "/etc/kubernetes",
        "/etc/ssl/etcd",
        "/etc/etcd",
        "/var/lib/etcd",
        "/var/lib/kubelet",
    ];
    let is_path = |c: char| c.is_alphanumeric() || "/.-_".contains(c);
    let mut faults = Vec::new();
    let mut count = 0;
    for page in tests::pages::all() {
        let words = page.text.split(|c| !is_path(c));
        let words = words.map(|word| word.trim_end_matches(['.', '/']));
        for word in words.filter(|word| of_masters.iter().any(|path| word.starts_with(path))) {
            count += 1;
            let below = format!("{word}/");
            if !literals
                .iter()
                .any(|path| path == word || path.starts_with(&below))
            {
                faults.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(count > 4, "only {count} paths were found");
    assert_eq!(faults, [""; 0]);
}

#[test]
fn every_variable_that_could_move_something_is_refused() {
    let elsewhere = Value::String("elsewhere".to_owned());
    let listed = ASSUMPTIONS
        .iter()
        .flat_map(|(_, variables)| variables.iter());
    for variable in listed.clone().chain(&BY_DEED) {
        let is_ours = managed(variable).is_some() || broken(variable, &elsewhere).is_some();
        assert!(is_ours, "{variable} may be set to anything");
        assert!(
            names::last_with(variable).is_some(),
            "{variable} is no variable of any release"
        );
    }
    for relied in RELIED {
        let reason = listed
            .clone()
            .chain(&BY_DEED)
            .any(|name| *name == relied.name);
        assert!(reason, "{}: nothing relies on it", relied.name);
    }
}
