//! Reading files: what is too large, not text or not there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kubitect_config::{Error, Site, load, load_stored, parse};

/// A file that is too large is refused by its size: nobody waits for a terabyte to be read.
#[test]
fn large_files_are_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.yaml");
    let file = std::fs::File::create(&path).unwrap();
    for (bytes, told) in [(10_000_000, "9.5"), (1 << 40, "1048576.0")] {
        file.set_len(bytes).unwrap();
        let error = load(&path, &Site::default()).unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!(problem.code, "file-too-large");
        assert_eq!(
            problem.message,
            format!("the file is {told} MiB long; at most 4 MiB are read")
        );
    }
}

/// Just below the limit, the number of values is what ends it.
#[test]
fn four_megabytes_of_values_are_refused() {
    let error = parse(&"- a\n".repeat(1 << 20), "many.yaml", &Site::default()).unwrap_err();
    assert_eq!(error.problems()[0].code, "yaml-too-large");
}

#[test]
fn a_long_line_of_problems_takes_linear_time() {
    let keys: String = (0..50_000).map(|n| format!("k{n}: 1\n")).collect();
    let begin = worked();
    let keys = format!("hosts: []\n{keys}");
    let error = parse(&keys, "keys.yaml", &Site::default()).unwrap_err();
    assert!(error.problems().len() > 50_000);
    let took = worked() - begin;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// How long this thread has been on a processor: a machine that does much else takes no part in it.
fn worked() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// The codes of errors with which a file has no meaning, or not one meaning. With all others it is read as it was kept: what
/// Kubespray would refuse keeps nobody from looking at a cluster that is there, and from destroying it. A new code belongs here, or
/// among the conditions that are tolerated (`load.rs`).
const WITHOUT_MEANING: [&str; 56] = [
    "address",
    "address-duplicate",
    "address-gateway",
    "address-range",
    "balancer-missing",
    "bridge",
    "checksum",
    "cidr",
    "connection",
    "disk-duplicate",
    "disk-name",
    "distro",
    "empty",
    "host-default",
    "host-duplicate",
    "host-name",
    "host-unknown",
    "hosts-missing",
    "id",
    "id-duplicate",
    "image-source",
    "interface",
    "kubernetes-unsupported",
    "kubespray-old",
    "kubespray-unknown",
    "label",
    "mac",
    "mac-duplicate",
    "manager-k3s",
    "masters-even",
    "masters-missing",
    "missing",
    "name",
    "name-too-long",
    "not-allowed",
    "older-key",
    "other-file",
    "out-of-range",
    "path",
    "pool-duplicate",
    "pool-name",
    "pool-unknown",
    "port-duplicate",
    "port-name",
    "port-name-duplicate",
    "port-reserved",
    "proxy",
    "repository",
    "rook-unsupported",
    "taint",
    "unknown-key",
    "uri",
    "user",
    "version",
    "wrong-type",
    "yaml-*",
];

#[test]
fn a_kept_file_is_read_whatever_kubespray_would_say() {
    let mut refused = BTreeSet::new();
    let mut read = 0;
    for path in crate::yaml_files("tests/fixtures/invalid") {
        let problems = load(&path, &Site::default()).unwrap_err();
        let problems = problems.problems().len();
        match load_stored(&path, &Site::default(), None) {
            Ok(kept) => {
                assert_eq!(kept.warnings.len(), problems, "{}", path.display());
                read += 1;
            }
            Err(error) => {
                let errors = error.problems().iter().filter(|one| one.is_error());
                refused.extend(errors.map(|error| match error.code.split_once('-') {
                    Some(("yaml", _)) => "yaml-*",
                    _ => error.code,
                }));
            }
        }
    }
    assert_eq!(refused, BTreeSet::from(WITHOUT_MEANING));
    assert!(read >= 25, "only {read} files were read");
}

#[test]
fn what_is_not_text_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("binary.yaml");
    std::fs::write(&path, b"hosts:\n  - name: \xff\n").unwrap();
    let error = load(&path, &Site::default()).unwrap_err();
    assert_eq!(error.problems()[0].message, "line 2 is not UTF-8 text");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = load(Path::new("/nowhere/cluster.yaml"), &Site::default()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    assert_eq!(error.to_string(), "read /nowhere/cluster.yaml");
    let error = load(Path::new("/"), &Site::default()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_problem() {
    let path = crate::repository().join("examples/multi-master.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let expected = parse(&text, "unix", &Site::default()).unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(
        parse(&windows, "windows", &Site::default())
            .unwrap()
            .cluster,
        expected.cluster
    );
    let broken = windows.replace("mode: nat", "mode: net");
    let error = parse(&broken, "windows", &Site::default()).unwrap_err();
    let problem = &error.problems()[0];
    assert_eq!(
        (problem.line, problem.column, &broken[problem.span.clone()]),
        (9, 11, "net")
    );
}
