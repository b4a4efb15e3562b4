//! Two folders, or two people, that work on one cluster of the same host.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{HANG, hangs};
use crate::shape::Shape;
use crate::stage::{Run, Stage, scratch};

/// The same program with another folder of clusters.
fn other(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.command(arguments);
    command.env("KUBITECT_HOME", stage.folder.join("other"));
    command
}

fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        said: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    }
}

fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

/// Lets a run begin, and waits until it hangs in the middle of its first change.
fn hung(stage: &Stage, mut command: Command) -> Child {
    let _ = std::fs::remove_file(hangs(&stage.folder));
    command
        .env(HANG, "provision::begun")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(600);
    while !hangs(&stage.folder).exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < end, "it does not come so far");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// While a run of one folder works, no other one begins, whichever folder that one belongs to. After a kill any can begin.
pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    std::fs::create_dir(stage.folder.join("other")).unwrap();
    let file = stage.want(&Shape::base());
    let apply = ["apply", "--auto-approve", "--config", file.as_str()];
    let destroy = ["destroy", "demo", "--auto-approve"];
    let refused = |arguments: &[&str], process: u32| {
        let run = run(other(&stage, arguments));
        assert_eq!(run.code, Some(1), "{}", run.said);
        let held = format!("another run is at work on it (process {process} ");
        let (held, home) = (
            run.said.contains(&held),
            run.said.contains("/home/clusters"),
        );
        assert!(held && home, "{}", run.said);
    };

    let first = hung(&stage, stage.command(&apply));
    let forced = [&apply[..], &["--take-over"]].concat();
    for arguments in [&apply[..], &destroy[..], &forced[..]] {
        refused(arguments, first.id());
    }
    let plan = run(other(&stage, &["plan", "--config", &file]));
    assert_eq!(plan.code, Some(4), "{}", plan.said);
    assert!(plan.said.contains("is not in this plan"), "{}", plan.said);
    kill(first);
    assert_eq!(stage.place().host.locks().len(), 1);
    done(&run(other(&stage, &apply)));
    assert_eq!(stage.place().host.locks().len(), 0);

    // The cluster is the other folder's now; it is removed from there.
    let removes = hung(&stage, other(&stage, &destroy));
    let run_here = stage.run(&apply, None);
    assert_eq!(run_here.code, Some(1), "{}", run_here.said);
    assert!(
        run_here.said.contains("/other/clusters"),
        "{}",
        run_here.said
    );
    kill(removes);
    done(&run(other(&stage, &destroy)));
    assert_eq!(stage.picture().leftovers, [""; 0]);
    left_by_another_machine(&stage, &apply);
    stage.end();
}

/// The lock that a run on another machine left is shown, and removed only where a person says that the run has ended.
fn left_by_another_machine(stage: &Stage, apply: &[&str]) {
    let holder = json!({
        "version": 1, "run": "1", "process": 77, "started": 5, "namespace": "pid:[9]", "boot": "other", "machine": "other",
        "host": "laptop\u{1b}[2J", "user": 1000, "folder": "/home/ann/.kubitect/clusters", "inode": "1:2", "since": 1_700_000_000,
    });
    done(&stage.run(apply, None));
    let put = || {
        let place = stage.place();
        place
            .host
            .put_lock("kubitect-lock-demo", &holder.to_string());
    };
    put();
    let run = stage.run(apply, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    for part in [
        "process 77 of user 1000 on laptop",
        "/home/ann/.kubitect/clusters",
        "--take-over",
    ] {
        assert!(run.said.contains(part), "{}", run.said);
    }
    assert!(!run.said.contains('\u{1b}'), "{}", run.said);
    let status = stage.run(&["status", "demo"], None).said;
    assert!(
        status.contains("another run is at work") && !status.contains('\u{1b}'),
        "{status}"
    );
    let status = stage
        .run(&["status", "demo", "--output", "json"], None)
        .said;
    let status = serde_json::Deserializer::from_str(&status)
        .into_iter::<Value>()
        .next();
    let status = status.unwrap().unwrap();
    assert_eq!(status["run"]["since"], "2023-11-14T22:13:20Z");
    assert_eq!(status["run"]["process"], "77");
    for command in [
        &["stop", "demo", "--auto-approve"][..],
        &["destroy", "demo", "--auto-approve"],
    ] {
        let refused = stage.run(command, None);
        assert_eq!(refused.code, Some(1), "{}", refused.said);
        assert!(refused.said.contains("--take-over"), "{}", refused.said);
    }
    done(&stage.run(&[apply, &["--take-over"]].concat(), None));
    assert_eq!(stage.place().host.locks().len(), 0);
    // The lock is found also where nothing else of the cluster is left.
    done(&stage.destroy(None));
    put();
    let refused = stage.destroy(None);
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    done(&stage.run(&["destroy", "demo", "--auto-approve", "--take-over"], None));
    assert_eq!(stage.picture().leftovers, [""; 0]);
}
