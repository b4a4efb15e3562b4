//! A running HAProxy with the rendered file: which master answers while others die, and the effect of a reload.

use kubitect_lb::{SOCKET, render};

use crate::cluster::cluster;
use tests::checkers::run;

/// No client waits longer than this for an answer, in seconds, whatever happens to one master.
const LONGEST: f64 = 10.0;

#[test]
fn clients_are_served_while_masters_die_and_balancers_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (config, socket, certificate) = (path("haproxy.cfg"), path("admin.sock"), path("api.pem"));
    let (cluster, facts) = cluster(1, 3, 0);
    let text = render(&cluster, &facts).unwrap().remove(0).haproxy;
    assert!(text.contains(SOCKET));
    // The masters' addresses are this machine's here: where a master is dead, the balancer's wildcard would answer.
    let own = text.replace("bind :6443", "bind 192.168.113.100:6443,127.0.0.1:6443");
    assert_ne!(own, text);
    std::fs::write(&config, own.replace(SOCKET, &socket)).unwrap();
    make_certificate(&certificate);

    let script = path("live.py");
    std::fs::write(&script, include_str!("live.py")).unwrap();
    let programs = folder.path();
    std::fs::write(programs.join("probe.py"), kubitect_lb::PROBE).unwrap();
    std::fs::write(programs.join("set_state.py"), kubitect_lb::SET_STATE).unwrap();
    let argv = [
        "--net",
        "--fork",
        "--kill-child",
        "python3",
        &script,
        &config,
        &socket,
        programs.to_str().unwrap(),
        &certificate,
    ];
    let output = run("unshare", &argv);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "(it needs root) {complaints}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{seen:#}");

    assert_eq!(seen["probe"][0], 0);
    assert_eq!(seen["probe"][1], 1);
    assert!(
        seen["probe"][2]
            .as_str()
            .unwrap()
            .contains("another configuration")
    );
    let masters = ["192.168.113.10", "192.168.113.11", "192.168.113.12"];
    for (what, by) in [("healthy", &masters[..]), ("drained", &masters[1..])] {
        assert_eq!(seen[what]["by"], serde_json::json!(by), "{what}");
    }
    assert_eq!(seen["slow"]["down"], 0);
    assert_eq!(seen["slow"]["cut"], serde_json::Value::Null);
    for what in [
        "healthy",
        "slow",
        "very slow",
        "power off",
        "process killed",
        "drained",
        "reload",
    ] {
        // HAProxy also cuts connections that are being made when it marks the dead master down: those clients have to try again.
        let cut = if what == "power off" { 2 } else { 0 };
        assert!(seen[what]["unanswered"].as_u64().unwrap() <= cut, "{what}");
        assert!(seen[what]["gap"].as_f64().unwrap() < LONGEST, "{what}");
    }
    assert!(seen["power off"]["cut"].as_f64().unwrap() < 15.0);
    assert_eq!(seen["drained"]["said"], "");
    assert!(
        seen["unknown server"]
            .as_str()
            .unwrap()
            .contains("No such server")
    );
    assert_eq!(seen["reload"]["new worker"], true);
    assert_eq!(seen["reload"]["kept"], true);
    for what in ["not ready", "none left"] {
        assert_eq!(seen[what]["by"], serde_json::Value::Null, "{what}");
        assert!(seen[what]["longest"].as_f64().unwrap() < LONGEST, "{what}");
    }
}

/// A certificate and its key in one file.
fn make_certificate(file: &str) {
    let argv = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api",
        "-keyout", file, "-out",
    ];
    let part = format!("{file}.crt");
    let output = run("openssl", &[&argv[..], &[part.as_str()]].concat());
    assert!(output.status.success(), "{output:?}");
    let both = std::fs::read_to_string(file).unwrap() + &std::fs::read_to_string(&part).unwrap();
    std::fs::write(file, both).unwrap();
}
