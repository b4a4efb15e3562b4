//! Programs that check rendered files. A test fails where such a program is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folders of programs, also of those for administrators.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The output of a program that must be installed.
pub fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Output {
    let program = program.as_ref();
    Command::new(program)
        .args(args)
        .env("PATH", PATH)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program:?} ({error}): install it with tests/lab/deps.sh")
        })
}

/// All that a program wrote to stdout and stderr.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn accepted(program: impl AsRef<OsStr>, args: &[&str]) {
    let output = run(&program, args);
    let said = said(&output);
    let program = program.as_ref();
    assert!(output.status.success(), "{program:?} {args:?}: {said}");
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("WARNING") || line.contains("ALERT"))
        .collect();
    assert!(
        complaints.is_empty(),
        "{program:?} {args:?}: {complaints:?}"
    );
}

/// Fails unless HAProxy accepts the file without a warning.
pub fn haproxy(file: &Path) {
    accepted("haproxy", &["-c", "-f", text(file)]);
}

/// Fails unless keepalived accepts the file without a warning. It must name an interface of this machine.
pub fn keepalived(file: &Path) {
    accepted("keepalived", &["--config-test", "--use-file", text(file)]);
}

/// An interface of this machine: keepalived wants one that exists and is not the loopback.
pub fn an_interface() -> String {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    let first = names.into_iter().next();
    first.expect("this machine has no interface but the loopback: make one with `ip link add eth0 type dummy`")
}

/// Fails unless a definition is valid by libvirt's schema of this name.
pub fn libvirt(schema: &str, file: &Path) {
    let output = run("virt-xml-validate", &[text(file), schema]);
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        said(&output)
    );
}

/// The output of cloud-init's check of a user-data.
pub fn cloud_init(file: &Path) -> Output {
    run(
        cloud_init_program(),
        &["schema", "--config-file", text(file)],
    )
}

/// The lab's copy of cloud-init, else the installed one.
fn cloud_init_program() -> PathBuf {
    let labs = cache().map(|cache| cache.join("cloud-init/bin/cloud-init"));
    labs.filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("cloud-init"))
}

/// The folder into which the lab's scripts install what is no package of the system.
pub fn cache() -> Option<PathBuf> {
    if let Some(cache) = std::env::var_os("KUBITECT_LAB_CACHE") {
        return Some(PathBuf::from(cache));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    Some(cache.join("kubitect-lab"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("tests' paths are UTF-8")
}
