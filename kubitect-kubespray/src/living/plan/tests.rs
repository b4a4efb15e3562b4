//! Which tasks follow from what is observed.

mod upgrades;

use super::*;

/// A cluster of three masters and two workers, as the file has it.
fn cluster(kubernetes: &str, kubespray: &str) -> Cluster {
    let text = format!(
        "hosts:\n  - {{name: h, connection: {{type: local}}}}\ncluster:\n  name: c\n  \
         network: {{mode: nat, cidr: 192.168.113.0/24}}\n  nodeTemplate: {{user: k8s, os: {{distro: ubuntu}}}}\n  \
         nodes:\n    loadBalancer: {{instances: [{{id: 1, ip: 192.168.113.9}}]}}\n    \
         master: {{instances: [{{id: 1}}, {{id: 2}}, {{id: 3}}]}}\n    \
         worker: {{instances: [{{id: 1}}, {{id: 2}}]}}\n\
         kubernetes: {{version: {kubernetes}, networkPlugin: calico, kubespray: {{version: {kubespray}}}}}\n"
    );
    let parsed = kubitect_config::parse(&text, "c.yaml", &kubitect_config::Site::default());
    match parsed {
        Ok(parsed) => parsed.cluster,
        Err(error) => panic!("{error}: {:?}", error.problems()),
    }
}

fn old() -> Cluster {
    cluster("v1.23.7", "v2.19.0")
}

/// A finished cluster, nothing to do.
fn finished(cluster: &Cluster) -> Vec<ObservedNode> {
    let masters = cluster.role(Role::Master).map(|node| node.name.clone());
    let members: BTreeSet<_> = masters.collect();
    let release = cluster.kubernetes.hop();
    let see = |node: &Node| ObservedNode {
        node: node.clone(),
        wanted: true,
        note: (node.role != Role::LoadBalancer)
            .then(|| Note::of(cluster, node, &release, &members, true).unwrap()),
        answers: true,
    };
    cluster.nodes.iter().map(see).collect()
}

fn find<'a>(nodes: &'a mut [ObservedNode], name: &str) -> &'a mut ObservedNode {
    let mut all = nodes.iter_mut();
    all.find(|node| node.node.name.as_str() == name).unwrap()
}

/// The tasks, a line each.
fn lines(cluster: &Cluster, nodes: &[ObservedNode]) -> Vec<String> {
    let tasks = tasks(cluster, nodes).unwrap();
    tasks.iter().map(|task| line(&task.stage)).collect()
}

fn line(stage: &Stage) -> String {
    let short = |name: &Label| name.as_str().trim_start_matches("c-").to_owned();
    let all = |names: &[Label]| names.iter().map(short).collect::<Vec<_>>().join(",");
    match stage {
        Stage::Leave { nodes, reachable } => match reachable {
            true => format!("leave {}", all(nodes)),
            false => format!("lose {}", all(nodes)),
        },
        Stage::JoinMaster(name) => format!("master {}", short(name)),
        Stage::JoinWorkers(names) => format!("workers {}", all(names)),
        Stage::LabelsAndTaints(name) => format!("labels {}", short(name)),
        Stage::ReturnToService(name) => format!("return {}", short(name)),
        Stage::Upgrade { node, to, pauses } => {
            let pauses = if *pauses { ", pauses" } else { "" };
            format!("upgrade {} {}{pauses}", short(node), to.kubernetes)
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn a_new_cluster_is_made_whole_and_a_finished_one_left_alone() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    assert_eq!(lines(&cluster, &nodes), [""; 0]);
    for node in &mut nodes {
        if let Some(note) = &mut node.note {
            note.finished = false;
        }
    }
    assert_eq!(lines(&cluster, &nodes), ["create"], "interrupted");
    for node in &mut nodes {
        node.note = None;
    }
    assert_eq!(lines(&cluster, &nodes), ["create"]);
}

#[test]
fn a_cluster_that_has_lost_all_masters_is_not_recreated_over_its_workers() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    for node in nodes
        .iter_mut()
        .filter(|node| node.node.role == Role::Master)
    {
        node.note = None;
        node.answers = false;
    }
    let reasons = tasks(&cluster, &nodes).unwrap_err();
    assert_eq!(reasons[0].kind, RefusalKind::MastersLost);
}

#[test]
fn dead_workers_leave_first_and_those_that_answer_when_others_have_joined() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    find(&mut nodes, "c-worker-1").wanted = false;
    find(&mut nodes, "c-worker-2").note = None;
    assert_eq!(
        lines(&cluster, &nodes),
        ["workers worker-2", "leave worker-1"]
    );
    find(&mut nodes, "c-worker-1").answers = false;
    assert_eq!(
        lines(&cluster, &nodes),
        ["lose worker-1", "workers worker-2"]
    );
    // A worker that was never set up is removed with its machine; Kubernetes does not list it.
    find(&mut nodes, "c-worker-1").note = None;
    assert_eq!(lines(&cluster, &nodes), ["workers worker-2"]);
}

#[test]
fn a_master_that_was_recreated_leaves_etcd_before_it_joins() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    let first = find(&mut nodes, "c-master-1");
    (first.note, first.answers) = (None, false);
    assert_eq!(
        lines(&cluster, &nodes),
        ["lose master-1", "master master-1", "members"]
    );
    // Killed after it had begun to join.
    let node = cluster.role(Role::Master).next().unwrap();
    let begun = find(&mut nodes, "c-master-2").note.clone().unwrap();
    let begun = Note::of(&cluster, node, &begun.release, &begun.members, false).unwrap();
    let first = find(&mut nodes, "c-master-1");
    (first.note, first.answers) = (Some(begun), true);
    assert_eq!(lines(&cluster, &nodes), ["master master-1", "members"]);
}

#[test]
fn a_dead_member_leaves_before_anything_is_done_to_other_masters() {
    // An upgrade stopped at the second master, whose disk was then lost.
    let cluster = cluster("v1.24.6", "v2.20.0");
    let mut nodes = finished(&cluster);
    let old = Hop {
        kubernetes: "v1.23.7".parse().unwrap(),
        kubespray: "v2.19.0".parse().unwrap(),
    };
    find(&mut nodes, "c-master-3")
        .note
        .as_mut()
        .unwrap()
        .release = old;
    let second = find(&mut nodes, "c-master-2");
    (second.note, second.answers) = (None, false);
    let expected = [
        "lose master-2",
        "snapshot",
        "upgrade master-3 v1.24.6, pauses",
        "master master-2",
        "members",
    ];
    assert_eq!(lines(&cluster, &nodes), expected);

    // A master had begun to join when another one was lost.
    let mut nodes = finished(&cluster);
    find(&mut nodes, "c-master-3")
        .note
        .as_mut()
        .unwrap()
        .finished = false;
    let first = find(&mut nodes, "c-master-1");
    (first.note, first.answers) = (None, false);
    let expected = [
        "lose master-1",
        "master master-3",
        "master master-1",
        "members",
    ];
    assert_eq!(lines(&cluster, &nodes), expected);
}

#[test]
fn a_master_that_had_begun_and_is_not_wanted_leaves_before_anything_else_is_done() {
    let from = old();
    let to = cluster("v1.24.6", "v2.20.0");
    let mut nodes = finished(&from);
    join(&mut nodes, &["4"]);
    let third = find(&mut nodes, "c-master-3");
    third.wanted = false;
    third.note.as_mut().unwrap().finished = false;
    assert_eq!(
        lines(&from, &nodes),
        ["leave master-3", "master master-4", "members"]
    );
    // Before an upgrade it leaves, too: Kubespray asks all members of etcd.
    nodes.retain(|node| node.node.name.as_str() != "c-master-4");
    find(&mut nodes, "c-master-2").wanted = false;
    assert_eq!(
        lines(&to, &nodes)[..4],
        ["leave master-3", "members", "leave master-2", "snapshot"]
    );
}

#[test]
fn a_cluster_that_is_not_finished_loses_no_master_that_may_be_a_member() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    for node in &mut nodes {
        if let Some(note) = &mut node.note {
            note.finished = false;
        }
    }
    find(&mut nodes, "c-worker-2").wanted = false;
    assert_eq!(lines(&cluster, &nodes), ["create", "leave worker-2"]);
    find(&mut nodes, "c-master-3").wanted = false;
    let reasons = tasks(&cluster, &nodes).unwrap_err();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].kind, RefusalKind::Unfinished);
    assert_eq!(reasons[0].machines, ["c-master-3"]);
    // Nothing was done on it yet.
    find(&mut nodes, "c-master-3").note = None;
    assert_eq!(lines(&cluster, &nodes), ["create", "leave worker-2"]);
}

#[test]
fn a_node_that_had_begun_to_leave_and_is_wanted_again_joins() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    for name in ["c-master-2", "c-worker-1"] {
        find(&mut nodes, name).note.as_mut().unwrap().finished = false;
    }
    assert_eq!(
        lines(&cluster, &nodes),
        ["master master-2", "members", "workers worker-1"]
    );
}

/// Adds masters that join: they are wanted, and have no note.
fn join(nodes: &mut Vec<ObservedNode>, ids: &[&str]) {
    for id in ids {
        let mut new = nodes[1].clone();
        assert_eq!(new.node.role, Role::Master);
        new.node.name = format!("c-master-{id}").parse().unwrap();
        (new.note, new.node.ip) = (None, None);
        nodes.push(new);
    }
}

#[test]
fn api_servers_get_the_members_that_stay_before_the_first_of_the_others_leaves() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    join(&mut nodes, &["4", "5", "6"]);
    for id in 1..=3 {
        find(&mut nodes, &format!("c-master-{id}")).wanted = false;
    }
    assert_eq!(
        lines(&cluster, &nodes),
        [
            "master master-4",
            "master master-5",
            "master master-6",
            "members",
            "leave master-1",
            "leave master-2",
            "leave master-3",
        ]
    );
    // One master is replaced by one.
    nodes.retain(|node| {
        !["c-master-2", "c-master-3", "c-master-5", "c-master-6"].contains(&node.node.name.as_str())
    });
    let first = find(&mut nodes, "c-master-1").note.as_mut().unwrap();
    first.members = [first_master()].into();
    let exchange = ["master master-4", "members", "leave master-1"];
    assert_eq!(lines(&cluster, &nodes), exchange);
    // Killed while the new one joined, and when it had joined: the list of members is always given before the old one leaves.
    let note = find(&mut nodes, "c-master-1").note.clone().unwrap();
    let new = find(&mut nodes, "c-master-4");
    new.note = Some(Note {
        finished: false,
        members: [first_master(), new.node.name.clone()].into(),
        ..note
    });
    assert_eq!(lines(&cluster, &nodes), exchange);
    find(&mut nodes, "c-master-4")
        .note
        .as_mut()
        .unwrap()
        .finished = true;
    assert_eq!(lines(&cluster, &nodes), exchange[1..]);
}

fn first_master() -> Label {
    "c-master-1".parse().unwrap()
}

#[test]
fn an_address_that_is_the_beginning_of_a_members_is_refused_where_it_would_be_mistaken() {
    for (kubernetes, kubespray, joins) in
        [("v1.23.7", "v2.19.0", false), ("v1.26.5", "v2.23.0", true)]
    {
        let cluster = cluster(kubernetes, kubespray);
        let mut nodes = finished(&cluster);
        join(&mut nodes, &["4", "5"]);
        find(&mut nodes, "c-master-3").node.ip = Some("192.168.113.101".parse().unwrap());
        find(&mut nodes, "c-master-4").node.ip = Some("192.168.113.10".parse().unwrap());
        let result = tasks(&cluster, &nodes);
        assert_eq!(result.is_ok(), joins, "{kubespray}");
        if let Err(reasons) = result {
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert_eq!(reasons[0].kind, RefusalKind::Joining);
            assert_eq!(reasons[0].machines, ["c-master-4"]);
            assert!(reasons[0].why.contains("192.168.113.101"), "{reasons:?}");
        }
    }
}

#[test]
fn a_second_lost_master_is_refused() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    for name in ["c-master-1", "c-master-3"] {
        let lost = find(&mut nodes, name);
        (lost.note, lost.answers) = (None, false);
    }
    let reasons = tasks(&cluster, &nodes).unwrap_err();
    assert_eq!(reasons[0].kind, RefusalKind::Quorum);
    assert_eq!(reasons[0].what, "c");
    assert_eq!(reasons[0].machines, ["c-master-1", "c-master-3"]);
    let sentence = reasons[0].to_string();
    assert!(sentence.starts_with("c: of 3 etcd members"), "{sentence}");
}

#[test]
fn api_servers_that_lack_the_list_of_members_get_it() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    let note = find(&mut nodes, "c-master-2").note.as_mut().unwrap();
    note.members.remove(&"c-master-3".parse().unwrap());
    assert_eq!(lines(&cluster, &nodes), ["members"]);
}

#[test]
fn labels_and_taints_are_changed_and_a_cordon_that_was_left_is_removed() {
    let cluster = old();
    let mut nodes = finished(&cluster);
    let worker = find(&mut nodes, "c-worker-1");
    worker.node.labels.insert("rack".into(), "a".into());
    find(&mut nodes, "c-worker-2").note.as_mut().unwrap().busy = true;
    assert_eq!(
        lines(&cluster, &nodes),
        ["return worker-2", "labels worker-1"]
    );
    // A node that a person has cordoned: only its connections were drained by Kubitect.
    let mut nodes = finished(&cluster);
    find(&mut nodes, "c-master-2")
        .note
        .as_mut()
        .unwrap()
        .drained = true;
    assert_eq!(lines(&cluster, &nodes), ["return master-2"]);
}

#[test]
fn addons_change_alone_and_settings_not_at_all() {
    let mut cluster = old();
    let nodes = finished(&cluster);
    cluster
        .addons
        .kubespray
        .insert("helm_enabled".into(), true.into());
    assert_eq!(lines(&cluster, &nodes), ["addons"]);
    cluster.kubernetes.network_plugin = "flannel".into();
    let reasons = tasks(&cluster, &nodes).unwrap_err();
    assert_eq!(reasons[0].kind, RefusalKind::Settings);
    assert!(reasons[0].why.contains("network plugin"), "{reasons:?}");
}
