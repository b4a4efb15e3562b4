//! HAProxy's and keepalived's own judgement of what is rendered.

use std::path::Path;
use std::process::{Command, Output};

use kubitect_lb::render;

use crate::cluster::{cluster, forward_ports};

/// The output of a program that must be installed: a check that cannot be made is a failed one.
pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}): install it with tests/lab/deps.sh")
        })
}

fn accepted(program: &str, args: &[&str]) {
    let output = run(program, args);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("WARNING") || line.contains("ALERT"))
        .collect();
    assert!(complaints.is_empty(), "{program} {args:?}: {complaints:?}");
}

fn haproxy_accepts(file: &Path) {
    accepted("haproxy", &["-c", "-f", file.to_str().unwrap()]);
}

fn keepalived_accepts(file: &Path) {
    let file = file.to_str().unwrap();
    accepted("keepalived", &["--config-test", "--use-file", file]);
}

/// An interface of this machine: keepalived wants one that exists and is not the loopback.
fn an_interface() -> String {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    let first = names.into_iter().next();
    first.expect("this machine has no interface but the loopback: make one with `ip link add eth0 type dummy`")
}

#[test]
fn haproxy_and_keepalived_accept_what_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    for (balancers, masters, workers) in [(1, 1, 0), (1, 3, 0), (1, 3, 3), (3, 3, 0), (3, 5, 7)] {
        for forwarded in [Vec::new(), forward_ports()] {
            let (mut cluster, facts) = cluster(balancers, masters, workers);
            cluster.guest.interface = an_interface();
            cluster.balancing.vip = Some([192, 168, 113, 99].into());
            cluster.balancing.forward_ports = forwarded;
            for balancer in render(&cluster, &facts).unwrap() {
                let file = folder.path().join("haproxy.cfg");
                std::fs::write(&file, balancer.haproxy).unwrap();
                haproxy_accepts(&file);
                let file = folder.path().join("keepalived.conf");
                std::fs::write(&file, balancer.keepalived.unwrap()).unwrap();
                keepalived_accepts(&file);
            }
        }
    }
}
