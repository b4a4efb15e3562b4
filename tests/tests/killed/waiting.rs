//! Questions to several machines are asked side by side: the world counts of how many machines the same is asked at the same
//! time.

use std::collections::BTreeMap;

use crate::program::LOGIN;
use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

/// Of how many machines a question that begins so was asked at the same time.
fn most(asked: &BTreeMap<String, usize>, question: &str) -> usize {
    let own = asked.iter().filter(|(own, _)| own.starts_with(question));
    own.map(|(_, most)| *most).max().unwrap_or_default()
}

/// Fails unless each of these questions was asked of so many machines at the same time.
fn expect(what: &str, stage: &Stage, run: &Run, expected: &[(&str, usize)]) {
    let asked = stage.asked().most;
    for (question, machines) in expected {
        assert_eq!(
            most(&asked, question),
            *machines,
            "{what}: {question} in {asked:#?}\n{}",
            run.said
        );
    }
}

/// Creates, observes and changes a cluster of two balancers, three masters and two workers.
pub fn side_by_side() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let mut shape = Shape::base();
    let run = stage.done(&shape);
    let created = [
        // Before a playbook runs, what an earlier run may have left is looked for on all machines of Kubernetes.
        ("ps -e", 5),
        ("ip -o -4 addr show", 2),
    ];
    expect("create", &stage, &run, &created);

    let run = stage.run(&["status", "--cluster", "demo"], None);
    assert_eq!(run.code, Some(0), "{}", run.said);
    let looked = [
        (LOGIN, 5),
        ("/usr/local/bin/kubectl", 3),
        ("find /etc/kubernetes/ssl", 3),
        ("python3 -I -c # Prints what the HAProxy", 2),
    ];
    expect("status", &stage, &run, &looked);

    // A person's file that lacks all of the machines; one master is logged in on for the kubeconfig.
    std::fs::write(stage.folder.join("person/.ssh/known_hosts"), "").unwrap();
    let run = stage.done(&shape);
    expect("apply", &stage, &run, &[(LOGIN, 6)]);

    shape.master_ram = 3;
    shape.workers.push(Worker::new(4));
    let run = stage.done(&shape);
    let changed = [
        ("ps -e", 5),
        (LOGIN, 5),
        // Files are written on one machine after another.
        ("python3 -I -c # Sets the state of a server", 1),
    ];
    expect("change", &stage, &run, &changed);
    stage.end();
}
