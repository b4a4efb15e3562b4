//! Upgrades and creations that stop half way, and then an edit, or a lost master.

use crate::living::check;
use crate::members::{apply_fully, shape};
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};

/// A node whose kubelet is upgraded and whose API server is not is not upgraded.
pub fn upgrades_that_stop_half_way() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    stage.done(&shape);
    shape.release = ["v1.24.6", "v2.20.0"];
    stage.break_in("upgrade-cluster.yml", "demo-master-1", "kubelet");
    let run = stage.apply(&shape, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let status = stage.run(&["status", "--cluster", "demo"], None);
    // Kubespray has upgraded the kubelet, and not the API server.
    for said in [
        "API         demo-master-1 v1.23.7 serves",
        "node        demo-master-1 v1.24.6 Ready",
    ] {
        assert!(status.said.contains(said), "{}", status.said);
    }
    stage.done(&shape);
    let dns = stage.place().with(|state, _| state.kube.dns.clone());
    assert_eq!(dns, "Kubespray");
    stage.end();
}

/// A node whose upgrade has begun never runs an older version again, whatever the file then says.
pub fn upgrades_do_not_go_back() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    stage.done(&base);
    let mut upgraded = base.clone();
    upgraded.release = ["v1.24.6", "v2.20.0"];
    stage.break_in("upgrade-cluster.yml", "demo-master-1", "kubelet");
    let run = stage.apply(&upgraded, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    stage.playbooks();
    // The file as it was, with one more worker and an addon.
    let mut wider = base.clone();
    wider.workers.push(Worker::new(4));
    wider.addon = true;
    for shape in [&base, &wider] {
        let run = stage.apply(shape, None);
        assert_eq!(run.code, Some(2), "{}", run.said);
        let said = "demo-master-1: a run that was not finished has begun to upgrade it, or a master before it, to Kubernetes v1.24.6";
        assert!(run.said.contains(said), "{}", run.said);
    }
    assert_eq!(stage.playbooks(), []);
    // A new worker joins when all nodes are upgraded.
    wider.release = upgraded.release;
    let run = stage.apply_as_shown(&wider);
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(stage.plan(&wider), None);
    check(&stage, &wider).unwrap();
    stage.end();
}

/// A creation that has begun is continued with its release and settings, or with newer programs where no Kubernetes exists yet.
pub fn creations_do_not_go_back() {
    let scratch = scratch();
    let newer = Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..Shape::base()
    };
    let older = Shape::base();
    for (first, step, second, code) in [
        (&newer, "config", &older, 2),
        (&newer, "initialised", &older, 2),
        (&older, "initialised", &newer, 1),
    ] {
        let stage = Stage::new(scratch.path());
        stage.break_in("cluster.yml", "demo-master-1", step);
        let run = stage.apply(first, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        stage.playbooks();
        let run = stage.apply(second, None);
        assert_eq!(run.code, Some(code), "{}", run.said);
        let said = format!(
            "demo-master-1: a run that was not finished has begun to set up Kubernetes {} with Kubespray {} there",
            first.release[0], first.release[1]
        );
        assert!(run.said.contains(&said), "{}", run.said);
        assert_eq!(stage.playbooks(), []);
        stage.done(first);
        stage.end();
    }
    // What kubeadm had not finished is cleared: then another release is possible.
    let stage = Stage::new(scratch.path());
    stage.break_in("cluster.yml", "demo-master-1", "config");
    let run = stage.apply(&older, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    stage.done(&newer);
    check(&stage, &newer).unwrap();
    stage.end();
}

/// The plan is carried out as shown, and then the plan is empty.
pub fn ends_as_shown(stage: Stage, shape: &Shape) {
    let run = stage.apply_as_shown(shape);
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(stage.plan(shape), None);
    check(&stage, shape).unwrap();
    stage.end();
}

/// An upgrade stops between masters, and then one is lost: the other one of two members of etcd is upgraded, with an outage that
/// the plan shows, before a new one joins.
pub fn upgrades_that_lose_a_master() {
    let scratch = scratch();
    for step in ["", "kubelet"] {
        let stage = Stage::new(scratch.path());
        let mut shape = Shape::base();
        stage.done(&shape);
        shape.release = ["v1.24.6", "v2.20.0"];
        stage.break_in("upgrade-cluster.yml", "demo-master-3", step);
        let run = stage.apply(&shape, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let host = stage.place().host;
        host.lose_file("/pools/demo-main-resource-pool", "demo-master-2-main-disk");
        let plan = stage.steps(&shape);
        let row = |line: &&str| line.contains("demo-master-3 ");
        let row = plan.lines().find(row).unwrap_or_default();
        assert!(row.contains("outage]"), "{plan}");
        ends_as_shown(stage, &shape);
    }
}

/// The first master was upgraded, or about to be, and is lost before the next upgrade began: no older version is set up after
/// that, and the others are upgraded before it joins again.
pub fn upgrades_that_lose_the_first_master() {
    let scratch = scratch();
    let base = Shape::base();
    let upgraded = Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..base.clone()
    };
    for is_done in [true, false] {
        let stage = Stage::new(scratch.path());
        stage.done(&base);
        match is_done {
            // The second master is about to be upgraded, and its pods are still on it.
            true => {
                let run = stage.apply(&upgraded, Some(("kubespray::out-of-service", 1)));
                assert_eq!(run.code, None, "{}", run.said);
            }
            false => {
                stage.break_in("upgrade-cluster.yml", "demo-master-1", "kubelet");
                let run = stage.apply(&upgraded, None);
                assert_eq!(run.code, Some(1), "{}", run.said);
            }
        }
        stage.playbooks();
        let host = stage.place().host;
        host.lose_file("/pools/demo-main-resource-pool", "demo-master-1-main-disk");
        let run = stage.apply(&base, None);
        assert_eq!(run.code, Some(2), "{}", run.said);
        let said =
            "to Kubernetes v1.24.6 with Kubespray v2.20.0, and may have put parts of that in place";
        assert!(run.said.contains(said), "{}", run.said);
        assert_eq!(stage.playbooks(), []);

        let plan = stage.steps(&upgraded);
        let position = |part: &str| {
            plan.find(part)
                .unwrap_or_else(|| panic!("no {part}: {plan}"))
        };
        let join = position("joins: Kubernetes v1.24.6 with Kubespray v2.20.0");
        for name in ["demo-master-2 ", "demo-master-3 "] {
            let row = &plan[position(&format!("update  node   {name}"))..join];
            assert!(row.lines().next().unwrap().contains("outage]"), "{plan}");
        }
        ends_as_shown(stage, &upgraded);
    }
}

/// An upgrade stopped after the first master, and then another one is to be replaced: the playbook with which the new one joins
/// also runs on the one that leaves, so that one is upgraded before.
pub fn upgrades_that_exchange_a_master() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    stage.done(&shape);
    shape.release = ["v1.24.6", "v2.20.0"];
    stage.break_at("upgrade-cluster.yml", "demo-master-2");
    let run = stage.apply(&shape, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    shape.masters = vec![1, 3, 4];
    ends_as_shown(stage, &shape);
}

/// With Kubernetes v1.35, Kubespray v2.31 stops a master's etcd on its way from 3.5 to 3.6 before it checks the others: where
/// these would be no majority, no playbook is run.
pub fn upgrades_without_a_majority() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let upgraded = shape(&[1, 2, 3], ["v1.35.4", "v2.31.0"]);
    apply_fully(&stage, &shape(&[1, 2, 3], ["v1.34.7", "v2.31.0"]));
    let stopped = |is| {
        stage.place().with(|state, _| {
            let units = &mut state.guests.get_mut("demo-master-2").unwrap().stopped;
            match is {
                true => units.insert("etcd".to_owned()),
                false => units.remove("etcd"),
            }
        })
    };
    stopped(true);
    stage.playbooks();
    let run = stage.apply(&upgraded, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let why = "upgrade demo-master-1: of 3 etcd members only 1 others answer, which is no majority";
    assert!(run.said.contains(why), "{}", run.said);
    assert_eq!(stage.playbooks(), []);
    stopped(false);
    apply_fully(&stage, &upgraded);
    stage.end();
}
