//! Work that is left half done on machines and nodes: the next apply clears it, waits for it, or completes it.

use std::fs;

use crate::driver::side_by_side;
use crate::living::check;
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};
use crate::state::{MARK, Pod};
use crate::upgrades::ends_as_shown;

/// A run that ends in a step of kubeadm, or in a step after it, and the next run.
fn half_done(before: Option<&Shape>, shape: &Shape, playbook: &str, host: &str, step: &str) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let done = |shape: &Shape| {
        let run = stage.apply(shape, None);
        assert_eq!(run.code, Some(0), "{host}, {step}: {}", run.said);
        assert_eq!(stage.plan(shape), None, "{host}, {step}");
    };
    if let Some(before) = before {
        done(before);
    }
    let members = || stage.place().with(|state, _| state.kube.id);
    stage.break_in(playbook, host, step);
    let run = stage.apply(shape, None);
    assert_eq!(run.code, Some(1), "{host}, {step}: {}", run.said);
    let etcd = members();
    if step == "network" {
        // The power fails, too, and the downloads are lost.
        stage.place().with(|_, world| world.stop(host));
    }
    done(shape);
    assert_eq!(members(), etcd, "etcd is what it was");
    stage.place().with(|state, host| {
        for member in &state.kube.members {
            assert!(state.is_well(host, member), "{member:?}");
        }
        for name in state.kube.nodes.keys() {
            assert!(state.is_ready(host, name), "{name}");
            let marked = state.kube.nodes[name].labels.contains_key(MARK);
            assert_eq!(marked, name.contains("-master-"), "{name}");
        }
    });
    println!("{playbook} fails on {host} after its step {step}, and is gone on with");
    stage.end();
}

/// kubeadm fails, or is killed, after each file or object that it creates.
pub fn kubeadm() {
    let base = Shape::base();
    let newest = ["v1.34.4", "v2.31.0"];
    let with_release = |shape: &Shape, release| Shape {
        release,
        ..shape.clone()
    };
    let init = [
        "manifest",
        "config",
        "api",
        "registered",
        "initialised",
        "network",
    ];
    let join = ["manifest", "config", "registered"];
    let mut cases = Vec::new();
    for release in [base.release, newest] {
        let shape = with_release(&base, release);
        let (mut higher, mut wider) = (shape.clone(), shape.clone());
        higher.masters.extend([4, 5]);
        wider.workers.push(Worker::new(4));
        let mut case = |before: bool, wanted: &Shape, playbook, host, step| {
            let before = before.then(|| shape.clone());
            cases.push((before, wanted.clone(), playbook, host, step));
        };
        for step in init {
            case(false, &shape, "cluster.yml", "demo-master-1", step);
        }
        for step in join {
            case(false, &shape, "cluster.yml", "demo-master-2", step);
            case(true, &higher, "cluster.yml", "demo-master-4", step);
        }
        case(false, &shape, "cluster.yml", "demo-worker-1", "registered");
        for step in ["config", "registered"] {
            case(true, &wider, "scale.yml", "demo-worker-4", step);
        }
    }
    side_by_side((0..cases.len()).collect(), |case| {
        let (before, shape, playbook, host, step) = &cases[case];
        half_done(before.as_ref(), shape, playbook, host, step);
    });
}

/// A program that an interrupted run left running on a machine is named and waited for.
pub fn running_leftovers() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    stage.done(&shape);
    shape.workers.push(Worker::new(4));
    stage.place().with(|state, _| {
        let guest = state.guests.get_mut("demo-master-2").unwrap();
        guest.busy = vec![("apt-get -y install conntrack".to_owned(), 1)];
    });
    let run = stage.done(&shape);
    let waited = "demo-master-2: apt-get (process 800) goes on there, as an earlier run may have left it, and is waited for";
    assert!(run.said.contains(waited), "{}", run.said);
    stage.end();
}

/// Pods that no other node takes stay where they are, and those of addons find a node that takes them.
pub fn unschedulable_pods() {
    let scratch = scratch();
    let one = Shape {
        masters: vec![1],
        workers: Vec::new(),
        balancers: 1,
        addon: true,
        ..Shape::base()
    };
    let mut with_worker = one.clone();
    with_worker.workers = vec![Worker::new(1)];
    let upgraded = |shape: &Shape| Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..shape.clone()
    };
    let mut resized = with_worker.clone();
    resized.workers[0].ram = 3;
    let cases = [
        (&one, upgraded(&one), "demo-master-1"),
        (&with_worker, upgraded(&with_worker), "demo-worker-1"),
        // The budget would keep the pod for five minutes at each try.
        (&with_worker, resized, "demo-worker-1"),
    ];
    for (before, after, node) in cases {
        let stage = Stage::new(scratch.path());
        stage.done(before);
        stage.place().with(|state, _| {
            let pod = Pod {
                node: node.to_owned(),
                kept: true,
                ..Pod::default()
            };
            state.kube.pods.insert("db".to_owned(), pod);
        });
        let run = stage.done(&after);
        let said = format!("{node}: its pods stay on it: no other node takes");
        assert!(run.said.contains(&said), "{}", run.said);
        stage.place().with(|state, _| {
            assert_eq!(state.kube.pods["db"].node, node);
            assert!(state.kube.nodes.values().all(|node| !node.cordoned));
        });
        assert_eq!(stage.plan(&after), None);
        stage.end();
    }
}

/// A node that was just upgraded takes the pods of the next one, though Kubernetes has not removed the taint of its cordon yet.
pub fn late_taints() {
    let scratch = scratch();
    let before = Shape {
        masters: vec![1],
        workers: vec![Worker::new(1), Worker::new(2)],
        ..Shape::base()
    };
    let after = Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..before.clone()
    };
    let stage = Stage::new(scratch.path());
    stage.done(&before);
    stage.place().with(|state, _| {
        let node = "demo-worker-2".to_owned();
        let pod = Pod {
            node,
            ..Pod::default()
        };
        state.kube.pods.insert("web".to_owned(), pod);
    });
    let run = stage.done(&after);
    assert!(!run.said.contains("pods stay on it:"), "{}", run.said);
    stage
        .place()
        .with(|state, _| assert_eq!(state.kube.pods["web"].node, "demo-worker-1"));
    stage.end();
}

/// The last workers leave: their pods move to the masters, which the plan says.
pub fn last_workers() {
    let scratch = scratch();
    let mut shape = Shape::base();
    for release in [shape.release, ["v1.34.4", "v2.31.0"]] {
        let stage = Stage::new(scratch.path());
        shape.release = release;
        shape.workers = Shape::base().workers;
        stage.done(&shape);
        stage.place().with(|state, _| {
            for id in [1, 2] {
                let pod = Pod {
                    node: format!("demo-worker-{id}"),
                    ..Pod::default()
                };
                state.kube.pods.insert(format!("web-{id}"), pod);
            }
        });
        shape.workers.clear();
        let plan = stage.plan(&shape).unwrap();
        let said = "no worker stays, and the masters take pods from now on";
        assert_eq!(plan.matches(said).count(), 2, "{plan}");
        let run = stage.apply_as_shown(&shape);
        assert_eq!(run.code, Some(0), "{}", run.said);
        stage.place().with(|state, _| {
            for (name, pod) in &state.kube.pods {
                assert!(pod.node.starts_with("demo-master-"), "{name}: {}", pod.node);
            }
        });
        assert_eq!(stage.plan(&shape), None);
        check(&stage, &shape).unwrap();
        let keeps = "node-role.kubernetes.io/control-plane:NoSchedule";
        let kept = || {
            stage.place().with(|state, _| {
                let nodes = state.kube.nodes.iter();
                let masters = nodes.filter(|(name, _)| name.starts_with("demo-master-"));
                masters
                    .filter(|(_, node)| node.taints.contains(keeps))
                    .count()
            })
        };
        assert_eq!(kept(), 0);
        // As in a cluster that was created with workers.
        shape.workers = Shape::base().workers;
        stage.done(&shape);
        assert_eq!(kept(), 3);
        assert_eq!(stage.plan(&shape), None);
        stage.end();
    }
}

/// A creation stops when etcd runs, and a master's disk is lost: the next run does not overwrite the other members' data, and the
/// repair that it names leads to a whole cluster.
pub fn creations_that_lose_a_master() {
    let scratch = scratch();
    let shape = Shape::base();
    for lost in ["demo-master-1", "demo-master-3"] {
        let stage = Stage::new(scratch.path());
        stage.break_in("cluster.yml", "demo-master-2", "registered");
        let run = stage.apply(&shape, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        stage.playbooks();
        let host = stage.place().host;
        host.lose_file(
            "/pools/demo-main-resource-pool",
            &format!("{lost}-main-disk"),
        );
        let run = stage.apply(&shape, None);
        assert_eq!(run.code, Some(2), "{}", run.said);
        let said = format!("{lost}: its disk is lost, and a run that was not finished");
        assert!(run.said.contains(&said), "{}", run.said);
        assert_eq!(stage.playbooks(), []);
        let run = stage.destroy(None);
        assert_eq!(run.code, Some(0), "{}", run.said);
        ends_as_shown(stage, &shape);
    }
}

/// A node that leaves and can't be logged in on is drained all the same; only its machine is not cleaned.
pub fn unreachable_leaves() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    stage.done(&shape);
    stage.playbooks();
    stage.place().with(|state, _| {
        let pod = |kept| Pod {
            node: "demo-worker-1".to_owned(),
            kept,
            ..Pod::default()
        };
        state.kube.pods.insert("web".to_owned(), pod(false));
        state.guests.get_mut("demo-worker-1").unwrap().deaf = true;
    });
    shape.workers.remove(0);
    let run = stage.done(&shape);
    for said in [
        "demo-worker-1: its pods are moved elsewhere",
        "without being cleaned",
    ] {
        assert!(run.said.contains(said), "{}", run.said);
    }
    stage.place().with(|state, _| {
        assert_eq!(state.kube.pods["web"].node, "demo-worker-2");
        assert!(!state.kube.nodes.contains_key("demo-worker-1"));
    });
    assert_eq!(stage.playbooks(), []);
    assert_eq!(stage.plan(&shape), None);
    stage.end();
}

/// A master that a person has cordoned, and whose restart was killed, takes connections again, and stays cordoned.
pub fn connections() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    stage.done(&shape);
    stage.place().with(|state, _| {
        state.kube.nodes.get_mut("demo-master-3").unwrap().cordoned = true;
    });
    shape.master_ram = 3;
    let drained = || {
        stage.place().with(|state, _| {
            let guests = state.guests.values();
            guests.map(|guest| guest.drained.len()).sum::<usize>()
        })
    };
    // The last of three restarts.
    let run = stage.apply(&shape, Some(("provision::restarted", 2)));
    assert_eq!(run.code, None, "{}", run.said);
    assert!(drained() > 0);
    let run = stage.done(&shape);
    assert_eq!(drained(), 0, "{}", run.said);
    let cordoned = stage
        .place()
        .with(|state, _| state.kube.nodes["demo-master-3"].cordoned);
    assert!(cordoned, "a person did it");
    assert_eq!(stage.plan(&shape), None);
    stage.end();
}

/// One of three workers that join together does not become Ready: the others have joined, and do not join again.
pub fn workers_together() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape {
        plugin: "kube-router",
        ..Shape::base()
    };
    stage.done(&shape);
    let site = stage.folder.join("home/site.yaml");
    fs::write(&site, "timeouts: {ready: 10s}\n").unwrap();
    shape.workers.extend((3..=5).map(Worker::new));
    stage.break_in("scale.yml", "demo-worker-4", "network");
    let run = stage.apply(&shape, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert!(
        run.said.contains("wait for demo-worker-4 to be Ready"),
        "{}",
        run.said
    );
    for name in ["demo-worker-3", "demo-worker-5"] {
        assert!(
            run.said.contains(&format!("{name}: joined")),
            "{}",
            run.said
        );
    }
    fs::remove_file(site).unwrap();
    stage.playbooks();
    stage.done(&shape);
    let ran = stage.playbooks();
    let scaled: Vec<_> = ran
        .iter()
        .filter(|run| run.playbook == "scale.yml")
        .collect();
    assert_eq!(scaled.len(), 1, "{ran:?}");
    let mut workers = scaled[0].hosts.clone();
    workers.retain(|name| name.contains("-worker-"));
    assert_eq!(workers, ["demo-worker-4"]);
    assert_eq!(stage.plan(&shape), None);
    stage.end();
}
