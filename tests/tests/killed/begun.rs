//! A run has begun and not ended: its machines are as it made them, and no action removes them that does not cover it.

use std::fs;
use std::process::Command;

use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};

/// The file is edited between two runs that create a cluster: what the existing machines can't be changed to is refused or noted.
pub fn edits() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    let planned = |was: &str, is: &str| {
        let file = stage.want(&base);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(was), "{text}");
        fs::write(&file, text.replace(was, is)).unwrap();
        stage.run(&["plan", "--config", &file], None)
    };
    let user = ["user: k8s", "user: jane"];
    let subnet = [
        "kubernetes:\n",
        "addons: {kubespray: {kube_pods_subnet: 10.200.0.0/16}}\nkubernetes:\n",
    ];
    let dns = ["    user: k8s\n", "    user: k8s\n    dns: [9.9.9.9]\n"];
    stage.break_at("cluster.yml", "demo-master-1");
    let run = stage.apply(&base, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    for ([was, is], part) in [
        (
            user,
            "cluster.nodeTemplate.user: k8s -> jane: a run that did not end has made machines",
        ),
        (
            subnet,
            "addons.kubespray.kube_pods_subnet: (nothing) -> 10.200.0.0/16: a run that did not end",
        ),
        (
            ["cidr: 10.9.0.0/24", "cidr: 10.9.0.0/23"],
            "cluster.network.cidr: ",
        ),
        (
            ["ip: 10.9.0.21", "ip: 10.9.0.29"],
            "instances[id=1].ip: 10.9.0.21 -> 10.9.0.29",
        ),
    ] {
        let run = planned(was, is);
        assert_eq!(run.code, Some(2), "{}", run.said);
        for part in [part, "destroy the cluster and make it again"] {
            assert!(run.said.contains(part), "no `{part}` in {}", run.said);
        }
    }
    let run = planned(dns[0], dns[1]);
    assert_eq!(run.code, Some(4), "{}", run.said);
    let note = "note: cluster.nodeTemplate.dns: ";
    assert!(run.said.contains(note), "{}", run.said);
    // What existed before goes on. Where no machine exists yet, every edit is possible.
    stage.done(&base);
    stage.end();
    let stage = Stage::new(scratch.path());
    let run = stage.apply(&base, Some(("cli::phase", 0)));
    assert_ne!(run.code, Some(0), "{}", run.said);
    let file = stage.want(&base);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(user[0], user[1])).unwrap();
    let run = stage.run(&["plan", "--config", &file], None);
    assert_eq!(run.code, Some(4), "{}", run.said);
    stage.end();
}

/// A run that was to add a worker did not end, and then the file has no such worker again: it is removed by the action that
/// removes machines, and by no other.
pub fn actions() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    stage.done(&base);
    let mut wider = base.clone();
    wider.workers.push(Worker::new(3));
    stage.break_at("scale.yml", "demo-worker-3");
    let run = stage.apply(&wider, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let upgraded = Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..base.clone()
    };
    let act = |shape: &Shape, action: &str| {
        let file = stage.want(shape);
        let args = ["apply", "-a", action, "--auto-approve", "--config", &file];
        stage.run(&args, None)
    };
    let before = stage.picture();
    for (shape, action) in [
        (&upgraded, "upgrade"),
        (&base, "upgrade"),
        (&base, "create"),
    ] {
        let run = act(shape, action);
        assert_eq!(run.code, Some(2), "{}", run.said);
        for part in ["demo-worker-3", "use the action `scale`, or none"] {
            assert!(run.said.contains(part), "no `{part}` in {}", run.said);
        }
    }
    assert_eq!(before.differences(&stage.picture()), [""; 0]);
    let run = act(&base, "scale");
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(stage.plan(&base), None);
    let run = act(&upgraded, "upgrade");
    assert_eq!(run.code, Some(0), "{}", run.said);
    stage.end();
}

/// A run that was to exchange all masters did not end: those that leave are the only ones that serve. They are asked.
pub fn exchanges() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    stage.done(&Shape::base());
    let exchanged = Shape {
        masters: vec![4, 5, 6],
        ..Shape::base()
    };
    stage.break_at("cluster.yml", "demo-master-4");
    let run = stage.apply(&exchanged, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let status = stage.run(&["status", "demo"], None);
    assert_eq!(status.code, Some(5), "{}", status.said);
    for part in [
        "demo: degraded\n",
        "  API         demo-master-1 v1.23.7 serves\n",
        "  node        demo-worker-1 v1.23.7 Ready\n",
    ] {
        assert!(status.said.contains(part), "{}", status.said);
    }
    let file = scratch.path().join("etcd.db").display().to_string();
    let saved = stage.run(&["etcd", "snapshot", "demo", "--out", &file], None);
    assert_eq!(saved.code, Some(0), "{}", saved.said);
    let archive = scratch.path().join("support.tar.gz").display().to_string();
    let gathered = stage.run(&["support", "demo", "--out", &archive], None);
    assert_eq!(gathered.code, Some(0), "{}", gathered.said);
    let listed = Command::new("tar").args(["-tzf", &archive]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    for part in ["/consoles/demo-master-1.txt", "/kubernetes/"] {
        assert!(listed.contains(part), "{listed}");
    }
    stage.end();
}
