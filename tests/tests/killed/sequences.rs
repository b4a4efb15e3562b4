//! Edits one after another as a person makes them: several in one file, over unfinished runs, with hosts that come, go and are away.
//! Each ends as it is wanted, with nothing left to do and nothing wrong.

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

#[track_caller]
fn ended(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.said);
    for part in parts {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
}

/// Applies this, as its plan showed, after which nothing is left to do and all is well.
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

/// Starts with this; at its end, nothing is left.
fn begun(with: &Shape, then: impl FnOnce(&Stage)) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    reached(&stage, with);
    then(&stage);
    ended(&stage.destroy(None), 0, &[]);
    assert_eq!(stage.picture().leftovers, [""; 0]);
    stage.end();
}

fn away(stage: &Stage, away: &[&str]) {
    stage.place().with(|state, _| {
        state.away = away.iter().map(|&name| name.to_owned()).collect();
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
        // And all of it back but the release.
        let back = Shape {
            release: other.release,
            ..base.clone()
        };
        reached(stage, &back);
    });
}

/// A node under another id, and balancers that go and come.
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

/// A run that was killed, and another file before it went on.
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
        // An upgrade that is killed, and nodes that come and go before it goes on.
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

/// A second host gets machines, is away while they are to be changed, and gives some of them up again.
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
        away(stage, &["other"]);
        let refused = stage.apply(&wider, None);
        ended(&refused, 1, &["host other", "no route to host"]);
        away(stage, &[]);
        assert_eq!(stage.apply(&wider, Some(("cli::phase", 1))).code, None);
        away(stage, &["other"]);
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
        away(stage, &[]);
        reached(stage, &wider);
        // One of its machines leaves, which needs it.
        let fewer = on(&[1, 2], &["worker-2"]);
        away(stage, &["other"]);
        let refused = stage.apply(&fewer, None);
        ended(&refused, 1, &["host other", "no route to host"]);
        away(stage, &[]);
        reached(stage, &fewer);
        reached(stage, &on(&[1, 2, 3, 4], &["worker-2", "worker-3"]));
    });
}
