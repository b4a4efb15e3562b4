//! Which tasks follow if the notes and the file differ in their releases.

use super::*;

/// The hop that follows the one of [`old`].
fn newer() -> Hop {
    Hop {
        kubernetes: "v1.24.6".parse().unwrap(),
        kubespray: "v2.20.0".parse().unwrap(),
    }
}

#[test]
fn a_newer_release_is_not_forgotten_with_the_master_that_had_it() {
    // The first master was upgraded, or was about to be, and its disk was lost before another one's turn had come.
    let mut nodes = finished(&old());
    for name in ["c-master-2", "c-master-3"] {
        find(&mut nodes, name).note.as_mut().unwrap().getting = Some(newer());
    }
    let first = find(&mut nodes, "c-master-1");
    (first.note, first.answers) = (None, false);
    let expected = [
        "lose master-1",
        "snapshot",
        "upgrade master-2 v1.24.6, pauses",
        "upgrade master-3 v1.24.6, pauses",
        "upgrade worker-1 v1.24.6",
        "upgrade worker-2 v1.24.6",
        "master master-1",
        "members",
    ];
    assert_eq!(lines(&cluster("v1.24.6", "v2.20.0"), &nodes), expected);
    let reasons = tasks(&old(), &nodes).unwrap_err();
    assert_eq!(reasons[0].kind, RefusalKind::Versions);
    assert_eq!(reasons[0].machines, ["c-master-2"]);
    let why = &reasons[0].why;
    assert!(why.contains("has begun to upgrade"), "{why}");
}

#[test]
fn a_master_that_leaves_is_upgraded_if_another_joins_before() {
    // The playbook with which the new master joins runs on it, too.
    let to = cluster("v1.24.6", "v2.20.0");
    let mut nodes = finished(&old());
    find(&mut nodes, "c-master-1")
        .note
        .as_mut()
        .unwrap()
        .release = newer();
    find(&mut nodes, "c-master-2").wanted = false;
    join(&mut nodes, &["4"]);
    let expected = [
        "snapshot",
        "upgrade master-2 v1.24.6",
        "upgrade master-3 v1.24.6",
        "upgrade worker-1 v1.24.6",
        "upgrade worker-2 v1.24.6",
        "master master-4",
        "members",
        "leave master-2",
    ];
    assert_eq!(lines(&to, &nodes), expected);
    // A master that does not answer leaves first.
    find(&mut nodes, "c-master-2").answers = false;
    assert_eq!(lines(&to, &nodes)[..2], ["lose master-2", "snapshot"]);
    // If none joins, the masters that leave are not upgraded.
    nodes.pop();
    find(&mut nodes, "c-master-2").answers = true;
    find(&mut nodes, "c-master-3").wanted = false;
    let upgrades = ["snapshot", expected[3], expected[4]];
    let leave = ["members", "leave master-2", "leave master-3"];
    assert_eq!(lines(&to, &nodes), [upgrades, leave].concat());
    // They are, if the network plugin lists etcd's members: the playbook that changes its list runs on them, too.
    let mut in_etcd = to.clone();
    let variables = &mut in_etcd.addons.kubespray;
    variables.insert("calico_datastore".into(), "etcd".into());
    let upgrades = [&expected[..5], &leave].concat();
    assert_eq!(lines(&in_etcd, &nodes), upgrades);
}

#[test]
fn no_master_joins_with_the_release_that_can_not_add_a_member() {
    let cluster = cluster("v1.31.4", "v2.28.0");
    let mut nodes = finished(&cluster);
    join(&mut nodes, &["4", "5"]);
    let reasons = tasks(&cluster, &nodes).unwrap_err();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let sentence = reasons[0].to_string();
    assert!(
        sentence.starts_with("c-master-4 can't join: Kubespray v2.28.0"),
        "{sentence}"
    );
    assert!(reasons[0].instead.contains("v2.28.1"), "{reasons:?}");
    // One that was recreated joins, too; one that leaves does not.
    let mut nodes = finished(&cluster);
    let first = find(&mut nodes, "c-master-1");
    (first.note, first.answers) = (None, false);
    assert_eq!(tasks(&cluster, &nodes).unwrap_err().len(), 1);
    for (kubespray, joins) in [("v2.28.0", false), ("v2.28.1", true)] {
        let cluster = self::cluster("v1.31.4", kubespray);
        let mut nodes = finished(&cluster);
        join(&mut nodes, &["4"]);
        find(&mut nodes, "c-master-1").wanted = false;
        assert_eq!(tasks(&cluster, &nodes).is_ok(), joins, "{kubespray}");
    }
    // A whole cluster is set up with it.
    let mut nodes = finished(&cluster);
    nodes.iter_mut().for_each(|node| node.note = None);
    assert_eq!(lines(&cluster, &nodes), ["create"]);
}

#[test]
fn an_upgrade_goes_hop_by_hop_masters_first_and_goes_on_where_it_stopped() {
    let from = old();
    let to = cluster("v1.24.6", "v2.20.0");
    let mut nodes = finished(&from);
    let all = [
        "snapshot",
        "upgrade master-1 v1.24.6",
        "upgrade master-2 v1.24.6",
        "upgrade master-3 v1.24.6",
        "upgrade worker-1 v1.24.6",
        "upgrade worker-2 v1.24.6",
    ];
    assert_eq!(lines(&to, &nodes), all);
    for name in ["c-master-1", "c-master-2"] {
        let note = find(&mut nodes, name).note.as_mut().unwrap();
        note.release = Hop {
            kubernetes: "v1.24.6".parse().unwrap(),
            kubespray: "v2.20.0".parse().unwrap(),
        };
    }
    find(&mut nodes, "c-master-3").note.as_mut().unwrap().busy = true;
    assert_eq!(lines(&to, &nodes), ["snapshot", all[3], all[4], all[5]]);
    let far = cluster("v1.25.6", "v2.21.0");
    let hops: BTreeSet<_> = lines(&far, &finished(&from))
        .iter()
        .filter_map(|line| Some(line.split(' ').nth(2)?.to_owned()))
        .collect();
    assert_eq!(hops.len(), 2, "{hops:?}");
}

#[test]
fn going_back_is_refused() {
    let to = cluster("v1.22.8", "v2.19.0");
    let reasons = tasks(&to, &finished(&old())).unwrap_err();
    assert_eq!(reasons[0].kind, RefusalKind::Versions);
    let (from, to) = (reasons[0].from.as_deref(), reasons[0].to.as_deref());
    assert!(from.unwrap().contains("v1.23.7") && to.unwrap().contains("v1.22.8"));
}
