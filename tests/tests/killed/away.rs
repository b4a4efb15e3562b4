//! One of several hosts can't be reached, or a machine's file in the cluster's folder is broken: all else is observed and done.

use std::fs;

use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::PowerState;
use serde_json::Value;
use tests::outputs::judge_as;

use crate::shape::Shape;
use crate::stage::{Run, Stage, scratch};

#[track_caller]
fn ended(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.said);
    for part in parts {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
}

/// The first JSON that a run printed, checked against its schema.
#[track_caller]
fn json(name: &str, run: &Run) -> Value {
    let mut values = serde_json::Deserializer::from_str(&run.said).into_iter::<Value>();
    let value = values.next().unwrap().unwrap();
    judge_as(name, &value.to_string());
    value
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The state of each machine, by its name.
fn states(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.map(|row| format!("{} {}", text(row, "name"), text(row, "state")))
        .collect()
}

fn set_unreached(stage: &Stage, hosts: &[&str]) {
    stage.place().with(|state, _| {
        state.away = hosts.iter().map(|&name| name.to_owned()).collect();
    });
}

/// The machines that are on.
fn on(stage: &Stage) -> Vec<String> {
    let domains = stage.place().host.domains().unwrap().into_iter();
    let own = domains.filter(|domain| domain.mark.is_some() && domain.power != PowerState::Off);
    let mut names: Vec<_> = own.map(|domain| domain.name).collect();
    names.sort();
    names
}

const WHY: &str = "host other can't be reached";
const CAUSE: &str = "no route to host";

/// One of two hosts can't be reached.
pub fn host() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let shape = Shape {
        other: &["lb-2", "master-3", "worker-2"],
        ..Shape::base()
    };
    ended(&stage.apply_as_shown(&shape), 0, &[]);
    assert_eq!(stage.plan(&shape), None);
    set_unreached(&stage, &["other"]);

    let status = stage.run(&["status", "demo"], None);
    ended(
        &status,
        5,
        &[
            "demo: degraded\n",
            "  machine     demo-master-3 unknown ",
            "  machine     demo-worker-1 running ",
            "  API         demo-master-1 v1.23.7 serves\n",
            "  node        demo-worker-2 v1.23.7 Ready\n",
            WHY,
            CAUSE,
        ],
    );
    for part in ["missing", "because", "+ demo", "  | "] {
        assert!(!status.said.contains(part), "`{part}` in {}", status.said);
    }
    let said = json(
        "status",
        &stage.run(&["status", "demo", "-o", "json"], None),
    );
    let unknown = ["demo-lb-2", "demo-master-3", "demo-worker-2"];
    let states_seen = states(&said["machines"]);
    for name in unknown {
        assert!(
            states_seen.contains(&format!("{name} unknown")),
            "{states_seen:?}"
        );
    }
    assert_eq!(
        states_seen
            .iter()
            .filter(|own| own.ends_with(" running"))
            .count(),
        4
    );
    let problems = texts(&said["problems"]);
    let named = |problem: &&String| problem.contains(WHY);
    assert_eq!(problems.iter().filter(named).count(), 1, "{problems:?}");
    assert!(problems.iter().find(named).unwrap().contains(CAUSE));
    // The JSON of etcd's members: no number that is too large for a program, and the health as a truth value.
    let member = &said["etcd"][0];
    assert!(member["id"].is_string(), "{member}");
    assert_eq!(member["healthy"], true);
    assert_eq!(said["stopped"], false);
    assert_eq!(said["verdict"], "degraded");

    ended(
        &stage.run(&["list", "nodes", "demo"], None),
        5,
        &["demo-worker-2\tother\t-\tunknown", WHY, CAUSE],
    );
    let listed = stage.run(&["list", "nodes", "demo", "-o", "json"], None);
    assert_eq!(listed.code, Some(5));
    let listed = json("list-nodes", &listed);
    assert!(texts(&listed["problems"])[0].contains(WHY));
    assert!(states(&listed["nodes"]).contains(&"demo-worker-2 unknown".to_owned()));
    ended(
        &stage.run(&["graph", "demo", "--format", "text"], None),
        5,
        &["unknown", WHY, CAUSE],
    );
    let drawn = json(
        "graph",
        &stage.run(&["graph", "demo", "--format", "json"], None),
    );
    assert!(texts(&drawn["problems"])[0].contains(WHY));
    ended(
        &stage.run(&["etcd", "snapshot", "demo"], None),
        0,
        &["SHA-256"],
    );

    let before = stage.picture();
    // Without a host nothing is changed.
    let file = stage.want(&shape);
    for command in ["plan", "apply"] {
        let run = stage.run(&[command, "--config", &file], None);
        ended(
            &run,
            1,
            &["failed to reach the hosts of demo", CAUSE, "host other"],
        );
    }
    let refused = stage.run(&["destroy", "demo", "--auto-approve"], None);
    ended(&refused, 1, &["--without-host other", CAUSE]);
    assert_eq!(before.differences(&stage.picture()), [""; 0]);

    let stop = ["stop", "demo", "--auto-approve"];
    let shown = stage.run(&["stop", "demo"], None);
    ended(&shown, 3, &["1. workers    demo-worker-1\n", WHY, CAUSE]);
    let stopped = stage.run(&stop, None);
    ended(&stopped, 1, &[WHY, CAUSE, "demo-worker-2"]);
    assert_eq!(on(&stage), unknown);
    let second = stage.run(&stop, None);
    ended(&second, 1, &[WHY, CAUSE]);
    assert!(
        !second.said.contains("no machine of it is on"),
        "{}",
        second.said
    );
    let status = stage.run(&["status", "demo"], None);
    ended(
        &status,
        1,
        &["demo-worker-1 off", "demo-worker-2 unknown", WHY],
    );
    assert!(!status.said.contains("it is stopped"), "{}", status.said);
    let started = stage.run(&["start", "demo"], None);
    ended(
        &started,
        1,
        &[
            "failed to start all of demo",
            "wait until workers are Ready: done",
            WHY,
            CAUSE,
        ],
    );
    assert_eq!(on(&stage).len(), 7);
    // When it is reached again, all goes on.
    set_unreached(&stage, &[]);
    ended(&stage.run(&["start", "demo"], None), 0, &["demo: runs"]);
    assert_eq!(before.differences(&stage.picture()), [""; 0]);
    ended(
        &stage.run(&["status", "demo"], None),
        0,
        &["demo: healthy\n"],
    );

    // Without any of its hosts, all that this machine knows is shown.
    set_unreached(&stage, &["box", "other"]);
    let status = stage.run(&["status", "demo"], None);
    ended(
        &status,
        1,
        &["host box can't be reached", WHY, "demo-master-1 unknown"],
    );
    ended(
        &stage.run(&stop, None),
        1,
        &["host box can't be reached", WHY],
    );
    set_unreached(&stage, &[]);
    ended(&stage.destroy(None), 0, &[]);
    stage.end();
}

/// The key file of one machine, or of all, is broken.
pub fn broken_key() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    ended(&stage.apply(&Shape::base(), None), 0, &[]);
    let ssh = stage.folder.join("home/clusters/demo/config/.ssh");
    for name in ["demo-master-2", "demo-worker-1", "demo-lb-1"] {
        let key = ssh.join("hosts").join(name);
        let whole = fs::read(&key).unwrap();
        fs::write(&key, "no key").unwrap();
        let status = stage.run(&["status", "demo"], None);
        ended(
            &status,
            5,
            &[
                "demo: degraded\n",
                "  API         demo-master-3 v1.23.7 serves\n",
                "  node        demo-worker-2 v1.23.7 Ready\n",
                &format!("! {name}: "),
                "it is broken; remove it, and the next `apply` brings it back",
            ],
        );
        let lines = status.said.matches("it is broken").count();
        assert_eq!(lines, 1, "{}", status.said);
        let run = stage.run(&["etcd", "snapshot", "demo"], None);
        ended(&run, 0, &["SHA-256"]);
        // As it says.
        fs::remove_file(&key).unwrap();
        ended(&stage.apply(&Shape::base(), None), 0, &[]);
        assert_eq!(fs::read(&key).unwrap(), whole);
        ended(
            &stage.run(&["status", "demo"], None),
            0,
            &["demo: healthy\n"],
        );
    }
    let key = ssh.join("id_ed25519");
    let whole = fs::read(&key).unwrap();
    fs::write(&key, "no key").unwrap();
    let status = stage.run(&["status", "demo"], None);
    ended(
        &status,
        1,
        &[
            "demo-master-2 running",
            "it is broken; remove it",
            "id_ed25519",
        ],
    );
    fs::write(&key, whole).unwrap();
    ended(&stage.run(&["status", "demo"], None), 0, &[]);
    stage.end();
}

/// A plan that can't be made, and a pipe that nobody writes to in the cluster's folder, are a problem each.
pub fn unplanned() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    ended(&stage.apply(&Shape::base(), None), 0, &[]);
    let mark = |mark| {
        let host = stage.place().host;
        host.change_domain("demo-worker-1", |domain| domain.mark = mark);
    };
    let was = stage.place().host.domain_of("demo-worker-1").unwrap().mark;
    mark(None);
    let status = stage.run(&["status", "demo"], None);
    ended(
        &status,
        5,
        &[
            "  machine     demo-worker-2 running ",
            "  API         demo-master-1 v1.23.7 serves\n",
            "! failed to plan demo because: touch domain demo-worker-1",
        ],
    );
    mark(was);
    let key = stage
        .folder
        .join("home/clusters/demo/config/.ssh/hosts/demo-master-2");
    fs::remove_file(&key).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&key).status();
    assert!(made.unwrap().success());
    let status = stage.run(&["status", "demo"], None);
    let why = "it is no regular file; move it away";
    ended(&status, 5, &["! demo-master-2: ", why]);
    stage.end();
}
