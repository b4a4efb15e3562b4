//! Everyday commands on a finished cluster: `stop` and `start`, in order and killed at each of their points; snapshots; consoles;
//! timeouts.

use std::collections::BTreeMap;

use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::PowerState;
use kubitect_provision::resource::{Format, Volume};
use serde_json::Value;

use crate::driver::side_by_side;
use crate::program::passed;
use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

fn finished(shape: &Shape) -> (tempfile::TempDir, Stage) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    stage.done(shape);
    (scratch, stage)
}

fn stop(stage: &Stage, kill: Option<(&str, usize)>) -> Run {
    stage.run(&["stop", "demo", "--auto-approve"], kill)
}

fn start(stage: &Stage, kill: Option<(&str, usize)>) -> Run {
    stage.run(&["start", "demo"], kill)
}

/// The machines that are on.
fn on(stage: &Stage) -> Vec<String> {
    let domains = stage.place().host.domains().unwrap().into_iter();
    let own = domains.filter(|domain| domain.mark.is_some() && domain.power != PowerState::Off);
    own.map(|domain| domain.name).collect()
}

fn json(run: &Run) -> Value {
    let mut values = serde_json::Deserializer::from_str(&run.said).into_iter::<Value>();
    values.next().unwrap().unwrap()
}

/// The position of each of these in a run's output.
fn places(said: &str, parts: &[&str]) -> Vec<usize> {
    let place = |part: &&str| {
        said.find(*part)
            .unwrap_or_else(|| panic!("no `{part}` in {said}"))
    };
    parts.iter().map(place).collect()
}

/// Workers, masters, balancers, and back; the question, the plan and the messages.
pub fn in_order() {
    let shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let before = stage.picture();

    let asked = stage.run(&["stop", "demo"], None);
    assert_eq!(asked.code, Some(3), "{}", asked.said);
    assert!(asked.said.contains("Nothing is deleted"), "{}", asked.said);
    assert_eq!(on(&stage).len(), 7);

    let run = stop(&stage, None);
    done(&run);
    let phases = [
        "phase 1 of 3: shut down workers",
        "phase 2 of 3: shut down masters",
        "phase 3 of 3: shut down balancers",
    ];
    assert!(places(&run.said, &phases).is_sorted(), "{}", run.said);
    for part in [
        "1. workers    demo-worker-1, demo-worker-2\n",
        "demo: stopped",
        "next: kubitect start demo",
        "-stop.log",
    ] {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
    assert_eq!(on(&stage), [""; 0]);
    let second = stop(&stage, None);
    done(&second);
    assert!(
        second.said.contains("no machine of it is on"),
        "{}",
        second.said
    );

    let status = stage.run(&["status", "demo"], None);
    assert_eq!(status.code, Some(1), "{}", status.said);
    for part in [
        "demo: stopped\n",
        "! it is stopped; `kubitect start demo` starts it\n",
    ] {
        assert!(status.said.contains(part), "{}", status.said);
    }
    assert!(!status.said.contains("is off\n"), "{}", status.said);
    let status = json(&stage.run(&["status", "demo", "-o", "json"], None));
    assert_eq!(status["stopped"], true);
    assert_eq!(status["drift"].as_array().unwrap().len(), 0, "{status}");

    let run = start(&stage, None);
    done(&run);
    let phases = [
        "phase 1 of 3: start balancers",
        "phase 2 of 3: start masters",
        "wait for the API of demo-master-1",
        "wait until masters are Ready",
        "phase 3 of 3: start workers",
        "wait until workers are Ready",
        "demo: runs",
    ];
    assert!(places(&run.said, &phases).is_sorted(), "{}", run.said);
    assert_eq!(before.differences(&stage.picture()), [""; 0]);
    assert_eq!(stage.plan(&shape), None);
    // Machines that run are only observed.
    done(&start(&stage, None));
    assert_eq!(before.differences(&stage.picture()), [""; 0]);

    // A guest that does not shut down: the others of its kind are off, later kinds are not touched, and its power is not cut.
    stage
        .place()
        .with(|_, host| host.ignore_shutdown("demo-worker-1"));
    let run = stage.run(&["stop", "demo", "--auto-approve", "--timeout", "1s"], None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    for part in [
        "see demo-worker-1 off within 1 s",
        "the same command goes on",
        "kubitect console",
    ] {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
    let left = on(&stage);
    assert!(
        left.contains(&"demo-worker-1".to_owned()) && left.contains(&"demo-master-1".to_owned()),
        "{left:?}"
    );
    assert!(!left.contains(&"demo-worker-2".to_owned()), "{left:?}");
    done(&start(&stage, None));
    assert_eq!(before.differences(&stage.picture()), [""; 0]);
    stage.end();
}

/// After a kill at any point the same command goes on, and the result is the same.
pub fn killed() {
    let mut shape = Shape::base();
    shape.workers.push(Worker::new(3));
    let (_scratch, stage) = finished(&shape);
    let before = stage.picture();
    let stopped = stage.copy();
    for (kind, from) in [("stop", &stage), ("start", &stopped)] {
        let run = |stage: &Stage, kill| match kind {
            "stop" => stop(stage, kill),
            _ => start(stage, kill),
        };
        let straight = from.copy();
        done(&run(&straight, None));
        let counts = std::fs::read(passed(&straight.folder)).unwrap();
        let counts: BTreeMap<String, usize> = serde_json::from_slice(&counts).unwrap();
        straight.end();
        assert_eq!(counts["provision::switched"], 8, "{counts:?}");
        assert_eq!(counts["cli::powered"], 3, "{counts:?}");
        let kills = counts
            .iter()
            .flat_map(|(point, times)| (0..*times).map(move |n| (point.as_str(), n)));
        side_by_side(kills.collect(), |(point, times)| {
            let stage = from.copy();
            let first = run(&stage, Some((point, times)));
            assert_eq!(
                first.code, None,
                "{kind} at {point} {times}: {}",
                first.said
            );
            done(&run(&stage, None));
            match kind {
                "stop" => {
                    assert_eq!(on(&stage), [""; 0]);
                    done(&start(&stage, None));
                }
                _ => assert_eq!(on(&stage).len(), 8),
            }
            assert_eq!(
                before.differences(&stage.picture()),
                [""; 0],
                "{kind} at {point} {times}"
            );
            stage.end();
        });
        if kind == "stop" {
            done(&stop(&stopped, None));
        }
    }
    stage.end();
    stopped.end();
}

/// The file of a snapshot is complete, only its owner can read it, and it never replaces another file; nothing of it stays on a
/// master.
pub fn snapshots() {
    let (_scratch, stage) = finished(&Shape::base());
    let before = stage.picture();
    let held = stage
        .place()
        .with(|state, _| serde_json::to_string(&state.kube).unwrap());
    let file = stage.folder.join("mine.db");
    let path = file.display().to_string();
    let arguments = ["etcd", "snapshot", "demo", "--out", &path];
    // The file that a killed run left on the master is removed by the next one.
    let run = stage.run(&arguments, Some(("kubespray::snapshot-saved", 0)));
    assert_eq!(run.code, None, "{}", run.said);
    assert!(!file.exists());
    let run = stage.run(&[&arguments[..], &["-o", "json"]].concat(), None);
    done(&run);
    let said = json(&run);
    assert_eq!(said["formatVersion"], 1);
    assert_eq!(said["file"], path);
    let saved = std::fs::read(&file).unwrap();
    assert_eq!(said["bytes"], saved.len());
    assert_eq!(said["sha256"], crate::machine::digest(&saved));
    assert!(String::from_utf8_lossy(&saved).contains(&held));
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let second = stage.run(&arguments, None);
    assert_eq!(second.code, Some(1), "{}", second.said);
    assert!(
        second.said.contains("it is there already"),
        "{}",
        second.said
    );
    assert_eq!(before.differences(&stage.picture()), [""; 0]);

    let run = stage.run(&["etcd", "snapshot", "demo"], None);
    done(&run);
    assert!(
        run.said.contains("home/clusters/demo/backups/etcd-"),
        "{}",
        run.said
    );
    assert_eq!(stage.picture().leftovers, [""; 0]);
    // One master is enough; where none serves, the reason is given for each.
    for (off, code) in [(1, 0), (2, 1)] {
        stage.place().host.stop(&format!("demo-master-{off}"));
        let run = stage.run(
            &[
                "etcd",
                "snapshot",
                "demo",
                "--out",
                &format!("{path}.{off}"),
            ],
            None,
        );
        assert_eq!(run.code, Some(code), "{}", run.said);
        if code == 1 {
            for part in ["demo-master-1: ", "demo-master-3: ", "kubitect status demo"] {
                assert!(run.said.contains(part), "no `{part}` in {}", run.said);
            }
        }
    }
    stage.end();
}

/// Without a terminal `console` prints what a machine wrote, or says that it wrote nothing.
pub fn consoles() {
    let (_scratch, stage) = finished(&Shape::base());
    let nothing = stage.run(&["console", "demo-master-1"], None);
    assert_eq!(nothing.code, Some(1), "{}", nothing.said);
    assert!(
        nothing.said.contains("nothing has been written to it"),
        "{}",
        nothing.said
    );
    let text = b"\x1b[0;32m  OK  \x1b[0m] Reached target\r\nmaster-1 login: ";
    let host = stage.place().host;
    let (pool, name) = ("demo-main-resource-pool", "demo-master-1-console.log");
    let length = text.len() as u64;
    let log = Volume {
        pool: pool.to_owned(),
        name: name.to_owned(),
        capacity: length,
        format: Format::Raw,
        backing: None,
    };
    host.create_volume(&log).unwrap();
    host.upload(pool, name, &mut &text[..], length).unwrap();
    for node in ["demo-master-1", "master-1"] {
        let run = stage.run(&["console", node], None);
        done(&run);
        assert_eq!(run.said, "  OK  ] Reached target\nmaster-1 login:\n");
    }
    stage.end();
}

/// `ssh` does not try a machine that is off: libvirt knows it at once, and the message names the command that starts it.
pub fn logins() {
    let (_scratch, stage) = finished(&Shape::base());
    let off = |part: &str| {
        let run = stage.run(&["ssh", "demo-worker-1", "--", "true"], None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let said = format!("log in on demo-worker-1: {part}");
        assert!(run.said.contains(&said), "no `{said}` in {}", run.said);
    };
    stage.place().host.stop("demo-worker-1");
    off("it is off; `kubitect start demo` starts it");
    stage.place().with(|_, host| {
        let name = "demo-worker-1".parse().unwrap();
        host.remove_domain(&name).unwrap();
    });
    off("host box has no such machine; `kubitect apply`");
    stage.end();
}

/// The time for a drain is that of the site file, or that of the command line instead; so is that for an API server.
pub fn timeouts() {
    let mut shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    stage.place().with(|state, _| {
        let pod = crate::state::Pod {
            node: "demo-worker-1".to_owned(),
            kept: true,
            ..Default::default()
        };
        state.kube.pods.insert("db".to_owned(), pod);
    });
    std::fs::write(
        stage.folder.join("home/site.yaml"),
        "timeouts: {drain: 90s}\n",
    )
    .unwrap();
    shape.workers.remove(0);
    let file = stage.want(&shape);
    let apply = ["apply", "--auto-approve", "--config", &file];
    for (more, limit) in [(&[][..], "90 s"), (&["--drain-timeout", "2m"], "2 minutes")] {
        let run = stage.run(&[&apply[..], more].concat(), None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let said = format!("after {limit}; end or move them");
        assert!(run.said.contains(&said), "no `{said}` in {}", run.said);
    }
    // No API server answers any more: the other wait has its own.
    stage.place().with(|state, _| state.kube.away = u32::MAX);
    for (more, limit) in [("2s", "2 s"), ("4s", "4 s")] {
        let run = stage.run(&[&apply[..], &["--ready-timeout", more]].concat(), None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let said = format!("find a master whose API serves, for {limit}: ");
        assert!(run.said.contains(&said), "no `{said}` in {}", run.said);
    }
    stage.end();
}

/// `status --wait` ends as soon as the cluster is healthy, else when the time is over, and reports what it waits for.
pub fn waited_for() {
    let (_scratch, stage) = finished(&Shape::base());
    let run = stage.run(&["status", "demo", "--wait=1h"], None);
    done(&run);
    assert!(run.said.starts_with("demo: healthy\n"), "{}", run.said);
    stage.place().host.stop("demo-worker-1");
    let run = stage.run(&["status", "demo", "--wait=1s"], None);
    assert_eq!(run.code, Some(5), "{}", run.said);
    assert!(run.said.contains("the time is over"), "{}", run.said);
    stage.place().with(|_, host| {
        let name = "demo-worker-1".parse().unwrap();
        host.start_domain(&name).unwrap();
    });
    // While it waits, a person uncordons a node.
    let cordon = |cordoned| {
        stage.place().with(|state, _| {
            state.kube.nodes.get_mut("demo-worker-2").unwrap().cordoned = cordoned;
        });
    };
    cordon(true);
    let mut waits = stage.command(&["status", "demo", "--wait"]);
    waits
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = waits.spawn().unwrap();
    let mut said = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
    cordon(false);
    let output = child.wait_with_output().unwrap();
    let waits = "waiting: node demo-worker-2 takes no new pods (cordoned)";
    assert!(said.contains(waits), "{said}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stage.end();
}
