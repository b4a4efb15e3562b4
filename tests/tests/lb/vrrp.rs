//! Running keepaliveds with the rendered files: what the program that asks them reports while they start, fail, and don't hear
//! one another.

use kubitect_lb::{KEEPALIVED, render};

use crate::cluster::cluster;
use tests::checkers::run;

#[test]
fn keepalived_tells_who_has_the_address_and_who_could_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, facts) = cluster(2, 3, 0);
    let mut machines = Vec::new();
    for (files, name) in render(&cluster, &facts).unwrap().iter().zip(["lb1", "lb2"]) {
        let text = files.keepalived.as_ref().unwrap();
        std::fs::write(folder.path().join(format!("{name}.conf")), text).unwrap();
        let address = files.vrrp.as_ref().unwrap().address;
        machines.push(format!("{name}={address}"));
    }
    let script = folder.path().join("vrrp.py");
    std::fs::write(&script, include_str!("vrrp.py")).unwrap();
    let (folder, script) = (folder.path().to_str().unwrap(), script.to_str().unwrap());
    let argv = [
        "--net",
        "--mount",
        "--fork",
        "--kill-child",
        "python3",
        script,
        folder,
        KEEPALIVED,
    ];
    let vip = cluster.balancing.vip.unwrap().to_string();
    let machines = machines.iter().map(String::as_str);
    let argv: Vec<_> = argv
        .into_iter()
        .chain([vip.as_str()])
        .chain(machines)
        .collect();
    let output = run("unshare", &argv);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "(it needs root) {complaints}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{seen:#}");

    let backup = "BACKUP 0 192.168.113.100";
    for (what, wanted) in [
        ("started", ["MASTER 1 -", backup]),
        ("watched", ["MASTER 1 -", backup]),
        ("check fails", ["MASTER 1 -", "FAULT 0 -"]),
        ("check passes", ["MASTER 1 -", backup]),
        ("cut", ["MASTER 1 -", "MASTER 1 -"]),
    ] {
        assert_eq!(seen[what], serde_json::json!(wanted), "{what}");
    }
    assert_eq!(seen["deaf"], "BACKUP 0 10.9.0.9");
    assert_eq!(seen["fifo"], "UNKNOWN 0 -");
    let early = seen["early"].as_str().unwrap();
    assert!(
        early.starts_with("BACKUP") || early.starts_with("MASTER"),
        "{early}"
    );
    assert_eq!(seen["alone"], serde_json::json!(["MASTER 1 -"]));
    assert_eq!(seen["in vain"], "FAULT 0 -");
    assert_eq!(seen["changing"], "CHANGING 1 -");
    let joined = seen["joined"].to_string();
    assert!(
        joined.contains("MASTER 1 -") && joined.contains("BACKUP 0"),
        "{joined}"
    );
    let stopped = seen["stopped"].as_str().unwrap();
    assert!(
        stopped.starts_with("failed: keepalived does not run"),
        "{stopped}"
    );
}
