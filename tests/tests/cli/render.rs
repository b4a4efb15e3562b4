//! `render`: the documented tree, the same bytes each time, and every file accepted by its own checker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::checkers::{self, said};
use tests::example::{EXAMPLE, three_balancers, without_workers};
use tests::{ansible, example};

use crate::env::{TestEnv, tree};
use crate::trust::mode;

/// Renders a configuration into this folder of the test's.
fn render(env: &TestEnv, text: &str, out: &str) -> PathBuf {
    env.write("cluster.yaml", text);
    let out = env.path(out);
    let said = env.run(&[
        "render",
        "-c",
        "cluster.yaml",
        "--out",
        out.to_str().unwrap(),
    ]);
    let said = said.code(0);
    assert!(said.stdout.contains(" files written to [DIR]/"), "{said:?}");
    assert_eq!(env.home_tree(), [""; 0]);
    out
}

/// The files of a tree, without folders.
fn files(folder: &Path) -> Vec<String> {
    tree(folder)
        .into_iter()
        .filter(|name| !name.ends_with('/'))
        .collect()
}

#[test]
fn the_documented_tree() {
    let env = TestEnv::new();
    let rendered = files(&render(&env, EXAMPLE, "out"));
    let nodes = [
        "lb-1", "master-1", "master-2", "master-3", "worker-1", "worker-2", "worker-3",
    ]
    .map(|node| format!("local-k8s-cluster-{node}"));
    let mut expected = vec![
        "ansible/group_vars/all/cluster.yaml".to_owned(),
        "ansible/nodes.yaml".to_owned(),
        "cluster".to_owned(),
        "haproxy/local-k8s-cluster-lb-1.cfg".to_owned(),
        "libvirt/local-k8s-cluster-main-resource-pool.xml".to_owned(),
        "libvirt/local-k8s-cluster-network.xml".to_owned(),
    ];
    for node in nodes {
        for document in ["user-data", "network-config", "meta-data"] {
            expected.push(format!("cloud-init/{node}/{document}"));
        }
        expected.push(format!("libvirt/{node}.xml"));
        expected.push(format!("libvirt/{node}-main-disk.xml"));
    }
    expected.sort();
    assert_eq!(rendered, expected);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let env = TestEnv::new();
    let text = three_balancers();
    let first = render(&env, &text, "first");
    let second = render(&env, &text, "second");
    let names = files(&first);
    assert!(
        names.contains(&"keepalived/local-k8s-cluster-lb-3.conf".to_owned()),
        "{names:?}"
    );
    assert_eq!(files(&second), names);
    for name in names {
        assert_eq!(
            fs::read(first.join(&name)).unwrap(),
            fs::read(second.join(&name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn no_secret_is_rendered() {
    let env = TestEnv::new();
    let out = render(&env, EXAMPLE, "out");
    for name in files(&out) {
        let text = fs::read_to_string(out.join(&name)).unwrap();
        let begin = text.matches("BEGIN OPENSSH PRIVATE KEY").count();
        assert_eq!(begin, 0, "{name}: {text}");
    }
}

#[test]
fn what_can_t_be_rendered() {
    let env = TestEnv::new();
    env.write("cluster.yaml", EXAMPLE.replace("mode: nat", "mode: nut"));
    env.run(&["render", "-c", "cluster.yaml", "--out", "out"])
        .code(2)
        .tells(&["did you mean `nat`?"]);
    assert!(!env.path("here/out").exists());
    env.write("cluster.yaml", EXAMPLE);
    env.write("file", "");
    env.run(&["render", "-c", "cluster.yaml", "--out", "file/out"])
        .code(1)
        .tells(&["failed to create file/out"]);
}

/// The example and its variants; keepalived wants an interface that this machine has.
fn variants() -> [(&'static str, String); 4] {
    let interface = format!(
        "      distro: ubuntu\n      networkInterface: {}\n",
        checkers::an_interface()
    );
    let here = |text: &str| text.replace("      distro: ubuntu\n", &interface);
    [
        ("one", here(EXAMPLE)),
        ("one-alone", here(&without_workers(EXAMPLE))),
        ("three", here(&three_balancers())),
        ("three-alone", here(&without_workers(&three_balancers()))),
    ]
}

/// Renders every variant and calls `judge` on each file below `folder`. Returns their number for each variant.
fn judged(folder: &str, judge: impl Fn(&Path)) -> [usize; 4] {
    let env = TestEnv::new();
    variants().map(|(name, text)| {
        let folder = render(&env, &text, name).join(folder);
        let all = files(&folder);
        all.iter().for_each(|file| judge(&folder.join(file)));
        all.len()
    })
}

#[test]
fn haproxy_accepts_its_files() {
    assert_eq!(judged("haproxy", checkers::haproxy), [1, 1, 3, 3]);
}

#[test]
fn keepalived_accepts_its_files() {
    assert_eq!(judged("keepalived", checkers::keepalived), [0, 0, 3, 3]);
}

#[test]
fn libvirts_schemas_accept_its_files() {
    let validate = |file: &Path| {
        let text = fs::read_to_string(file).unwrap();
        let schema = match text.trim_start() {
            text if text.starts_with("<domain") => "domain",
            text if text.starts_with("<network") => "network",
            text if text.starts_with("<pool") => "storagepool",
            text if text.starts_with("<volume") => "storagevol",
            other => panic!("{}: {other}", file.display()),
        };
        checkers::libvirt(schema, file);
    };
    // A network, a pool, and for each machine a domain and a disk.
    assert_eq!(judged("libvirt", validate), [16, 10, 20, 14]);
}

#[test]
fn cloud_inits_schema_accepts_its_files() {
    let validate = |file: &Path| {
        if file.ends_with("user-data") {
            let output = checkers::cloud_init(file);
            assert!(
                output.status.success(),
                "{}: {}",
                file.display(),
                said(&output)
            );
        }
    };
    assert_eq!(judged("cloud-init", validate), [21, 12, 27, 18]);
}

/// An Ansible program of the stored environment, without any user's settings.
fn ansible(program: &str, env: &TestEnv) -> Command {
    let share = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubespray");
    let mut command = Command::new(ansible::environment(&share).join("bin").join(program));
    env.dress(&mut command);
    command
        .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")
        .env("ANSIBLE_CACHE_PLUGIN_CONNECTION", env.path("facts"));
    command
}

#[test]
fn ansible_reads_its_inventories_as_they_were_meant() {
    let env = TestEnv::new();
    for ((name, text), hosts) in variants().into_iter().zip([7, 4, 9, 6]) {
        let inventory = render(&env, &text, name).join("ansible/nodes.yaml");
        let mut command = ansible("ansible-inventory", &env);
        command.arg("--list").arg("--inventory").arg(inventory);
        let read = env.said(command.output().unwrap()).code(0);
        assert!(!read.stderr.contains("WARNING"), "{read:#?}");
        let read = read.json();
        let variables = read["_meta"]["hostvars"].as_object().unwrap();
        assert_eq!(variables.len(), hosts, "{name}");
        assert!(
            variables
                .values()
                .all(|host| host["kube_version"] == "v1.23.7")
        );
        let of = |group: &str| read[group]["hosts"].as_array().map_or(0, Vec::len);
        assert_eq!((of("kube_control_plane"), of("etcd")), (3, 3), "{name}");
        // Without workers, masters run the pods.
        assert_eq!(of("kube_node"), 3, "{name}");
    }
}

#[test]
fn the_stand_ins_assertions_accept_its_inventories() {
    let env = TestEnv::new();
    let stand_in = env.path("stand-in");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-in");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&original, &stand_in])
        .status();
    assert!(copied.unwrap().success());
    let check = |release: &str, inventory: &Path| {
        fs::write(stand_in.join("STANDIN_RELEASE"), format!("{release}\n")).unwrap();
        let mut command = ansible("ansible-playbook", &env);
        command
            .arg("--inventory")
            .arg(inventory)
            .arg("playbooks/check.yml");
        env.said(command.current_dir(&stand_in).output().unwrap())
    };
    for (name, text) in variants() {
        let inventory = render(&env, &text, name).join("ansible/nodes.yaml");
        let checked = check("v2.19.0", &inventory).code(0);
        assert!(checked.stdout.contains("PLAY RECAP"), "{checked:#?}");
        assert!(
            !checked.stdout.contains("skipping: no hosts matched"),
            "{checked:#?}"
        );
    }
    let newest = example::example(["v2.31.0", "v1.35.1"]);
    let inventory = render(&env, &newest, "newest").join("ansible/nodes.yaml");
    check("v2.31.0", &inventory).code(0);
    // The assertions can fail: a release refuses the other's variables.
    check("v2.19.0", &inventory).code(2);
}

#[test]
fn files_of_machines_that_went_go_and_others_stay() {
    let env = TestEnv::new();
    let out = render(&env, &three_balancers(), "out");
    for (name, text) in [
        ("ansible/notes.txt", "mine"),
        ("libvirt/mine.xml", "<mine/>"),
    ] {
        fs::write(out.join(name), text).unwrap();
    }
    render(&env, EXAMPLE, "out");
    let alone = files(&render(&env, EXAMPLE, "alone"));
    let mut expected = alone.clone();
    expected.extend([
        "ansible/notes.txt".to_owned(),
        "libvirt/mine.xml".to_owned(),
    ]);
    expected.sort();
    assert_eq!(files(&out), expected);
    // The folder as well, once it is empty.
    assert!(
        !out.join("keepalived").exists() && !out.join("cloud-init/local-k8s-cluster-lb-2").exists()
    );
    // The list is believed only as far as it goes.
    let victim = env.path("victim");
    fs::write(&victim, "untouched").unwrap();
    let listed = format!(
        "local-k8s-cluster\n../victim\n{}\nlibvirt/../../victim\n",
        victim.display()
    );
    fs::write(out.join("cluster"), listed).unwrap();
    render(&env, EXAMPLE, "out");
    assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
}

#[test]
fn a_folder_holds_the_files_of_one_cluster() {
    let env = TestEnv::new();
    let out = render(&env, EXAMPLE, "out");
    render(&env, EXAMPLE, "out");
    let before = tree(&out);
    let args = ["render", "-c", "other.yaml", "--out"];
    env.write("other.yaml", env.cluster());
    env.run(&[&args[..], &[out.to_str().unwrap()]].concat())
        .code(1)
        .prints("")
        .tells(&["it holds the files of the cluster `local-k8s-cluster`"]);
    assert_eq!(tree(&out), before);
    // Nor one that says nothing of itself.
    fs::remove_file(out.join("cluster")).unwrap();
    env.run(&[&args[..], &[out.to_str().unwrap()]].concat())
        .code(1)
        .tells(&["may be another cluster's"]);
}

#[test]
fn what_is_rendered_is_for_its_owner() {
    let env = TestEnv::new();
    env.write_cluster(|text| text + "addons:\n  kubespray: {registry_password: s3cret}\n");
    env.run(&["render", "-c", "cluster.yaml", "--out", "out"])
        .code(0);
    let variables = env.path("here/out/ansible/group_vars");
    let mut looked = 0;
    for folder in fs::read_dir(&variables).unwrap() {
        let folder = folder.unwrap().path();
        assert_eq!(mode(&folder), 0o700);
        for file in fs::read_dir(folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
            looked += 1;
        }
    }
    assert!(looked > 1);
}
