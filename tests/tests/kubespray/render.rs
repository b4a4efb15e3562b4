//! The generated files, as text that a person reviews and as Ansible itself reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubitect_config::cluster::Rook;
use kubitect_config::{Cluster, Site, parse};
use kubitect_kubespray::{Error, api_server, files};
use serde_json::Value;
use tests::example::{three_balancers, without_workers};

use crate::fixture::{self, EXAMPLE, Stage, cluster, example, facts};

const NEWEST: [&str; 2] = ["v2.31.0", "v1.35.1"];

fn rendered(cluster: &Cluster) -> BTreeMap<PathBuf, String> {
    files(
        cluster,
        &facts(cluster, Path::new("/home/me/.kubitect/clusters/c/config")),
    )
    .unwrap()
}

fn snapshot(cluster: &Cluster) -> String {
    let files = rendered(cluster);
    files
        .iter()
        .map(|(name, text)| format!("# {}\n{text}\n", name.display()))
        .collect()
}

/// One master alone.
fn single() -> String {
    let text = fixture::without(
        &without_workers(EXAMPLE),
        "    loadBalancer:\n",
        "    master:",
    );
    fixture::without(&text, "        - id: 2\n", "\nkubernetes:")
}

fn with_addons(addons: &str) -> String {
    format!("{EXAMPLE}addons:\n  kubespray:\n{addons}")
}

#[test]
fn the_example() {
    insta::assert_snapshot!(snapshot(&cluster(EXAMPLE)));
}

#[test]
fn the_example_with_the_newest_release() {
    let cluster = cluster(&example(NEWEST));
    let variables = &rendered(&cluster)[Path::new("group_vars/all/cluster.yaml")];
    assert!(
        variables.starts_with("kube_version: \"1.35.1\"\n"),
        "{variables}"
    );
    let inventory = Path::new("nodes.yaml");
    assert_eq!(
        rendered(&cluster)[inventory],
        rendered(&self::cluster(EXAMPLE))[inventory]
    );
}

/// What multus' tasks ask of nodes that a run leaves out, in the releases that do.
#[test]
fn runs_that_leave_nodes_out_do_not_stop_at_multus() {
    for (release, is) in [
        (["v2.20.0", "v1.24.6"], false),
        (["v2.21.0", "v1.25.6"], true),
        (["v2.23.3", "v1.27.10"], true),
        (["v2.25.1", "v1.29.10"], true),
        (["v2.26.0", "v1.30.4"], false),
    ] {
        let variables =
            &rendered(&cluster(&example(release)))[Path::new("group_vars/all/cluster.yaml")];
        let empty = "multus_manifest_2:\n  results: []\n";
        assert_eq!(variables.contains(empty), is, "{release:?}: {variables}");
    }
}

/// As Kubespray's own tests of Debian 11 have it from v2.29 on.
#[test]
fn containerd_starts_where_libc_is_old() {
    let variables = |release, distro: &str| {
        let mut cluster = cluster(&example(release));
        distro.clone_into(&mut cluster.guest.image.distro);
        let files = rendered(&cluster);
        files[Path::new("group_vars/all/cluster.yaml")].clone()
    };
    let [old, new] = [["v2.28.1", "v1.32.8"], ["v2.29.1", "v1.32.8"]];
    for (release, distro, is) in [
        (new, "debian11", true),
        (new, "ubuntu20", true),
        (new, "debian12", false),
        (old, "debian11", false),
    ] {
        let text = variables(release, distro);
        let has = text.contains("containerd_static_binary: true\n");
        assert_eq!(has, is, "{release:?}, {distro}: {text}");
    }
}

#[test]
fn three_balancers_are_reached_at_their_vip() {
    let cluster = cluster(&three_balancers());
    insta::assert_snapshot!(rendered(&cluster)[Path::new("group_vars/all/cluster.yaml")]);
    let facts = facts(&cluster, Path::new("/c"));
    assert_eq!(
        api_server(&cluster, &facts).unwrap(),
        "https://192.168.113.100:6443"
    );
}

#[test]
fn one_master_alone() {
    let cluster = cluster(&single());
    insta::assert_snapshot!(snapshot(&cluster));
    let facts = facts(&cluster, Path::new("/c"));
    assert_eq!(
        api_server(&cluster, &facts).unwrap(),
        "https://192.168.113.10:6443"
    );
}

#[test]
fn labels_taints_and_addons() {
    let text = with_addons("    metrics_server_enabled: true\n    some_mode: \"0644\"\n    supplementary_addresses_in_ssl_keys: [api.example.org]\n")
        .replace("          ip: 192.168.113.20\n", "          ip: 192.168.113.20\n          labels: {rook: true, day: \"2020-01-01\"}\n          taints: [\"dedicated=db:NoSchedule\"]\n");
    let cluster = cluster(&text);
    let files = rendered(&cluster);
    insta::assert_snapshot!(files[Path::new("group_vars/k8s_cluster/addons.yaml")]);
    let variables = &files[Path::new("group_vars/all/cluster.yaml")];
    assert!(
        variables.contains("- \"192.168.113.100\"\n- api.example.org\n"),
        "{variables}"
    );
    let nodes: serde_yaml::Value = serde_yaml::from_str(&files[Path::new("nodes.yaml")]).unwrap();
    let worker = &nodes["all"]["hosts"]["local-k8s-cluster-worker-1"];
    assert_eq!(worker["node_labels"]["rook"], "true");
    assert_eq!(worker["node_labels"]["day"], "2020-01-01");
    assert_eq!(worker["node_taints"][0], "dedicated=db:NoSchedule");
}

#[test]
fn addons_cannot_undo_what_kubitect_manages() {
    for (addon, instead) in [
        ("kube_version: v1.22.0", "kubernetes.version"),
        (
            "loadbalancer_apiserver: {address: 1.2.3.4}",
            "cluster.nodes.loadBalancer",
        ),
        (
            "ansible_ssh_common_args: -o StrictHostKeyChecking=no",
            "reaches the machines",
        ),
        ("node: local-k8s-cluster-worker-1", "removed"),
        ("bin_dir: /opt/bin", "/usr/local/bin"),
    ] {
        let text = with_addons(&format!("    {addon}\n"));
        let error = parse(&text, "cluster.yaml", &Site::default()).unwrap_err();
        assert!(
            error.problems()[0].help.contains(instead),
            "{:?}",
            error.problems()
        );
        // Nor where somebody else makes a cluster.
        let mut cluster = cluster(EXAMPLE);
        cluster.addons.kubespray = serde_yaml::from_str(addon).unwrap();
        let error = files(&cluster, &facts(&cluster, Path::new("/c"))).unwrap_err();
        assert!(matches!(error, Error::ManagedVariable { .. }), "{error}");
        if !addon.starts_with("bin_dir") {
            assert!(error.to_string().contains(instead), "{error}");
        }
    }
}

/// What Kubespray demands of variables that nobody thinks of.
#[test]
fn conditions_of_addons_and_of_later_releases_are_met() {
    let variables = |cluster: &Cluster| {
        rendered(cluster)
            .remove(Path::new("group_vars/all/cluster.yaml"))
            .unwrap()
    };
    let old = variables(&cluster(EXAMPLE));
    assert!(old.contains("\nkube_proxy_strict_arp: true\n"), "{old}");
    // Later releases refuse the pools that v2.19 makes by itself.
    assert!(old.contains("\ncalico_pool_blocksize: 26\n"), "{old}");
    let new = variables(&cluster(&example(NEWEST)));
    assert!(new.contains("\nkube_proxy_strict_arp: true\n"), "{new}");
    assert!(!new.contains("calico_pool_blocksize"), "{new}");
    // What the file says counts.
    let own = with_addons("    kube_proxy_strict_arp: false\n    calico_pool_blocksize: 24\n");
    let own = variables(&cluster(&own));
    assert!(
        !own.contains("strict_arp") && own.contains("\ncalico_pool_blocksize: 24\n"),
        "{own}"
    );
    let other = variables(&cluster(&EXAMPLE.replace("calico", "flannel")));
    assert!(!other.contains("blocksize"), "{other}");
    // A living cluster has the size that it was made with.
    let living = kubitect_kubespray::files_for(
        &kubitect_kubespray::goal::Goal::Addons,
        &cluster(EXAMPLE),
        &facts(&cluster(EXAMPLE), Path::new("/c")),
    )
    .unwrap();
    let living = &living[Path::new("group_vars/all/cluster.yaml")];
    assert!(!living.contains("blocksize"), "{living}");
}

#[test]
fn rook_is_refused_and_not_forgotten() {
    let mut cluster = cluster(EXAMPLE);
    cluster.addons.rook = Some(Rook {
        version: None,
        node_selector: BTreeMap::new(),
    });
    let error = files(&cluster, &facts(&cluster, Path::new("/c"))).unwrap_err();
    assert!(error.to_string().contains("addons.rook"), "{error}");
}

#[test]
fn a_machine_that_is_not_known_is_named() {
    let cluster = cluster(EXAMPLE);
    let mut facts = facts(&cluster, Path::new("/c"));
    facts
        .nodes
        .retain(|node| node.name.as_str() != "local-k8s-cluster-worker-2");
    let error = files(&cluster, &facts).unwrap_err();
    assert!(
        error.to_string().contains("local-k8s-cluster-worker-2"),
        "{error}"
    );
}

/// What Ansible makes of the files, by `ansible-inventory`.
fn read_by_ansible(stage: &Stage, files: &BTreeMap<PathBuf, String>, how: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let output = Command::new(stage.tools.environment.join("bin/ansible-inventory"))
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")
        .arg("--inventory")
        .arg(folder.path().join("nodes.yaml"))
        .args(how)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn ansible_reads_what_was_meant() {
    let stage = Stage::new("[]\n").await;
    let graph = read_by_ansible(&stage, &rendered(&cluster(EXAMPLE)), &["--graph"]);
    insta::assert_snapshot!(graph);

    let text = three_balancers().replace(
        "          ip: 192.168.113.20\n",
        "          ip: 192.168.113.20\n          labels: {a: \"yes\", b: \"0644\", c: \"1_000\", d: \"2020-01-01\", e: \"\", f: \"0b1\", g: \"1e3\"}\n",
    );
    for text in [text.clone(), without_workers(&text), single()] {
        let cluster = cluster(&text);
        let list = read_by_ansible(&stage, &rendered(&cluster), &["--list"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let hosts = &list["_meta"]["hostvars"];
        assert_eq!(hosts.as_object().unwrap().len(), cluster.nodes.len());
        for node in &cluster.nodes {
            let host = &hosts[node.name.as_str()];
            assert_eq!(host["ansible_host"], node.ip.unwrap().to_string());
            assert_eq!(host["ansible_become"], true);
            assert_eq!(host["kube_version"], "v1.23.7");
            for (label, value) in &node.labels {
                assert_eq!(host["node_labels"][label], value.as_str());
            }
        }
        let workers = list["kube_node"]["hosts"].as_array().unwrap();
        assert!(
            !workers.is_empty(),
            "older releases refuse an empty kube_node"
        );
    }
}

#[tokio::test]
async fn balancers_are_the_last_hosts_of_all() {
    let stage = Stage::new("[]\n").await;
    let folder = tempfile::tempdir().unwrap();
    let inventory = folder.path().join("nodes.yaml");
    std::fs::write(
        &inventory,
        &rendered(&cluster(&three_balancers()))[Path::new("nodes.yaml")],
    )
    .unwrap();
    let output = Command::new(stage.tools.environment.join("bin/ansible"))
        .env("LC_ALL", "C.UTF-8")
        .arg("--inventory")
        .arg(&inventory)
        .args(["all", "--list-hosts"])
        .output()
        .unwrap();
    let hosts = String::from_utf8(output.stdout).unwrap();
    let hosts: Vec<_> = hosts.lines().skip(1).map(str::trim).collect();
    assert_eq!(hosts.len(), 9);
    assert_eq!(hosts[0], "local-k8s-cluster-master-1");
    assert!(
        hosts[6..].iter().all(|host| host.contains("-lb-")),
        "{hosts:?}"
    );
}
