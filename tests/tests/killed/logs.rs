//! Each run leaves one complete log, also the one that removes its cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::shape::Shape;
use crate::stage::{Run, Stage, scratch};

fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

/// The logs of runs in a folder, by `kubitect logs`.
fn logs(stage: &Stage) -> Vec<PathBuf> {
    let run = stage.run(&["logs", "demo"], None);
    done(&run);
    run.said.lines().map(PathBuf::from).collect()
}

/// Fails unless the log of the last run has all of these, in this order.
fn last(stage: &Stage, command: &str, parts: &[&str]) {
    let logs = logs(stage);
    let path = logs.last().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with(&format!("Z-{command}.log")), "{logs:?}");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(path).unwrap();
    let mut rest = text.as_str();
    let first = concat!("kubitect ", env!("CARGO_PKG_VERSION"), ", 20");
    for part in [&[first][..], parts].concat() {
        let start = rest.find(part);
        let start = start.unwrap_or_else(|| panic!("no `{part}` in its place in {text}"));
        rest = &rest[start + part.len()..];
    }
    let shown = stage.run(&["logs", "demo", "--last"], None);
    assert_eq!(shown.said, text);
    // Runs of the same second can't be distinguished by their names: the next one has to be the last.
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    stage.done(&base);
    let config = stage.folder.join("cluster.yaml");
    let command = format!(
        "$ kubitect apply --auto-approve --config {}\n",
        config.display()
    );
    let made = [
        &command,
        " create  domain   demo-master-1 ",
        " approved by --auto-approve\n",
        " phase 1 of 3: make machines\n",
        " running cluster.yml (log: ",
        " demo: done\n",
        "log: ",
        " exit code 0\n",
    ];
    last(&stage, "apply", &made);
    // A run with nothing to do brings files up to date, and logs that.
    stage.done(&base);
    last(
        &stage,
        "apply",
        &[&command, "demo: nothing to do\n", " exit code 0\n"],
    );

    done(&stage.run(&["stop", "demo", "--auto-approve"], None));
    let stopped = [
        "$ kubitect stop demo --auto-approve\n",
        "  1. workers    demo-worker-1, demo-worker-2\n",
        " approved by --auto-approve\n",
        " phase 3 of 3: shut down balancers\n",
        " demo: stopped\n",
        " exit code 0\n",
    ];
    last(&stage, "stop", &stopped);
    let snapshot = stage.run(&["etcd", "snapshot", "demo"], None);
    assert_eq!(snapshot.code, Some(1), "{}", snapshot.said);
    let failed = [
        "$ kubitect etcd snapshot demo\n",
        " kubitect: failed to find a master of demo that serves",
        "because: demo-master-1: ",
        "  log: ",
        " exit code 1\n",
    ];
    last(&stage, "etcd-snapshot", &failed);
    done(&stage.run(&["start", "demo"], None));
    last(
        &stage,
        "start",
        &["$ kubitect start demo\n", " demo: runs\n", " exit code 0\n"],
    );
    done(&stage.run(&["etcd", "snapshot", "demo"], None));
    let saved = ["backups/etcd-", "\"sha256\":", " exit code 0\n"];
    last(&stage, "etcd-snapshot", &saved);
    assert_eq!(logs(&stage).len(), 6);

    // The cluster's own logs are removed with it; the log of the removal stays.
    let run = stage.destroy(None);
    done(&run);
    let folder = stage.folder.join("home/logs/demo");
    assert!(
        run.said.contains(&format!("log: {}", folder.display())),
        "{}",
        run.said
    );
    let removed = [
        "$ kubitect destroy --auto-approve --cluster demo\n",
        "! delete  domain  demo-master-1 ",
        " approved by --auto-approve\n",
        " delete domain demo-master-1 on box",
        " demo: removed\n",
        " exit code 0\n",
    ];
    last(&stage, "destroy", &removed);
    assert_eq!(logs(&stage).len(), 1);
    // It is found without the cluster's name, too, and a cluster that is created again has it before its own.
    let run = stage.run(&["logs"], None);
    assert!(run.said.contains("-destroy.log\n"), "{}", run.said);
    stage.done(&base);
    last(&stage, "apply", &made);
    assert_eq!(logs(&stage).len(), 2);
    let none = stage.run(&["status", "demo"], None);
    assert_eq!(none.code, Some(0), "{}", none.said);
    stage.end();
}

/// A failure shows its phase, how to look at the machine that it names, and its line in the log.
pub fn failures() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    stage.break_at("cluster.yml", "demo-worker-1");
    let run = stage.apply(&Shape::base(), None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    for part in [
        "\n  stopped in set up Kubernetes (phase 3 of ",
        "\n  look at it: kubitect ssh demo-worker-1 (or console demo-worker-1)\n",
        "\n  the same command goes on from here\n",
    ] {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
    let log = run
        .said
        .lines()
        .find_map(|line| line.strip_prefix("  log: "));
    let (path, line) = log.unwrap().rsplit_once(':').unwrap();
    let text = fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .nth(line.parse::<usize>().unwrap() - 1)
        .unwrap();
    assert!(line.contains("kubitect: failed to "), "{line} of {text}");
    assert!(text.ends_with(" exit code 1\n"), "{text}");
    stage.end();
}

/// `--debug` shows each request to a host's libvirt and each command of Ansible, with its duration, and no secret.
pub fn debug() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let shape = Shape::base();
    let file = stage.want(&shape);
    let text = fs::read_to_string(&file).unwrap();
    // The line with the key is shown as a part of a problem.
    let text = text + "addons:\n  kubespray:\n    registry_password:\n      pl4nted-addon\n";
    fs::write(&file, text).unwrap();
    let run = stage.run(
        &["--debug", "apply", "--auto-approve", "--config", &file],
        None,
    );
    done(&run);
    let lines: Vec<_> = run
        .said
        .lines()
        .filter(|line| line.contains(" DEBUG "))
        .collect();
    let line = |parts: &[&str]| {
        let found = lines
            .iter()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found.is_some(), "no line with {parts:?} in {}", run.said);
    };
    for call in [
        "define domain demo-master-1",
        "start domain demo-master-1",
        "upload demo-master-1-seed",
    ] {
        line(&[&format!("libvirt: {call}"), "host=\"box\"", "took="]);
    }
    line(&["program started ", "bin/ansible-playbook ", "cluster.yml"]);
    line(&[
        "program ended ",
        "took=",
        "status=exit status: 0",
        "bin/ansible-playbook ",
        "cluster.yml",
    ]);
    let cluster_folder = stage.folder.join("home/clusters/demo/config");
    let key = fs::read_to_string(cluster_folder.join(".ssh/id_ed25519")).unwrap();
    let conf = fs::read_to_string(cluster_folder.join("admin.conf")).unwrap();
    let data = conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("client-key-data: "));
    let secrets: Vec<_> = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .chain(data)
        .collect();
    assert!(secrets.len() > 4, "{secrets:?}");
    for secret in secrets.iter().chain(&["pl4nted"]) {
        assert!(!run.said.contains(secret), "`{secret}` in {}", run.said);
    }
    let quiet = stage.apply(&shape, None);
    assert!(!quiet.said.contains(" DEBUG "), "{}", quiet.said);
    stage.end();
}
