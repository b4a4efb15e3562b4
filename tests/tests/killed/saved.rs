//! A saved plan is carried out exactly as it was saved, or not at all.

use std::fs;

use kubitect_provision::hypervisor::Hypervisor;

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

/// Saves the plan of the wanted cluster.
fn saved(stage: &Stage, shape: &Shape) -> String {
    let (file, out) = (stage.want(shape), stage.folder.join("plan.json"));
    let out = out.to_str().unwrap().to_owned();
    let run = stage.run(&["plan", "--config", &file, "--out", &out], None);
    assert_eq!(run.code, Some(4), "{}", run.said);
    out
}

fn apply(stage: &Stage, plan: &str) -> Run {
    stage.run(&["apply", "--auto-approve", plan], None)
}

/// Fails unless nothing is done and the message has all of these.
fn refused(stage: &Stage, plan: &str, parts: &[&str]) {
    let before = stage.picture();
    let run = apply(stage, plan);
    assert_eq!(run.code, Some(2), "{}", run.said);
    for part in parts {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
    assert_eq!(before.differences(&stage.picture()), [""; 0]);
}

pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    let plan = saved(&stage, &base);
    let run = apply(&stage, &plan);
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(stage.plan(&base), None);
    // A plan is carried out only once.
    let done = "no longer to be done: create network demo-network on box";
    refused(&stage, &plan, &[done]);

    // The phases carried out are those that were shown; and a machine that went off since gives another plan.
    let mut wider = base.clone();
    wider.workers.push(Worker::new(4));
    let plan = saved(&stage, &wider);
    let other = stage.copy();
    let worker = "demo-worker-1".parse().unwrap();
    other.place().host.power_off_domain(&worker).unwrap();
    let off = "to be done now, too: start domain demo-worker-1 on box";
    refused(&other, &plan, &[off]);
    let text = fs::read_to_string(&plan).unwrap();
    let text: serde_json::Value = serde_json::from_str(&text).unwrap();
    let phases = text["phases"].as_array().unwrap().iter();
    let phases: Vec<_> = phases
        .map(|phase| phase["title"].as_str().unwrap())
        .collect();
    let run = apply(&stage, &plan);
    assert_eq!(run.code, Some(0), "{}", run.said);
    for (phase, number) in phases.iter().zip(1..) {
        let begins = format!("phase {number} of {}: {phase}", phases.len());
        assert!(run.said.contains(&begins), "no `{begins}` in {}", run.said);
    }
    assert_eq!(stage.plan(&wider), None);
}
