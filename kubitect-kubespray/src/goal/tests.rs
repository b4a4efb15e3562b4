//! The playbooks and arguments of each goal, and the order of masters.

use super::*;
use kubitect_config::release;

/// A cluster with this number of masters, in the file in descending order.
fn cluster(masters: usize) -> Cluster {
    // A file needs an odd number of masters; for an even number, the last one is removed afterwards.
    let instances: String = (1..=masters | 1)
        .rev()
        .map(|id| format!("        - {{id: {id}}}\n"))
        .collect();
    let text = format!(
        "hosts:\n  - name: h\n    connection: {{type: local}}\n\
         cluster:\n  name: c\n  network: {{mode: nat, cidr: 192.168.113.0/24}}\n  \
         nodeTemplate: {{user: k8s, os: {{distro: ubuntu}}}}\n  \
         nodes:\n    loadBalancer: {{instances: [{{id: 1, ip: 192.168.113.9}}]}}\n    \
         master:\n      instances:\n{instances}    \
         worker: {{instances: [{{id: 1}}]}}\n\
         kubernetes: {{version: v1.23.7, networkPlugin: calico, kubespray: {{version: v2.19.0}}}}\n"
    );
    let parsed = kubitect_config::parse(&text, "c.yaml", &kubitect_config::Site::default());
    let mut cluster = match parsed {
        Ok(parsed) => parsed.cluster,
        Err(error) => panic!("{error}: {:?}", error.problems()),
    };
    let surplus = format!("c-master-{}", masters + 1);
    cluster.nodes.retain(|node| node.name.as_str() != surplus);
    assert_eq!(cluster.role(Role::Master).count(), masters);
    cluster
}

fn lines(goal: Goal, masters: usize, tag: &str) -> Vec<String> {
    let release = release::find(&tag.parse().unwrap()).unwrap();
    runs(&goal, &cluster(masters), release)
        .iter()
        .map(|run| run.arguments().join(" "))
        .collect()
}

fn names(names: &[&str]) -> Vec<Label> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn upgrade(keeps_pods: bool) -> Goal {
    let node = names(&["c-worker-1"]).remove(0);
    Goal::Upgrade { node, keeps_pods }
}

fn remove(nodes: &[&str], reachable: bool) -> Goal {
    Goal::Remove {
        nodes: names(nodes),
        reachable,
    }
}

#[test]
fn creating_runs_the_whole_playbook() {
    assert_eq!(lines(Goal::Create, 3, "v2.19.0"), ["cluster.yml"]);
}

#[test]
fn workers_are_added_with_facts_of_all_and_plays_on_them() {
    let goal = || Goal::AddWorkers(names(&["c-worker-4", "c-worker-5"]));
    assert_eq!(
        lines(goal(), 3, "v2.21.0"),
        ["facts.yml", "--limit=c-worker-4,c-worker-5 scale.yml"]
    );
    assert_eq!(
        lines(goal(), 3, "v2.31.0"),
        [
            "playbooks/facts.yml",
            "--limit=c-worker-4,c-worker-5 scale.yml"
        ]
    );
}

#[test]
fn masters_join_one_by_one_and_an_even_number_in_between_is_no_error() {
    let goal = || Goal::AddMaster(names(&["c-master-4"]).remove(0));
    let limit = "--limit=etcd,kube_control_plane";
    let facts = "playbooks/facts.yml";
    let even = r#"--extra-vars={"ignore_assert_errors":true}"#;
    assert_eq!(
        lines(goal(), 4, "v2.31.0"),
        [
            format!("{even} {facts}"),
            format!("{limit} {even} cluster.yml")
        ]
    );
    assert_eq!(
        lines(goal(), 5, "v2.31.0")[1],
        format!("{limit} cluster.yml")
    );
}

/// The cluster of [`cluster`] with another network plugin, and with variables in `addons.kubespray`.
fn with_plugin(plugin: &str, variables: &[(&str, &str)]) -> Cluster {
    let mut cluster = cluster(3);
    cluster.kubernetes.network_plugin = plugin.to_owned();
    for (name, value) in variables {
        let entry = ((*name).into(), (*value).into());
        cluster.addons.kubespray.insert(entry.0, entry.1);
    }
    cluster
}

fn limits(goal: &Goal, cluster: &Cluster, tag: &str) -> Vec<String> {
    let release = release::find(&tag.parse().unwrap()).unwrap();
    let runs = runs(goal, cluster, release);
    runs.iter().map(|run| run.arguments().join(" ")).collect()
}

#[test]
fn a_network_plugin_on_etcd_learns_of_its_members_and_no_other_run_is_needed() {
    let run =
        r#"--limit=etcd,kube_control_plane --extra-vars={"drain_nodes":false} upgrade-cluster.yml"#;
    for (plugin, variables, tag, is_run) in [
        ("calico", &[][..], "v2.31.0", false),
        (
            "calico",
            &[("calico_datastore", "etcd")][..],
            "v2.31.0",
            true,
        ),
        ("flannel", &[][..], "v2.19.0", false),
        ("canal", &[][..], "v2.19.0", true),
        ("cilium", &[][..], "v2.27.1", true),
        ("cilium", &[][..], "v2.28.1", false),
        (
            "calico",
            &[("cilium_deploy_additionally", "true")][..],
            "v2.27.1",
            true,
        ),
        (
            "cilium",
            &[("cilium_identity_allocation_mode", "crd")][..],
            "v2.27.1",
            false,
        ),
        (
            "cilium",
            &[("cilium_identity_allocation_mode", "kvstore")][..],
            "v2.28.1",
            true,
        ),
    ] {
        let runs = limits(
            &Goal::NetworkEtcdMembers,
            &with_plugin(plugin, variables),
            tag,
        );
        assert_eq!(
            runs.last().is_some_and(|last| last == run),
            is_run,
            "{plugin} {tag}: {runs:?}"
        );
        assert_eq!(runs.is_empty(), !is_run);
    }
}

#[test]
fn masters_learn_of_new_workers_certificates_of_etcd() {
    let goal = Goal::AddWorkers(names(&["c-worker-4"]));
    for (plugin, variables, tag, limit) in [
        ("flannel", &[][..], "v2.31.0", "c-worker-4,etcd"),
        ("flannel", &[][..], "v2.24.0", "c-worker-4,etcd"),
        ("flannel", &[][..], "v2.23.3", "c-worker-4,etcd"),
        ("calico", &[][..], "v2.19.1", "c-worker-4,etcd"),
        ("calico", &[][..], "v2.20.0", "c-worker-4"),
        ("cilium", &[][..], "v2.28.1", "c-worker-4,etcd"),
        (
            "calico",
            &[("calico_datastore", "etcd")][..],
            "v2.24.1",
            "c-worker-4,etcd",
        ),
        (
            "calico",
            &[("cilium_deploy_additionally", "true")][..],
            "v2.24.1",
            "c-worker-4,etcd",
        ),
        ("calico", &[][..], "v2.24.1", "c-worker-4"),
        ("kube-router", &[][..], "v2.31.0", "c-worker-4"),
    ] {
        let runs = limits(&goal, &with_plugin(plugin, variables), tag);
        assert_eq!(
            runs[1],
            format!("--limit={limit} scale.yml"),
            "{plugin} {tag}"
        );
    }
}

#[test]
fn removing_always_names_the_nodes() {
    let goal = |reachable| remove(&["c-worker-1", "c-worker-2"], reachable);
    assert_eq!(
        lines(goal(true), 3, "v2.19.0"),
        [
            r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true,"reset_nodes":false} remove-node.yml"#
        ]
    );
    assert_eq!(
        lines(goal(false), 3, "v2.31.0"),
        [
            r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true,"reset_nodes":false,"allow_ungraceful_removal":true,"drain_timeout":"60s"} remove-node.yml"#
        ]
    );
    assert_eq!(
        lines(remove(&["c-master-1"], true), 3, "v2.31.0"),
        [
            r#"--extra-vars={"node":"c-master-1","skip_confirmation":true,"ignore_assert_errors":true} remove-node.yml"#
        ]
    );
}

#[test]
fn upgrades_are_limited_to_one_node_and_addons_to_their_tags() {
    assert_eq!(
        lines(upgrade(false), 3, "v2.24.3"),
        [
            "playbooks/facts.yml",
            "--limit=c-worker-1 upgrade-cluster.yml"
        ]
    );
    assert_eq!(
        lines(upgrade(true), 3, "v2.24.3")[1],
        r#"--limit=c-worker-1 --extra-vars={"drain_nodes":false} upgrade-cluster.yml"#
    );
    assert_eq!(
        lines(Goal::Addons, 3, "v2.19.0"),
        [
            "facts.yml",
            "--limit=kube_control_plane --tags=download,apps,ingress-controller,external-provisioner cluster.yml"
        ]
    );
    let tags = |tag: &str| {
        let line = lines(Goal::Addons, 3, tag).remove(1);
        let (_, tags) = line.split_once("external-provisioner").unwrap();
        tags.to_owned()
    };
    assert_eq!(tags("v2.27.1"), " cluster.yml");
    assert_eq!(tags("v2.28.1"), ",gateway_api cluster.yml");
    assert_eq!(
        tags("v2.31.0"),
        ",gateway_api,prometheus_operator_crds cluster.yml"
    );
}

#[test]
fn what_a_creation_goes_on_with_and_what_an_upgrade_ends_with_is_limited_to_tags() {
    assert_eq!(
        lines(Goal::Network(names(&["c-master-1"])), 1, "v2.31.0"),
        [
            "playbooks/facts.yml",
            "--limit=kube_control_plane --tags=client,download,network cluster.yml"
        ]
    );
    // One joins: it is listed last, and the number of members is even.
    assert_eq!(
        lines(
            Goal::JoiningNetwork(names(&["c-master-2"]).remove(0)),
            2,
            "v2.31.0"
        ),
        [
            r#"--extra-vars={"ignore_assert_errors":true} playbooks/facts.yml"#,
            r#"--limit=kube_control_plane --tags=download,network --extra-vars={"ignore_assert_errors":true} cluster.yml"#,
        ]
    );
    // The others have not joined, and the playbook would wait for them.
    assert_eq!(
        lines(Goal::Network(names(&["c-master-1"])), 3, "v2.31.0")[1],
        "--limit=c-master-1 --tags=client,download,network cluster.yml"
    );
    assert_eq!(
        lines(Goal::Dns, 3, "v2.19.0"),
        [
            "facts.yml",
            "--limit=c-master-1 --tags=coredns,nodelocaldns cluster.yml"
        ]
    );
    let release = |tag: &str| release::find(&tag.parse().unwrap()).unwrap();
    let replaces = ["v2.19.0", "v2.27.0", "v2.28.1", "v2.29.0"];
    let replaces = replaces.map(|tag| replaces_dns(release(tag)));
    assert_eq!(replaces, [true, true, true, false]);
    let waits = ["v2.19.0", "v2.29.1", "v2.30.0", "v2.31.0"];
    let waits = waits.map(|tag| waits_for_ready_masters(release(tag)));
    assert_eq!(waits, [false, false, true, true]);
}

#[test]
fn releases_that_stop_at_names_get_a_list_that_no_certificate_lacks() {
    let master = || names(&["c-master-1"]).remove(0);
    let upgrade = || Goal::Upgrade {
        node: master(),
        keeps_pods: false,
    };
    for (tag, is_given) in [
        ("v2.21.0", false),
        ("v2.22.0", true),
        ("v2.26.1", true),
        ("v2.27.0", false),
    ] {
        for goal in [Goal::Create, Goal::AddMaster(master()), upgrade()] {
            let last = lines(goal, 3, tag).pop().unwrap();
            let given = last.contains(r#""apiserver_sans":"{{ (['kubernetes', "#);
            assert_eq!(given, is_given, "{tag}: {last}");
        }
        for goal in [
            Goal::Dns,
            Goal::Addons,
            Goal::AddWorkers(names(&["c-worker-1"])),
        ] {
            let last = lines(goal, 3, tag).pop().unwrap();
            assert!(!last.contains("apiserver_sans"), "{tag}: {last}");
        }
    }
    // No client connects to a master by another's name.
    assert!(
        !CERTIFICATE_NAMES.contains("groups") && CERTIFICATE_NAMES.contains("inventory_hostname")
    );
}

#[test]
fn a_master_whose_network_comes_from_its_host_is_helped_to_it_where_the_release_waits() {
    for (plugin, tag, is_helped) in [
        ("kube-router", "v2.31.0", true),
        ("macvlan", "v2.30.0", true),
        ("kube-router", "v2.29.1", false),
        ("calico", "v2.31.0", false),
        ("cilium", "v2.31.0", false),
    ] {
        let release = release::find(&tag.parse().unwrap()).unwrap();
        let is_it = needs_joining_network(&with_plugin(plugin, &[]), release);
        assert_eq!(is_it, is_helped, "{plugin} {tag}");
    }
}

#[test]
fn no_goal_without_nodes_touches_all_of_them() {
    assert!(lines(remove(&[], true), 3, "v2.19.0").is_empty());
    assert!(lines(Goal::AddWorkers(Vec::new()), 3, "v2.19.0").is_empty());
}

#[test]
fn masters_stand_by_name_a_new_one_and_leaving_ones_last() {
    let cluster = cluster(4);
    let order = |nodes: Vec<&Node>| {
        let ids: Vec<_> = nodes.iter().map(|node| node.id.as_str()).collect();
        ids.join(" ")
    };
    let new = Goal::AddMaster(names(&["c-master-1"]).remove(0));
    let leaving = remove(&["c-master-1"], true);
    assert_eq!(order(masters(&Goal::Create, &cluster)), "1 2 3 4");
    assert_eq!(order(masters(&new, &cluster)), "2 3 4 1");
    assert_eq!(order(masters(&leaving, &cluster)), "2 3 4 1");
    let network = Goal::JoiningNetwork(names(&["c-master-1"]).remove(0));
    assert_eq!(order(masters(&network, &cluster)), "2 3 4 1");
    assert_eq!(order(etcd_members(&network, &cluster)), "4 3 2 1");
}

#[test]
fn etcds_members_stand_as_they_have_joined_whatever_is_wanted() {
    let mut cluster = cluster(4);
    let ids = |nodes: Vec<&Node>| {
        let ids: Vec<_> = nodes.iter().map(|node| node.id.as_str()).collect();
        ids.join(" ")
    };
    // Master 1 was recreated, and joined again after master 3.
    let rank = ["c-master-2", "c-master-3", "c-master-1", "c-master-4"];
    cluster
        .nodes
        .sort_by_key(|node| rank.iter().position(|name| *name == node.name.as_str()));
    let name = |id: u32| names(&[&format!("c-master-{id}")]).remove(0);
    for goal in [
        Goal::AddMaster(name(4)),
        Goal::NetworkEtcdMembers,
        Goal::Addons,
        Goal::Upgrade {
            node: name(1),
            keeps_pods: false,
        },
        Goal::AddWorkers(names(&["c-worker-1"])),
    ] {
        assert_eq!(ids(etcd_members(&goal, &cluster)), "2 3 1 4", "{goal:?}");
    }
    // By name in a new cluster, and without those that have left.
    assert_eq!(ids(etcd_members(&Goal::Create, &cluster)), "1 2 3 4");
    assert_eq!(
        ids(etcd_members(&Goal::AddMaster(name(2)), &cluster)),
        "3 1 4 2"
    );
    let leaving = remove(&["c-master-3"], true);
    assert_eq!(ids(etcd_members(&leaving, &cluster)), "2 1 4");
}
