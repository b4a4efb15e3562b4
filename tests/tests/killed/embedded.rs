//! The program of `examples/embed` creates, changes, upgrades, observes and removes a cluster, which the command works on as
//! well: after each verb `kubitect plan` finds nothing to do.

use serde_json::Value;

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

/// The events of a run that has to succeed: each has the version, and only the last one says that all is done.
fn events(run: &Run) -> Vec<Value> {
    assert_eq!(run.code, Some(0), "{}", run.said);
    let events = run
        .said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    assert!(events.iter().all(|event| event["formatVersion"] == 1));
    let is_last =
        |event: &Value| ["done", "failed", "cancelled"].contains(&event["type"].as_str().unwrap());
    assert_eq!(events.iter().filter(|event| is_last(event)).count(), 1);
    assert_eq!(events.last().unwrap()["type"], "done");
    events
}

/// The phases that began.
fn phases(events: &[Value]) -> Vec<&str> {
    let phases = events.iter().filter(|event| event["type"] == "phase");
    phases
        .map(|event| event["title"].as_str().unwrap())
        .collect()
}

/// Fails unless the cluster is what its file says.
fn healthy(stage: &Stage) {
    let status = stage.embedded(&["status", "demo"]);
    assert_eq!(status.code, Some(0), "{}", status.said);
}

pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let bring = |verb: &str, shape: &Shape| {
        let file = stage.want(shape);
        let run = stage.embedded(&[verb, &file]);
        let events = events(&run);
        assert_eq!(stage.plan(shape), None, "{verb}");
        healthy(&stage);
        events
    };
    let mut shape = Shape::base();
    shape.masters = vec![1];
    let file = stage.want(&shape);
    let early = stage.embedded(&["change", &file]);
    assert_eq!(early.code, Some(1), "{}", early.said);
    assert!(early.said.contains("has yet to be made"), "{}", early.said);
    let made = bring("create", &shape);
    assert!(phases(&made).contains(&"make machines"), "{made:?}");

    // Workers, masters, a size.
    shape.workers.push(Worker::new(3));
    bring("change", &shape);
    shape.masters = vec![1, 2, 3];
    bring("change", &shape);
    shape.workers[0].ram = 3;
    let resized = bring("change", &shape);
    let restarts = phases(&resized).contains(&"restart demo-worker-1");
    assert!(restarts, "{:?}", phases(&resized));
    shape.workers.remove(1);
    bring("change", &shape);
    // The same once more.
    assert_eq!(phases(&bring("change", &shape)), [""; 0]);

    shape.release = ["v1.24.6", "v2.20.0"];
    let file = stage.want(&shape);
    let other = stage.embedded(&["change", &file]);
    assert_eq!(other.code, Some(1), "{}", other.said);
    assert!(other.said.contains("upgrades Kubernetes"), "{}", other.said);
    bring("upgrade", &shape);

    // The command goes on with the example's cluster, and the example with the command's.
    shape.workers.push(Worker::new(4));
    stage.done(&shape);
    healthy(&stage);
    events(&stage.embedded(&["destroy", "demo"]));
    assert_eq!(stage.picture().leftovers, [""; 0]);
}
