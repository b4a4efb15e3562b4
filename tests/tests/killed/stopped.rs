//! Runs that stop or hang, and what status, their logs and the next run report of them.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{ANSWER, HANG, HOST, hangs};
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};
use crate::truth::finished;

/// After a run that stopped while a worker was joining, status says what the next apply does, and the run's log why it stopped.
pub fn stopped_half_way() {
    let shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let mut wider = shape.clone();
    wider.workers.push(Worker::new(4));
    stage.break_at("scale.yml", "demo-worker-4");
    let run = stage.apply(&wider, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let status = stage.run(&["status", "--cluster", "demo", "--output", "json"], None);
    let mut values = serde_json::Deserializer::from_str(&status.said).into_iter::<Value>();
    let status = values.next().unwrap().unwrap();
    let lines = |key: &str| {
        let lines = status[key].as_array().unwrap().iter();
        lines
            .map(|line| line.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let drift = lines("drift").join("\n");
    assert!(
        drift.contains("+ node ") && !drift.contains("  - "),
        "{drift}"
    );
    for problem in lines("problems") {
        assert!(!problem.contains('\n'), "{problem}");
    }
    let logs = stage.folder.join("home/clusters/demo/logs");
    let logs = fs::read_dir(logs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.to_string_lossy().ends_with("-apply.log"));
    let last = logs
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap();
    let log = fs::read_to_string(last).unwrap();
    assert!(
        log.contains("failed to ") && log.contains("because: "),
        "{log}"
    );
    stage.done(&wider);
    assert_eq!(stage.plan(&wider), None);
    stage.end();
}

/// The first Ctrl-C has no effect on a run that hangs; the second one ends it.
pub fn interrupted_twice() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let file = stage.want(&Shape::base());
    let mut command = stage.command(&["apply", "--auto-approve", "--config", &file]);
    command
        .env(HANG, "cli::phase")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(600);
    while !hangs(&stage.folder).exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupt = |child: &Child| kill_process(Pid::from_child(child), Signal::INT).unwrap();
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(500));
    let after_one = child.try_wait().unwrap();
    // A second signal before the first one was handled counts as one.
    let mut after_two = None;
    while after_two.is_none() && Instant::now() < end {
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(200));
        after_two = child.try_wait().unwrap();
    }
    if after_two.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(hangs(&stage.folder).exists());
    assert_eq!(after_one, None, "it hangs");
    assert_eq!(after_two.and_then(|status| status.code()), Some(130));
    let log = stage.run(&["logs", "demo", "--last"], None).said;
    assert!(log.contains(" interrupted twice: ended at once"), "{log}");
    assert!(log.ends_with(" exit code 130\n"), "{log}");
    stage.done(&Shape::base());
    stage.end();
}

/// `status --wait` ends when its time is over, although a machine or a host's libvirt hangs.
pub fn waits_in_vain() {
    let (_scratch, stage) = finished(&Shape::base());
    for (what, hangs) in [(ANSWER, "600000"), (HANG, HOST)] {
        let begun = Instant::now();
        let mut command = stage.command(&["status", "demo", "--wait=3s"]);
        let output = command.env(what, hangs).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what}: {:?}",
            begun.elapsed()
        );
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in ["the time is over", "no answer in time"] {
            assert!(said.contains(part), "{what}: {said}");
        }
    }
    stage.end();
}
