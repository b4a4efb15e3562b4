//! A cluster's etcd is restored from a snapshot, killed at each of its points.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::driver::side_by_side;
use crate::program::passed;
use crate::shape::Shape;
use crate::stage::{Run, Stage, scratch};
use crate::state::Pod;

fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

fn restore(stage: &Stage, kill: Option<(&str, usize)>) -> Run {
    let file = stage.folder.join("saved.db").display().to_string();
    stage.run(&["etcd", "restore", "demo", &file, "--yes"], kill)
}

/// The content of Kubernetes, whichever members hold it.
fn held(stage: &Stage) -> Value {
    let mut kube = stage.place().with(|state, _| state.kube.clone());
    kube.next_member = 0;
    kube.members.iter_mut().for_each(|member| member.id = 0);
    serde_json::to_value(kube).unwrap()
}

/// A cluster with a snapshot in `saved.db`, and later changes.
fn changed(stage: &Stage) -> Value {
    stage.done(&Shape::base());
    let file = stage.folder.join("saved.db").display().to_string();
    done(&stage.run(&["etcd", "snapshot", "demo", "--out", &file], None));
    let before = held(stage);
    stage.place().with(|state, _| {
        state.kube.pods.insert("later".to_owned(), Pod::default());
        state.kube.nodes.remove("demo-worker-2");
    });
    assert_ne!(held(stage), before);
    before
}

/// The command says what is lost, asks for the cluster's name, and restores all of it; after a kill the same command does.
pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let before = changed(&stage);
    let file = stage.folder.join("saved.db").display().to_string();
    let asked = stage.run(&["etcd", "restore", "demo", &file], None);
    assert_eq!(asked.code, Some(3), "{}", asked.said);
    for part in [
        "demo: etcd is brought back to ",
        "Kubernetes v1.23.7",
        "! demo-master-3: etcd's data are replaced; they stay in /var/lib/etcd, as set-aside-TIME",
        "note: the snapshot was taken at 2023-11-14T22:13:20Z, ",
        "changed in Kubernetes since then is lost",
        "there is no API",
    ] {
        assert!(asked.said.contains(part), "no `{part}` in {}", asked.said);
    }
    let json = stage.run(&["etcd", "restore", "demo", &file, "-o", "json"], None);
    let plan: Value = serde_json::from_str(json.said.lines().next().unwrap()).unwrap();
    assert_eq!(plan["type"], "plan", "{}", json.said);
    assert_eq!(plan["plan"]["changes"].as_array().unwrap().len(), 3);
    assert_eq!(plan["plan"]["changes"][0]["disruption"], "data-loss");

    refused(&stage);
    killed(&stage, &before);
    given_up(&stage, &before);

    let picture = stage.picture();
    let run = restore(&stage, None);
    done(&run);
    assert!(
        run.said
            .contains("what it held before is in /var/lib/etcd/set-aside-"),
        "{}",
        run.said
    );
    assert_eq!(held(&stage), before);
    let node = |line: &String| line.contains("demo-worker-2 ready");
    let other = picture.differences(&stage.picture());
    assert!(other.iter().all(node), "{other:?}");
    assert_eq!(stage.picture().leftovers, [""; 0]);
    assert_eq!(stage.plan(&Shape::base()), None);
    stage.end();
}

/// At each point, as often as it is passed: until the same command has ended, nothing else works on the cluster.
fn killed(from: &Stage, before: &Value) {
    let straight = from.copy();
    done(&restore(&straight, None));
    let expected = straight.picture();
    let counts = std::fs::read(passed(&straight.folder)).unwrap();
    let counts: BTreeMap<String, usize> = serde_json::from_slice(&counts).unwrap();
    straight.end();
    let own = counts
        .iter()
        .filter(|(point, _)| point.starts_with("kubespray::"));
    let kills = own.flat_map(|(point, times)| (0..*times).map(move |n| (point.as_str(), n)));
    let kills: Vec<_> = kills.collect();
    assert_eq!(kills.len(), 22, "{counts:?}");
    side_by_side(kills, |(point, times)| {
        let stage = from.copy();
        let first = restore(&stage, Some((point, times)));
        assert_eq!(first.code, None, "{point} {times}: {}", first.said);
        let plan = stage.plan(&Shape::base()).unwrap_or_default();
        let refused = plan.contains("`kubitect etcd restore demo FILE` with that snapshot ends it");
        // Nothing is stopped yet, or all is done.
        let is_free = [
            ("kubespray::restore-unpacked", 0),
            ("kubespray::note", 0),
            ("kubespray::noted", 5),
        ];
        assert_eq!(
            refused,
            !is_free.contains(&(point, times)),
            "{point} {times}: {plan}"
        );
        done(&restore(&stage, None));
        assert_eq!(held(&stage), *before, "{point} {times}");
        assert_eq!(
            expected.differences(&stage.picture()),
            [""; 0],
            "{point} {times}"
        );
        assert_eq!(stage.picture().leftovers, [""; 0], "{point} {times}");
        assert_eq!(stage.plan(&Shape::base()), None);
        stage.end();
    });
}

/// What can't be done is refused before anything is stopped.
fn refused(stage: &Stage) {
    let before = held(stage);
    let refused = |stage: &Stage, parts: &[&str]| {
        let run = restore(stage, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        for part in parts {
            assert!(run.said.contains(part), "no `{part}` in {}", run.said);
        }
        assert_eq!(held(stage), before);
    };
    let off = stage.copy();
    off.place().host.stop("demo-master-2");
    refused(&off, &["demo-master-2: ", "all masters have to be on"]);
    off.end();
    let other = stage.copy();
    std::fs::write(other.folder.join("saved.db"), "kind: Config\n").unwrap();
    refused(&other, &["saved.db as a snapshot of etcd"]);
    other.end();
}

/// A master's etcd does not stop: all members go on with their own data. Never do some run with their own data and others with
/// the snapshot's.
fn given_up(from: &Stage, wanted: &Value) {
    let stage = from.copy();
    let before = held(&stage);
    let picture = stage.picture();
    let stubborn = |is| {
        stage.place().with(|state, _| {
            state.guests.get_mut("demo-master-2").unwrap().stubborn = is;
        });
    };
    stubborn(true);
    let run = restore(&stage, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let repeated = "nothing was replaced, and all was started again";
    for part in ["etcd does not stop", repeated] {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
    assert_eq!(held(&stage), before);
    assert_eq!(picture.differences(&stage.picture()), [""; 0]);
    assert_eq!(stage.picture().leftovers, [""; 0]);

    stubborn(false);
    let killed = restore(&stage, Some(("kubespray::restore-replaced", 0)));
    assert_eq!(killed.code, None, "{}", killed.said);
    stubborn(true);
    let run = restore(&stage, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert!(!run.said.contains(repeated), "{}", run.said);
    let stopped = stage.place().with(|state, _| {
        let masters = state.guests.values().filter(|guest| guest.api.is_some());
        masters.filter(|guest| guest.stopped.len() == 2).count()
    });
    assert_eq!(stopped, 3);
    stubborn(false);
    done(&restore(&stage, None));
    assert_eq!(held(&stage), *wanted);
    stage.end();
}
