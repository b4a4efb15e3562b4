//! What a plan says is what a run does: no step that does not happen, no change without a word.

use std::fs;

use serde_json::Value;

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

/// A world with a finished cluster.
fn finished(shape: &Shape) -> (tempfile::TempDir, Stage) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    done(&stage.apply(shape, None));
    assert_eq!(stage.plan(shape), None);
    (scratch, stage)
}

fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

/// The plan, as programs get it.
fn planned(stage: &Stage, shape: &Shape) -> Value {
    let file = stage.want(shape);
    let run = stage.run(&["plan", "--output", "json", "--config", &file], None);
    let mut values = serde_json::Deserializer::from_str(&run.said).into_iter::<Value>();
    values.next().unwrap().unwrap()
}

/// The rows of a kind, as `name [disruption] details`.
fn rows(plan: &Value, kind: &str) -> Vec<String> {
    let rows = plan["changes"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["kind"] == kind);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.map(|row| {
        let parts = ["name", "disruption", "details"].map(|key| text(row, key));
        format!("{} [{}] {}", parts[0], parts[1], parts[2])
    })
    .collect()
}

/// A worker whose address is leased reloads a balancer only where the balancer leads to it.
pub fn balancers() {
    let mut shape = Shape::base();
    for forwards in [false, true] {
        shape.forwards = forwards;
        let (_scratch, stage) = finished(&shape);
        let mut wider = shape.clone();
        wider.workers.push(Worker::new(5));
        let reloaded = rows(&planned(&stage, &wider), "balancer");
        assert_eq!(reloaded.len(), if forwards { 2 } else { 0 }, "{reloaded:?}");
        done(&stage.apply_as_shown(&wider));
        assert_eq!(stage.plan(&wider), None);
        stage.end();
    }
}

/// What work on nodes disturbs: pods, and what has no second one.
pub fn disruptions() {
    let upgraded = |shape: &Shape| Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..shape.clone()
    };
    let base = Shape::base();
    let (_scratch, stage) = finished(&base);
    let plan = planned(&stage, &upgraded(&base));
    let nodes = rows(&plan, "node");
    assert_eq!(nodes.len(), 5);
    for row in nodes {
        assert!(
            row.contains(" [drain] drained, then Kubernetes v1.24.6"),
            "{row}"
        );
    }
    let notes = plan["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0].as_str().unwrap();
    assert!(
        note.contains("emptyDir") && note.contains("no controller"),
        "{note}"
    );
    let mut less = base.clone();
    less.workers.pop();
    assert_eq!(
        rows(&planned(&stage, &less), "node"),
        ["demo-worker-2 [drain] drained, then it leaves Kubernetes"]
    );
    stage.end();

    let small = Shape {
        masters: vec![1],
        workers: vec![Worker::new(1)],
        balancers: 1,
        ..base
    };
    let (_scratch, stage) = finished(&small);
    let plan = planned(&stage, &upgraded(&small));
    let nodes = rows(&plan, "node");
    assert!(nodes[0].starts_with("demo-master-1 [outage] "), "{nodes:?}");
    assert!(
        nodes[0].ends_with("; etcd and the API restart, and don't answer meanwhile"),
        "{nodes:?}"
    );
    // Pods of the only worker have nowhere to go, and nothing is called drained.
    assert!(
        nodes[1].starts_with("demo-worker-1 [none] Kubernetes v1.24.6"),
        "{nodes:?}"
    );
    assert!(
        nodes[1].ends_with("; its pods stay on it, no other node takes them"),
        "{nodes:?}"
    );
    let mut resized = small.clone();
    resized.workers[0].ram = 3;
    resized.master_ram = 3;
    let domains = rows(&planned(&stage, &resized), "domain");
    let of = |name: &str| domains.iter().find(|row| row.starts_with(name)).unwrap();
    assert!(of("demo-master-1").contains(" [outage] "), "{domains:?}");
    let worker = of("demo-worker-1");
    assert!(
        worker.contains(" [reboot] ") && worker.contains("its pods stay on it"),
        "{worker}"
    );
    stage.end();
}

/// Edits that nothing follows at once are named, in a plan with and without steps.
pub fn notes() {
    let mut shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let file = stage.want(&shape);
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace(
        "    user: k8s\n",
        "    user: k8s\n    dns: [9.9.9.9]\n    updateOnBoot: false\n",
    );
    assert_ne!(text, edited);
    fs::write(&file, &edited).unwrap();
    let plan = stage.run(&["plan", "--config", &file], None);
    assert_eq!(plan.code, Some(0), "{}", plan.said);
    for part in [
        "demo: no change\n",
        "note: cluster.nodeTemplate.dns: (nothing) -> 9.9.9.9: counts for machines that are made from now on\n",
        "note: cluster.nodeTemplate.updateOnBoot: true -> false: counts for",
    ] {
        assert!(plan.said.contains(part), "{}", plan.said);
    }
    let run = stage.run(&["apply", "--auto-approve", "--config", &file], None);
    done(&run);
    assert!(
        run.said.contains("note: cluster.nodeTemplate.dns"),
        "{}",
        run.said
    );
    shape.workers.pop();
    let plan = planned(&stage, &shape);
    let notes = plan["notes"].as_array().unwrap();
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().unwrap().contains("9.9.9.9 -> (nothing)")),
        "{notes:?}"
    );
    stage.end();
}
