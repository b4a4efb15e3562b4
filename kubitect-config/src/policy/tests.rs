//! The policy of every kind of edit.

use super::*;
use crate::edit::tests::{CASES, all_edits, base};
use crate::edit::{self, edits};

/// Each edit of every case, and its policy, as a person reads them.
#[test]
fn every_edit_has_its_answer() {
    let mut text = String::new();
    for (change, _) in CASES {
        let mut wanted = base();
        change(&mut wanted);
        for edit in edits(&base(), &wanted) {
            text += &format!("{edit}\n");
            text += &match policy(&edit) {
                Policy::InPlace(disturbs) => format!("    {disturbs}\n"),
                Policy::Refused { why, instead } => format!("    REFUSED: {why}; {instead}\n"),
            };
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_refusal_is_two_clauses() {
    let mut refusals = 0;
    for edit in all_edits() {
        if let Policy::Refused { why, instead } = policy(&edit) {
            refusals += 1;
            for text in [&why, &instead] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{edit}: {text}");
                assert!(
                    !text.contains("  ") && !text.contains('\n'),
                    "{edit}: {text}"
                );
            }
        }
    }
    assert!(refusals > 25, "{refusals}");
}

#[test]
fn what_loses_data_says_so() {
    let losses: Vec<String> = all_edits()
        .iter()
        .filter(|edit| matches!(policy(edit), Policy::InPlace(disturbs) if disturbs.is_data_loss()))
        .map(|edit| edit.path.clone())
        .collect();
    let mut wanted = vec![
        "cluster.nodes.loadBalancer.instances[id=1]",
        "cluster.nodes.loadBalancer.instances[id=2]",
        "cluster.nodes.loadBalancer.instances[id=1]",
        "cluster.nodes.master.instances[id=1]",
        "cluster.nodes.worker.instances[id=2]",
        "cluster.nodes.worker.instances[id=2]",
        "cluster.nodes.worker.instances[id=1].dataDisks[name=rook]",
    ];
    wanted.sort();
    let mut losses: Vec<&str> = losses.iter().map(String::as_str).collect();
    losses.sort();
    assert_eq!(losses, wanted);
}

#[test]
fn an_action_covers_its_own_and_the_right_one_is_named() {
    for (path, wanted) in [
        ("cluster.nodes.worker.instances[id=3]", Action::Scale),
        ("cluster.nodes.master.instances[id=1]", Action::Scale),
        ("cluster.nodes.loadBalancer.instances[id=3]", Action::Scale),
        ("kubernetes.version", Action::Upgrade),
        ("kubernetes.kubespray.version", Action::Upgrade),
        ("cluster.nodes.worker.instances[id=1].cpu", Action::Create),
        (
            "cluster.nodes.worker.instances[id=1].labels[gpu]",
            Action::Create,
        ),
        (
            "cluster.nodes.loadBalancer.forwardPorts[name=http]",
            Action::Create,
        ),
        ("addons.kubespray.helm_enabled", Action::Create),
        ("hosts[name=three]", Action::Create),
    ] {
        let edits = all_edits();
        let edit = edits.iter().find(|edit| edit.path == path).unwrap();
        assert_eq!(action(edit), wanted, "{path}");
        for chosen in [Action::Create, Action::Scale, Action::Upgrade] {
            assert_eq!(covers(chosen, edit), chosen == wanted, "{path}");
        }
    }
}

#[test]
fn many_machines_are_named_in_few_words() {
    let edit = |nodes: usize| edit::Edit {
        path: "hosts[name=one]".to_owned(),
        was: None,
        wanted: None,
        change: Change::MainPoolPath {
            host: "one".parse().unwrap(),
            carries: (0..nodes)
                .map(|n| format!("n{n}").parse().unwrap())
                .collect(),
        },
    };
    for (nodes, wanted) in [
        (1, "the main disks of n0 lie there, and disks are not moved"),
        (
            2,
            "the main disks of n0 and n1 lie there, and disks are not moved",
        ),
        (
            4,
            "the main disks of n0, n1, n2 and n3 lie there, and disks are not moved",
        ),
        (
            9,
            "the main disks of n0, n1, n2, n3 and 5 more lie there, and disks are not moved",
        ),
    ] {
        let Policy::Refused { why, .. } = policy(&edit(nodes)) else {
            panic!("{nodes}");
        };
        assert_eq!(why, wanted);
    }
    assert_eq!(policy(&edit(0)), Policy::InPlace(Disturbs::Nothing));
}

#[test]
fn an_action_covers_what_it_is_named_for() {
    let mut grown = base();
    grown.nodes.push(crate::cluster::Node {
        name: "demo-worker-9".parse().unwrap(),
        id: "9".parse().unwrap(),
        ..grown.nodes.last().unwrap().clone()
    });
    let change = edits(&base(), &grown);
    assert_eq!(change.len(), 1, "{change:?}");
    let why = |action, edits| {
        let refused = uncovered_edits(action, edits);
        refused
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    use Action::{Create, Scale, Upgrade};
    assert_eq!(why(Scale, Some(&change)), "");
    for action in [Create, Upgrade] {
        let why = why(action, Some(&change));
        assert!(why.contains("use the action `scale`, or none"), "{why}");
    }
    assert_eq!(why(Create, None), "");
    for action in [Scale, Upgrade] {
        let none = why(action, None);
        assert!(
            none.contains("yet to be made; use the action `create`"),
            "{none}"
        );
        assert_eq!(why(action, Some(&[])), "");
    }
}
