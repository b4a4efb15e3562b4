//! A cluster with a broken part: `start`, `status` and snapshots work with the rest of it.

use std::fs;

use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::PowerState;

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

fn ended(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.said);
    for part in parts {
        assert!(run.said.contains(part), "no `{part}` in {}", run.said);
    }
}

/// The machines that are off.
fn off(stage: &Stage) -> Vec<String> {
    let domains = stage.place().host.domains().unwrap().into_iter();
    let own = domains.filter(|domain| domain.mark.is_some() && domain.power == PowerState::Off);
    // They were created side by side, in no fixed order.
    let mut names: Vec<_> = own.map(|domain| domain.name).collect();
    names.sort();
    names
}

/// A balancer and a master that never boot do not keep other machines off. Without a majority of masters no worker is started.
pub fn start() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    ended(&stage.apply(&Shape::base(), None), 0, &[]);
    fs::write(
        stage.folder.join("home/site.yaml"),
        "timeouts: {ready: 1s}\n",
    )
    .unwrap();
    let before = stage.picture();
    let stop = || {
        ended(
            &stage.run(&["stop", "demo", "--auto-approve"], None),
            0,
            &[],
        )
    };
    let broken = |machines: &[&str], broken| {
        stage.place().with(|state, host| {
            for name in machines {
                match name.contains("-lb-") {
                    // Its system never comes up.
                    true => state.guests.get_mut(*name).unwrap().deaf = broken,
                    // Its host can't start it.
                    false => host.refuse_start(name, broken),
                }
            }
        });
    };
    stop();
    let few = ["demo-lb-1", "demo-master-2", "demo-worker-1"];
    broken(&few, true);
    let run = stage.run(&["start", "demo"], None);
    ended(
        &run,
        1,
        &[
            "failed to start all of demo: what is on stays on",
            "demo-lb-1: ",
            "start domain demo-master-2",
            "start domain demo-worker-1",
            "wait for the API of demo-master-3: done",
            "wait until workers are Ready: done",
        ],
    );
    assert_eq!(off(&stage), ["demo-master-2", "demo-worker-1"]);
    // The same command goes on with them.
    broken(&few, false);
    ended(&stage.run(&["start", "demo"], None), 0, &["demo: runs"]);
    assert_eq!(before.differences(&stage.picture()), [""; 0]);

    for (machines, kind, others) in [
        (
            &["demo-master-1", "demo-master-3"][..],
            "masters",
            "workers",
        ),
        (&["demo-lb-1", "demo-lb-2"], "balancers", "masters"),
    ] {
        stop();
        broken(machines, true);
        let why = format!("none of the {kind} serves, so that the {others} were not started");
        ended(
            &stage.run(&["start", "demo"], None),
            1,
            &[&why, machines[0], machines[1]],
        );
        let off = off(&stage);
        assert!(off.contains(&"demo-worker-1".to_owned()), "{off:?}");
        broken(machines, false);
        ended(&stage.run(&["start", "demo"], None), 0, &["demo: runs"]);
        assert_eq!(before.differences(&stage.picture()), [""; 0]);
    }
    stage.end();
}

/// A worker that was to be added and was never created, with a key or without one, does not prevent observing, saving and
/// restarting the existing cluster.
pub fn failed_scale_up() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    ended(&stage.apply(&shape, None), 0, &[]);
    // Its address is leased.
    shape.workers.push(Worker::new(5));
    assert_eq!(stage.apply(&shape, Some(("cli::phase", 0))).code, None);
    let key = stage
        .folder
        .join("home/clusters/demo/config/.ssh/hosts/demo-worker-5");
    for with_key in [true, false] {
        if !with_key {
            fs::remove_file(&key).unwrap();
        }
        let status = stage.run(&["status", "demo"], None);
        ended(
            &status,
            5,
            &[
                "demo: degraded\n",
                "! the run that was to change it has not ended",
                "! node demo-worker-5 has not joined",
                "  API         demo-master-3 v1.23.7 serves\n",
                "kube_api",
                "has the virtual address\n",
            ],
        );
        assert!(!status.said.contains("can be asked"), "{}", status.said);
        ended(
            &stage.run(&["etcd", "snapshot", "demo"], None),
            0,
            &["SHA-256"],
        );
        ended(
            &stage.run(&["stop", "demo", "--auto-approve"], None),
            0,
            &[],
        );
        let warned = "demo-worker-5 is not there; `kubitect apply` makes it";
        ended(
            &stage.run(&["start", "demo"], None),
            0,
            &[warned, "demo: runs"],
        );
    }
    // A cluster that was applied once is not reported as yet to be created.
    for id in 1..=3 {
        stage.place().host.stop(&format!("demo-master-{id}"));
    }
    let status = stage.run(&["status", "demo"], None);
    ended(&status, 1, &["demo: unreachable\n", "no master answers"]);
    assert!(!status.said.contains("creation"), "{}", status.said);
    ended(&stage.apply(&shape, None), 0, &[]);
    assert_eq!(stage.plan(&shape), None);
    stage.end();
}
