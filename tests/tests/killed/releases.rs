//! Releases of Kubespray that behave differently, and how clusters stay whole with each.

use std::fs;
use std::path::Path;

use crate::living::check;
use crate::members::{apply_fully, shape};
use crate::networks::{networks_as_they_were_made, networks_from_hosts, networks_of_all_at_once};
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};
use crate::state::CRIO;

pub fn all() {
    let scratch = scratch();
    let path = scratch.path();
    nodes_that_a_run_leaves_out(path);
    names_in_certificates(path);
    cluster_dns(path);
    arguments_of_api_servers(path);
    systems_without_cgroup_v2(path);
    networks_from_hosts(path);
    networks_of_all_at_once(path);
    networks_as_they_were_made(path);
    containers_as_they_were_run(path);
    name_servers_of_network_manager(path);
    certificates_of_workers(path);
    kubelets_that_were_not_restarted(path);
    variables_on_the_way(path);
    left_out(path);
}

/// Releases that fail where a run leaves nodes out, with multus or without it: nodes join, also masters, and are upgraded.
fn nodes_that_a_run_leaves_out(path: &Path) {
    for [before, after] in [
        [["v1.24.6", "v2.20.0"], ["v1.25.6", "v2.21.0"]],
        [["v1.28.10", "v2.24.2"], ["v1.29.10", "v2.25.1"]],
    ] {
        let stage = Stage::new(path);
        apply_fully(&stage, &shape(&[1], before));
        apply_fully(&stage, &shape(&[1], after));
        let mut wanted = shape(&[1, 2, 3], after);
        wanted.workers.push(Worker::new(4));
        apply_fully(&stage, &wanted);
        stage.end();
    }
}

/// Upgrades of three releases leave API servers with the arguments of before.
fn arguments_of_api_servers(path: &Path) {
    let with = |variables, release| Shape {
        variables,
        ..shape(&[1, 2, 3], release)
    };
    let new: &'static [&'static str] = &["kube_apiserver_request_timeout: 90s"];
    for [before, after] in [
        [["v1.29.10", "v2.25.1"], ["v1.30.6", "v2.26.1"]],
        [["v1.30.6", "v2.26.1"], ["v1.31.4", "v2.27.0"]],
        [["v1.30.6", "v2.26.1"], ["v1.31.9", "v2.27.1"]],
    ] {
        let stage = Stage::new(path);
        apply_fully(&stage, &with(&[], before));
        apply_fully(&stage, &with(new, after));
        stage.place().with(|state, _| {
            for id in 1..=3 {
                let guest = &state.guests[&format!("demo-master-{id}")];
                assert!(
                    guest.arguments.contains("kube_apiserver_request_timeout"),
                    "{id}, {after:?}: {}",
                    guest.arguments
                );
            }
        });
        stage.end();
    }
}

/// From v2.27 on CRI-O uses another runtime, which can't manage the containers that run.
fn containers_as_they_were_run(path: &Path) {
    let with = |masters: &[u32], release| Shape {
        manager: "crio",
        ..shape(masters, release)
    };
    let newer = ["v1.31.9", "v2.27.1"];
    for (before, runs) in [(["v1.30.6", "v2.26.1"], "runc"), (newer, "crun")] {
        let stage = Stage::new(path);
        apply_fully(&stage, &with(&[1], before));
        apply_fully(&stage, &with(&[1], newer));
        apply_fully(&stage, &with(&[1, 2, 3], newer));
        stage.place().with(|state, _| {
            for node in state.kube.nodes.keys() {
                let conf = &state.guests[node].files[CRIO];
                assert!(conf.contains(runs), "{node}: {conf}");
            }
        });
        stage.end();
    }
    // The release on the way has no CRI-O for the Kubernetes on the way: the message says what helps, and it helps.
    let stage = Stage::new(path);
    apply_fully(&stage, &with(&[1], ["v1.29.10", "v2.26.1"]));
    let wanted = with(&[1], ["v1.31.9", "v2.28.1"]);
    let run = stage.apply(&wanted, None);
    assert_eq!(run.code, Some(2), "{}", run.said);
    let why = "the upgrade goes over Kubernetes v1.30.13 with Kubespray v2.27.1, where the file would stop it: Kubespray v2.27.1 sets up \
               CRI-O for Kubernetes v1.31 and later only; a new cluster takes Kubernetes v1.31 or later; one that has an older one gets \
               v1.30 with Kubespray v2.26.1 first, and v1.31 from there\n";
    assert!(run.said.contains(why), "{}", run.said);
    apply_fully(&stage, &with(&[1], ["v1.30.6", "v2.26.1"]));
    apply_fully(&stage, &wanted);
    stage.end();
}

/// Where NetworkManager manages the name servers, all API servers restart at the end of `cluster.yml`: they are waited for.
fn name_servers_of_network_manager(path: &Path) {
    let stage = Stage::new(path);
    stage.place().with(|state, _| state.network_manager = true);
    apply_fully(&stage, &shape(&[1, 2, 3], ["v1.34.4", "v2.31.0"]));
    stage.end();
}

/// etcd's certificates are issued on its first member, also where that is another one than before, and with v2.19 one for each
/// worker.
fn certificates_of_workers(path: &Path) {
    for (plugin, release) in [
        ("calico", ["v1.23.7", "v2.19.0"]),
        ("flannel", ["v1.27.7", "v2.23.3"]),
        ("flannel", ["v1.34.4", "v2.31.0"]),
    ] {
        for (before, after) in [(&[1, 2, 3][..], &[2, 3, 4][..]), (&[1], &[2])] {
            let with = |masters: &[u32]| Shape {
                plugin,
                ..shape(masters, release)
            };
            let stage = Stage::new(path);
            apply_fully(&stage, &with(before));
            apply_fully(&stage, &with(after));
            let mut wanted = with(after);
            wanted.workers.push(Worker::new(4));
            apply_fully(&stage, &wanted);
            stage.end();
        }
    }
}

/// An upgrade stopped between the installation of a worker's kubelet and its restart: Kubespray finds nothing to do.
fn kubelets_that_were_not_restarted(path: &Path) {
    let stage = Stage::new(path);
    apply_fully(&stage, &shape(&[1], ["v1.32.5", "v2.28.1"]));
    let wanted = shape(&[1], ["v1.32.8", "v2.28.1"]);
    stage.break_in("upgrade-cluster.yml", "demo-worker-1", "installed");
    let run = stage.apply(&wanted, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    apply_fully(&stage, &wanted);
    stage.end();
}

/// A release on the way of an upgrade does not take the variables of the file: nothing is started.
fn variables_on_the_way(path: &Path) {
    let with = |release, variables| Shape {
        variables,
        ..shape(&[1], release)
    };
    let pools = "metallb_config: {address_pools: {own: {ip_range: [10.9.0.230-10.9.0.240], auto_assign: true}}, layer2: [own]}";
    let newer: &'static [&'static str] = Box::leak(Box::new(["metallb_enabled: true", pools]));
    let stage = Stage::new(path);
    let before = with(
        ["v1.23.7", "v2.19.0"],
        &[
            "metallb_enabled: true",
            "metallb_ip_range: [10.9.0.230-10.9.0.240]",
        ],
    );
    apply_fully(&stage, &before);
    stage.playbooks();
    let wanted = with(["v1.26.13", "v2.22.2"], newer);
    let run = stage.apply(&wanted, None);
    assert_eq!(run.code, Some(2), "{}", run.said);
    for part in [
        "goes over Kubernetes v1.24.6 with Kubespray v2.20.0",
        "metallb_ip_range",
    ] {
        assert!(run.said.contains(part), "{}", run.said);
    }
    assert_eq!(stage.playbooks(), []);
    check(&stage, &before).unwrap();
    stage.end();
}

/// A file without a release of Kubespray never upgrades an existing cluster, whichever release is Kubitect's newest.
fn left_out(path: &Path) {
    let stage = Stage::new(path);
    let mut wanted = shape(&[1, 2, 3], ["v1.33.5", "v2.29.1"]);
    apply_fully(&stage, &wanted);
    let open = |wanted: &Shape| {
        let file = stage.want(wanted);
        let text = fs::read_to_string(&file).unwrap();
        let named = "  kubespray: {version: v2.29.1}\n";
        assert!(text.contains(named), "{text}");
        fs::write(&file, text.replace(named, "")).unwrap();
        file
    };
    let keeps = "the cluster keeps v2.29.1; v2.31.0 is the newest that sets up Kubernetes v1.33.5: name it to upgrade";
    let unchanged = |file: &str| {
        let run = stage.run(&["plan", "--config", file], None);
        assert_eq!(run.code, Some(0), "{}", run.said);
        assert!(run.said.contains(keeps), "{}", run.said);
    };
    let apply = |file: &str| {
        stage.playbooks();
        let run = stage.run(&["apply", "--auto-approve", "--config", file], None);
        assert_eq!(run.code, Some(0), "{}", run.said);
        assert!(
            run.said.contains("the cluster keeps v2.29.1;"),
            "{}",
            run.said
        );
        stage.playbooks()
    };
    // Both where the applied file names the release, and where it left it out.
    let file = open(&wanted);
    for _ in 0..2 {
        unchanged(&file);
        assert_eq!(apply(&file), []);
    }
    let run = stage.run(&["versions", "demo"], None);
    assert!(
        run.said.contains("v1.33.5 with Kubespray v2.29.1"),
        "{}",
        run.said
    );
    // Where this machine has no file of the cluster, the machines' notes say it.
    let versions = stage
        .folder
        .join("home/clusters/demo/config/kubitect-versions.yaml");
    fs::remove_file(versions).unwrap();
    unchanged(&file);
    let run = stage.run(
        &[
            "apply",
            "-a",
            "upgrade",
            "--auto-approve",
            "--config",
            &file,
        ],
        None,
    );
    assert_eq!(run.code, Some(0), "{}", run.said);
    wanted.workers[0].label = Some("fast");
    let said = stage.run(&["plan", "--config", &open(&wanted)], None).said;
    assert!(
        !said.contains("upgrade v") && said.contains("fast"),
        "{said}"
    );
    // Another Kubernetes that the same release sets up, in one hop.
    wanted.release = ["v1.33.7", "v2.29.1"];
    apply(&open(&wanted));
    check(&stage, &wanted).unwrap();
    stage.end();
}

/// Kubespray v2.22 to v2.26 fail at names that a certificate lacks, where openssl reports that by its exit status: masters join
/// and are upgraded all the same, and names that were added later are left out, with a note.
fn names_in_certificates(path: &Path) {
    let releases = [["v1.28.6", "v2.24.1"], ["v1.29.10", "v2.25.1"]];
    for strict in [true, false] {
        let stage = Stage::new(path);
        stage.place().with(|state, _| state.strict_openssl = strict);
        apply_fully(&stage, &shape(&[1], releases[0]));
        let said = apply_fully(&stage, &shape(&[1, 2, 3], releases[0]));
        assert!(!said.contains("certificates"), "{said}");
        let mut wanted = shape(&[1, 2, 3], releases[1]);
        wanted.balancers = 2;
        let said = apply_fully(&stage, &wanted);
        let left_out =
            "the API servers' certificates do not get 10.9.0.102 yet: Kubespray v2.25.1 stops";
        assert_eq!(said.contains(left_out), strict, "{said}");
        stage.place().with(|state, _| {
            for id in 1..=3 {
                let names = &state.guests[&format!("demo-master-{id}")].names;
                assert_eq!(names.contains("10.9.0.102"), !strict, "{names:?}");
                assert!(names.contains("10.9.0.99"), "{names:?}");
            }
        });
        stage.end();
    }
}

/// Up to v2.28 the upgrade of each master installs kubeadm's DNS, and only that of the first one restores Kubespray's.
fn cluster_dns(path: &Path) {
    let releases = [
        ["v1.30.4", "v2.27.0"],
        ["v1.31.9", "v2.28.1"],
        ["v1.32.10", "v2.29.1"],
    ];
    let stage = Stage::new(path);
    for release in releases {
        apply_fully(&stage, &shape(&[1, 2, 3], release));
        let dns = stage.place().with(|state, _| state.kube.dns.clone());
        assert_eq!(dns, "Kubespray", "{}", release[1]);
    }
    stage.end();
}

/// Kubelets of v1.35 do not start on cgroups of version 1: all machines are asked before the first is touched.
fn systems_without_cgroup_v2(path: &Path) {
    let releases = [["v1.34.7", "v2.31.0"], ["v1.35.4", "v2.31.0"]];
    let stage = Stage::new(path);
    let cgroup_v1 = |is| stage.place().with(|state, _| state.cgroup_v1 = is);
    cgroup_v1(true);
    apply_fully(&stage, &shape(&[1, 2, 3], releases[0]));
    stage.playbooks();
    let mut wanted = shape(&[1, 2, 3], releases[1]);
    let run = stage.apply(&wanted, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let all = "demo-master-1, demo-master-2, demo-master-3, demo-worker-1, demo-worker-2";
    let why =
        format!("its kubelets do not start on {all}, whose systems have cgroups of version 1");
    for part in [&*why, "docs/repairing.md, \"Another distro\""] {
        assert!(run.said.contains(part), "{}", run.said);
    }
    assert!(!run.said.contains("nothing was changed"), "{}", run.said);
    assert_eq!(stage.playbooks(), []);
    check(&stage, &shape(&[1, 2, 3], releases[0])).unwrap();
    cgroup_v1(false);
    apply_fully(&stage, &wanted);
    // A worker that joins, later.
    cgroup_v1(true);
    stage.playbooks();
    wanted.workers.push(Worker::new(4));
    let run = stage.apply(&wanted, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    let why = "do not start on demo-worker-4, whose";
    assert!(run.said.contains(why), "{}", run.said);
    assert_eq!(stage.playbooks(), []);
    stage.end();
}
