//! cloud-init's own checker, and tools that read FAT, check the documents of machines.

use kubitect_config::Cluster;
use kubitect_config::cluster::{NetworkMode, Role};
use kubitect_provision::cloud_init::{Documents, documents, seed};
use kubitect_provision::ssh::{Keys, MachineKeys};
use tests::checkers::{cloud_init, run};

use super::example;

/// The example, and variants in which the documents differ.
fn clusters() -> Vec<Cluster> {
    let mut variants = vec![example(); 3];
    for node in &mut variants[1].nodes {
        node.ip = None;
    }
    variants[1].guest.dns = vec!["9.9.9.9".parse().unwrap()];
    variants[1].guest.image.distro = "rocky9".to_owned();
    variants[2].network.mode = NetworkMode::Bridge;
    variants[2].guest.user = "root".to_owned();
    variants[2].guest.update_on_boot = false;
    let mut second = variants[2].nodes[0].clone();
    second.id = "2".parse().unwrap();
    second.name = format!("{}-lb-2", variants[2].name).parse().unwrap();
    variants[2].nodes.insert(1, second);
    variants
}

/// The documents of the first machine of each role, with real keys; and one set with placeholders.
fn all_documents() -> Vec<Documents> {
    let home = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (i, cluster) in clusters().iter().enumerate() {
        let keys = Keys::ensure(&home.path().join(i.to_string()), cluster, None).unwrap();
        for role in [Role::LoadBalancer, Role::Master, Role::Worker] {
            let node = cluster
                .role(role)
                .next()
                .expect("the example has every role");
            let machine = keys.machine(&node.name).expect("every node has keys");
            all.push(documents(cluster, node, &machine));
        }
    }
    let cluster = example();
    all.push(documents(
        &cluster,
        &cluster.nodes[0],
        &MachineKeys::placeholder(),
    ));
    all
}

#[test]
fn user_data_is_valid_by_cloud_inits_schema() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("user-data");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        cloud_init(&path)
    };
    for documents in all_documents() {
        let output = check(&documents.user_data);
        assert!(
            output.status.success(),
            "{output:?}\n{}",
            documents.user_data
        );
    }
    let wrong = check("#cloud-config\n{\"users\": 7, \"packages\": {\"a\": 1}}\n");
    assert!(
        !wrong.status.success(),
        "the checker takes everything: {wrong:?}"
    );
}

/// A document as JSON, as Python's YAML 1.1 reads it, which cloud-init uses.
fn by_python(text: &str) -> serde_json::Value {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("document");
    std::fs::write(&path, text).unwrap();
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = run("python3", &["-c", script, path.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "python3 with yaml is needed (tests/lab/deps.sh): {output:?}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_document_means_the_same_to_cloud_init_as_to_us() {
    let mut cluster = example();
    // Texts that are no texts in YAML 1.1 unless they are quoted.
    cluster.guest.user = "on".to_owned();
    cluster.guest.interface = "1e3".to_owned();
    cluster.nodes[1].mac = "52:54:00:12:34:56".parse().unwrap();
    let documents = documents(&cluster, &cluster.nodes[1], &MachineKeys::placeholder());
    for text in [
        &documents.user_data,
        &documents.network_config,
        &documents.meta_data,
    ] {
        let ours: serde_json::Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(by_python(text), ours);
    }
    let network = by_python(&documents.network_config);
    assert_eq!(
        network["ethernets"]["1e3"]["match"]["macaddress"],
        "52:54:00:12:34:56"
    );
    assert_eq!(by_python(&documents.user_data)["users"][0]["name"], "on");
}

#[test]
fn the_seed_is_read_by_others() {
    let cluster = example();
    let documents = documents(&cluster, &cluster.nodes[0], &MachineKeys::placeholder());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("seed.img");
    std::fs::write(&path, seed::image(&documents).unwrap()).unwrap();
    let path = path.to_str().unwrap();
    for (name, text) in [
        ("::user-data", &documents.user_data),
        ("::network-config", &documents.network_config),
        ("::meta-data", &documents.meta_data),
    ] {
        let output = run("mtype", &["-i", path, name]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), *text, "{output:?}");
    }
    let check = run("fsck.fat", &["-n", path]);
    assert!(check.status.success(), "{check:?}");
    for (tag, value) in [("LABEL", "cidata"), ("TYPE", "vfat")] {
        let output = run("blkid", &["-p", "-o", "value", "-s", tag, path]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            value,
            "{output:?}"
        );
    }
}
