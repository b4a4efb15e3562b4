//! Edits one after another, as a person makes them: several in one file, after unfinished runs, with hosts that are added,
//! removed and not reached. After each apply the cluster is what its file says, the plan is empty, and nothing is wrong.

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

#[track_caller]
fn ended(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.said);
    for part in parts {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
}

/// Applies this as its plan showed. After that the plan is empty and the cluster is healthy.
#[track_caller]
fn reached(stage: &Stage, shape: &Shape) {
    ended(&stage.apply_as_shown(shape), 0, &[]);
    assert_eq!(stage.plan(shape), None);
    ended(
        &stage.run(&["status", "demo"], None),
        0,
        &["demo: healthy\n"],
    );
}

/// Begins with this cluster; at the end it is removed and nothing is left.
fn begun(with: &Shape, then: impl FnOnce(&Stage)) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    reached(&stage, with);
    then(&stage);
    ended(&stage.destroy(None), 0, &[]);
    assert_eq!(stage.picture().leftovers, [""; 0]);
    stage.end();
}

fn set_unreached(stage: &Stage, hosts: &[&str]) {
    stage.place().with(|state, _| {
        state.away = hosts.iter().map(|&name| name.to_owned()).collect();
    });
}

/// Everything at once: an upgrade, nodes that come and go, sizes, labels, disks, a port, an addon.
pub fn at_once() {
    let base = Shape::base();
    let mut other = Shape {
        release: ["v1.24.6", "v2.20.0"],
        balancers: 1,
        masters: vec![1, 2, 4],
        master_ram: 3,
        forwards: true,
        addon: true,
        workers: vec![Worker::new(2), Worker::new(5), Worker::new(7)],
        ..base.clone()
    };
    other.workers[0].ram = 3;
    other.workers[1].disks = vec![("db", 2)];
    other.workers[2].label = Some("front");
    other.workers[2].taint = true;
    begun(&base, |stage| {
        reached(stage, &other);
        // All of it is reverted, except the release.
        let original = Shape {
            release: other.release,
            ..base.clone()
        };
        reached(stage, &original);
    });
}

/// A node with another id, and balancers that are removed and added.
pub fn exchanged() {
    let base = Shape::base();
    begun(&base, |stage| {
        let mut shape = base.clone();
        for ids in [[7, 2], [7, 8], [1, 2]] {
            shape.workers = ids.iter().map(|id| Worker::new(*id)).collect();
            reached(stage, &shape);
        }
        for (balancers, forwards) in [(1, true), (2, true), (1, false), (2, false)] {
            shape.balancers = balancers;
            shape.forwards = forwards;
            reached(stage, &shape);
        }
        shape.workers[0].disks = vec![("a", 1), ("b", 2)];
        reached(stage, &shape);
        shape.workers[0].disks = vec![("b", 3), ("c", 1)];
        reached(stage, &shape);
        shape.workers[0].disks = Vec::new();
        reached(stage, &shape);
    });
}

/// A run is killed, and the file is edited before the next one.
pub fn over_unfinished() {
    let base = Shape::base();
    let scratch = scratch();
    for times in [0, 1, 2, 3] {
        let stage = Stage::new(scratch.path());
        let first = stage.apply(&base, Some(("cli::phase", times)));
        assert_eq!(first.code, None, "{}", first.said);
        let mut other = base.clone();
        other.workers = vec![Worker::new(1), Worker::new(5)];
        other.workers[0].ram = 3;
        other.balancers = 1;
        other.forwards = true;
        reached(&stage, &other);
        // An upgrade is killed, and nodes are added and removed before it is continued.
        let mut upgraded = other.clone();
        upgraded.release = ["v1.24.6", "v2.20.0"];
        let killed = stage.apply(&upgraded, Some(("kubespray::noted", times)));
        assert_eq!(killed.code, None, "{}", killed.said);
        ended(
            &stage.run(&["stop", "demo", "--auto-approve"], None),
            0,
            &[],
        );
        ended(&stage.run(&["start", "demo"], None), 0, &["demo: runs"]);
        upgraded.workers = vec![Worker::new(1), Worker::new(2)];
        upgraded.workers[1].label = Some("db");
        reached(&stage, &upgraded);
        stage.end();
    }
}

/// A second host gets machines, can't be reached while they are to be changed, and loses some of them again.
pub fn hosts() {
    let on = |workers: &[u32], other: &'static [&'static str]| Shape {
        workers: workers.iter().map(|id| Worker::new(*id)).collect(),
        other,
        ..Shape::base()
    };
    begun(&on(&[1, 2], &["worker-2"]), |stage| {
        let wider = on(&[1, 2, 4], &["worker-2", "worker-4", "lb-2"]);
        // A balancer does not move.
        let moved = stage.apply(&wider, None);
        ended(
            &moved,
            2,
            &["demo-lb-2", "machines are not moved between hosts"],
        );
        let wider = on(&[1, 2, 4], &["worker-2", "worker-4"]);
        set_unreached(stage, &["other"]);
        let refused = stage.apply(&wider, None);
        ended(&refused, 1, &["host other", "no route to host"]);
        set_unreached(stage, &[]);
        assert_eq!(stage.apply(&wider, Some(("cli::phase", 1))).code, None);
        set_unreached(stage, &["other"]);
        let status = stage.run(&["status", "demo"], None);
        ended(
            &status,
            5,
            &[
                "has not ended",
                "host other can't be reached",
                "demo-worker-4 unknown",
            ],
        );
        set_unreached(stage, &[]);
        reached(stage, &wider);
        // One of its machines leaves, which needs it.
        let fewer = on(&[1, 2], &["worker-2"]);
        set_unreached(stage, &["other"]);
        let refused = stage.apply(&fewer, None);
        ended(&refused, 1, &["host other", "no route to host"]);
        set_unreached(stage, &[]);
        reached(stage, &fewer);
        reached(stage, &on(&[1, 2, 3, 4], &["worker-2", "worker-3"]));
    });
}
