//! A playbook fails on a host: the next apply begins with the work that is left, which shows in the hosts of its playbooks.

use crate::ansible::Record;
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};

/// The playbooks that change something, each with its hosts. Before each limited one the facts of all hosts are gathered.
fn changes(stage: &Stage) -> Vec<String> {
    let short = |noted: Record| {
        let hosts: Vec<_> = noted
            .hosts
            .iter()
            .map(|name| name.trim_start_matches("demo-"))
            .collect();
        format!("{} {}", noted.playbook, hosts.join(","))
    };
    let all = stage.playbooks().into_iter();
    all.filter(|noted| noted.playbook != "facts.yml")
        .map(short)
        .collect()
}

/// From one shape to another with a playbook that fails on a host: the playbooks until then, and those of the next apply.
fn fails(made: &Stage, shape: &Shape, playbook: &str, host: &str, before: &[&str], after: &[&str]) {
    let stage = made.copy();
    stage.break_at(playbook, host);
    let run = stage.apply(shape, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    for part in [host, "as the test asks"] {
        assert!(run.said.contains(part), "{}", run.said);
    }
    assert_eq!(changes(&stage), before, "{}", run.said);
    // Nodes that are healthy and stay take pods, also the one that failed, where its kubelet runs.
    let stays = |name: &str| {
        let mut workers = shape.workers.iter();
        !name.contains("-worker-") || workers.any(|w| name == format!("demo-worker-{}", w.id))
    };
    let held = stage.place().with(|state, host| {
        let nodes = state.kube.nodes.iter().filter(|(name, _)| stays(name));
        let held = nodes.filter(|(name, node)| node.cordoned && state.is_ready(host, name));
        held.count()
    });
    assert_eq!(held, 0, "{}", run.said);
    let run = stage.done(shape);
    assert_eq!(changes(&stage), after, "{}", run.said);
    assert_eq!(stage.plan(shape), None);
    println!("{playbook} fails on {host}: {before:?}, then {after:?}");
    stage.end();
}

pub fn all() {
    let scratch = scratch();
    let base = Shape::base();
    let made = Stage::new(scratch.path());
    made.done(&base);
    assert_eq!(
        changes(&made),
        ["cluster.yml master-1,master-2,master-3,worker-1,worker-2"]
    );

    // The third node of an upgrade.
    let mut upgraded = base.clone();
    upgraded.release = ["v1.24.6", "v2.20.0"];
    fails(
        &made,
        &upgraded,
        "upgrade-cluster.yml",
        "demo-master-3",
        &[
            "upgrade-cluster.yml master-1",
            "upgrade-cluster.yml master-2",
            "upgrade-cluster.yml master-3",
        ],
        &[
            "upgrade-cluster.yml master-3",
            // Kubespray's cluster DNS is put back after the last master.
            "cluster.yml master-1",
            "upgrade-cluster.yml worker-1",
            "upgrade-cluster.yml worker-2",
        ],
    );

    // Three workers join at once, as Ansible does it: none is finished before all are.
    let mut wider = base.clone();
    wider.workers.extend([3, 4, 5].map(Worker::new));
    fails(
        &made,
        &wider,
        "scale.yml",
        "demo-worker-5",
        &["scale.yml master-1,master-2,master-3,worker-3,worker-4,worker-5"],
        &["scale.yml master-1,master-2,master-3,worker-3,worker-4,worker-5"],
    );

    // The second of two masters: the first has joined.
    let mut higher = base.clone();
    higher.masters.extend([4, 5]);
    let five = "cluster.yml master-1,master-2,master-3,master-4,master-5";
    let four = "cluster.yml master-1,master-2,master-3,master-4";
    fails(
        &made,
        &higher,
        "cluster.yml",
        "demo-master-5",
        &[four, five],
        &[five],
    );
    fails(
        &made,
        &higher,
        "cluster.yml",
        "demo-master-4",
        &[four],
        &[four, five],
    );

    // The second of two workers that leave: the first has left.
    let mut smaller = base.clone();
    smaller.workers.clear();
    fails(
        &made,
        &smaller,
        "remove-node.yml",
        "demo-worker-2",
        &["remove-node.yml worker-1,worker-2"],
        &["remove-node.yml worker-2"],
    );
}
