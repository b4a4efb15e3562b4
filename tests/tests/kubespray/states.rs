//! `docs/states.md`: what an apply does with a node in each state is what the program plans.

use std::collections::BTreeSet;
use std::fmt::Write;

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_kubespray::living::plan::tasks;
use kubitect_kubespray::living::{Note, ObservedNode, Stage};
use tests::pages::{Page, assert_fresh, with_part};

const TEXT: &str = "
hosts: [{name: h, connection: {type: local}}]
cluster:
  name: c
  network: {mode: nat, cidr: 192.168.113.0/24}
  nodes:
    loadBalancer: {instances: [{id: 1, ip: 192.168.113.9}]}
    master: {instances: [{id: 1}, {id: 2}, {id: 3}]}
    worker: {instances: [{id: 1}, {id: 2}]}
kubernetes: {version: v1.34.4, kubespray: {version: v2.31.0}}
";

/// What changes a finished node into one of another state.
type Change = fn(&mut ObservedNode);

/// The master that the file does not name, in states in which it is not wanted.
const FOURTH: &str = "c-master-4";

/// The states: name, what is noted, and how a finished node comes into it.
const STATES: [(&str, &str, Change); 10] = [
    ("blank, wanted", "nothing; etcd does not list it", |seen| {
        seen.note = None
    }),
    ("joining, wanted", "unfinished", |seen| {
        note(seen).finished = false
    }),
    ("joined, wanted", "finished", |_| {}),
    ("joined, of an older release", "finished", |seen| {
        note(seen).release = Hop {
            kubernetes: "v1.33.7".parse().unwrap(),
            kubespray: "v2.30.0".parse().unwrap(),
        };
    }),
    ("joined, with other labels", "finished", |seen| {
        note(seen).labels.insert("tier".to_owned(), "db".to_owned());
    }),
    ("held, wanted", "finished, busy", |seen| {
        note(seen).busy = true
    }),
    ("joined, not wanted, answers", "finished", |seen| {
        seen.wanted = false
    }),
    ("joined, not wanted, does not answer", "finished", |seen| {
        (seen.wanted, seen.answers) = (false, false);
    }),
    ("leaving, not wanted, answers", "unfinished", |seen| {
        seen.wanted = false;
        note(seen).finished = false;
    }),
    (
        "its main disk is gone, wanted",
        "nothing; etcd lists a master",
        |seen| seen.note = None,
    ),
];

fn note(seen: &mut ObservedNode) -> &mut Note {
    seen.note.as_mut().unwrap()
}

fn cluster() -> Cluster {
    kubitect_config::parse(TEXT, "c.yaml", &Default::default())
        .unwrap()
        .cluster
}

/// A finished cluster in which this node is in a state. A blank master is in nobody's list of etcd's members.
fn seen(cluster: &Cluster, name: &str, state: &(&str, &str, Change)) -> Vec<ObservedNode> {
    let masters = cluster.role(Role::Master).map(|node| node.name.clone());
    let is_blank = state.0.starts_with("blank");
    let members: BTreeSet<_> = masters
        .filter(|master| !(is_blank && master.as_str() == name))
        .collect();
    let release = Hop {
        kubernetes: cluster.kubernetes.version.clone(),
        kubespray: cluster.kubernetes.kubespray.version.clone(),
    };
    let see = |node: &Node| {
        let mut seen = ObservedNode {
            node: node.clone(),
            wanted: true,
            note: (node.role != Role::LoadBalancer)
                .then(|| Note::of(cluster, node, &release, &members, true).unwrap()),
            answers: true,
        };
        if node.name.as_str() == name {
            (state.2)(&mut seen);
        }
        seen
    };
    let mut nodes = cluster.nodes.clone();
    // A master that is not wanted is one more than the file has: their number is odd.
    if name == FOURTH {
        let third = nodes.iter().find(|node| node.name.as_str() == "c-master-3");
        let mut fourth = third.unwrap().clone();
        (fourth.name, fourth.id) = (name.parse().unwrap(), "4".parse().unwrap());
        nodes.push(fourth);
    }
    nodes.iter().map(see).collect()
}

/// What is done, in words.
fn done(name: &str, state: &(&str, &str, Change)) -> String {
    let cluster = cluster();
    let said = match tasks(&cluster, &seen(&cluster, name, state)) {
        Ok(tasks) if tasks.is_empty() => "nothing".to_owned(),
        Ok(tasks) => {
            let tasks = tasks.iter().map(|task| match task.stage {
                Stage::Leave {
                    reachable: false, ..
                } => format!("{}, without asking it", task.stage),
                _ => task.stage.to_string(),
            });
            tasks.collect::<Vec<_>>().join("; ")
        }
        Err(refused) => {
            let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
            format!("refused: {}", refused.join("; "))
        }
    };
    said.replace('|', "\\|")
}

#[test]
fn the_table_of_states_is_what_is_planned() {
    let mut table = "| State | Noted | A worker | A master |\n|---|---|---|---|\n".to_owned();
    for state in &STATES {
        let master = match state.0.contains("not wanted") {
            true => FOURTH,
            false => "c-master-3",
        };
        let (worker, master) = (done("c-worker-2", state), done(master, state));
        writeln!(table, "| {} | {} | {worker} | {master} |", state.0, state.1).unwrap();
    }
    assert_ne!(done("c-worker-2", &STATES[0]), "nothing");
    assert_eq!(done("c-master-3", &STATES[2]), "nothing");
    let page = Page::read("docs/states.md");
    assert_fresh("docs/states.md", &with_part(&page.text, "states", &table));
}
