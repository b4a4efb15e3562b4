//! `support`: the archive has all that is needed to find a fault, and no key, token or password, wherever one may be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::env::TestEnv;

/// The body of a key, as in a file.
const KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz";

fn pem(body: &str) -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// Each kind of secret: the file of the cluster's folder (`site.yaml`: of Kubitect's), the text, and what the archive must not
/// contain.
fn secrets() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("config/.ssh/id_ed25519", pem(KEY), KEY),
        ("config/.ssh/hosts/demo-master-1", pem("c2Vjb25kLWtleS1vZi1hLW1hY2hpbmU="), "c2Vjb25kLWtleS1vZi1hLW1hY2hpbmU"),
        (
            "config/admin.conf",
            "users:\n- name: a\n  user:\n    client-key-data: bm90LXBlbS1idXQta2V5\n    token: tok-of-a-user\n    password: basic-secret\n".to_owned(),
            "bm90LXBlbS1idXQta2V5",
        ),
        ("config/nodes.yaml", "all:\n  vars:\n    ansible_password: inventory-secret\n".to_owned(), "inventory-secret"),
        ("config/group_vars/all/all.yml", "docker_registry_token: group-secret\n".to_owned(), "group-secret"),
        // The same secrets in sentences, where no name is before them.
        (
            "logs/20260102T030405Z-apply.log",
            format!("it said {KEY} and tok-of-a-user, basic-secret, inventory-secret, group-secret, file-secret, proxy-secret\n"),
            "tok-of-a-user",
        ),
        ("logs/20260102T030406Z-apply.log", pem("bG9nLWtleS1ib2R5"), "bG9nLWtleS1ib2R5"),
        (
            "logs/20260102T030407Z-ansible.log",
            "{\"registry_password\": \"json secret\", \"a\": 1}\nkubeadm join --token abcdef.0123456789abcdef --certificate-key 00ff00ff00ff\n\
             Authorization: Bearer bearer-secret-1\neyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqd3QifQ.c2ln\n\
             clone https://me:url-secret@git.example.org/x and https://ghp-secret@git.example.org/x\n  secret: yaml secret words\n"
                .to_owned(),
            "json secret",
        ),
    ]
}

/// All that the archive must not contain, besides the above.
const OTHERS: [&str; 14] = [
    "basic-secret",
    "inventory-secret",
    "group-secret",
    "file-secret",
    "proxy-secret",
    "0123456789abcdef",
    "00ff00ff00ff",
    "bearer-secret-1",
    "eyJzdWIiOiJqd3QifQ",
    "url-secret",
    "ghp-secret",
    "yaml secret words",
    "comment-secret",
    "PRIVATE KEY",
];

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn with_secrets() -> TestEnv {
    let env = TestEnv::new();
    env.write_site(
        "# comment-secret\nproxy:\n  http: http://me:proxy-secret@proxy.example.org:3128\n",
    );
    let cluster =
        env.cluster() + "addons:\n  kubespray:\n    containerd_registry_password: file-secret\n";
    for name in ["kubitect.yaml", "kubitect-applied.yaml"] {
        put(&env.in_home("clusters/demo/config").join(name), &cluster);
    }
    for (path, text, _) in secrets() {
        put(&env.in_home("clusters/demo").join(path), &text);
    }
    env
}

fn unpacked(archive: &Path) -> (String, String) {
    let path = archive.to_str().unwrap();
    let names = tests::checkers::run("tar", &["-tzf", path]);
    let texts = tests::checkers::run("tar", &["-xzOf", path]);
    assert!(
        names.status.success() && texts.status.success(),
        "{names:?} {texts:?}"
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(names.stdout), text(texts.stdout))
}

#[test]
fn the_archive_has_what_is_needed_and_no_secret() {
    let env = with_secrets();
    let said = env.run(&["support", "-o", "out.tar.gz"]).code(0);
    assert!(
        said.stdout.starts_with("out.tar.gz: ") && said.stdout.contains("look through it"),
        "{said:?}"
    );
    let archive = env.path("here/out.tar.gz");
    assert_eq!(
        archive.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (names, texts) = unpacked(&archive);
    for name in [
        "/README.txt",
        "/versions.json",
        "/doctor.json",
        "/config/site.yaml",
        "/config/kubitect.yaml",
        "/config/kubitect-applied.yaml",
        "/logs/20260102T030405Z-apply.log",
        "/logs/20260102T030407Z-ansible.log",
        "/missing.txt",
    ] {
        assert!(names.contains(name), "no {name} in {names}");
    }
    for name in [".ssh", "admin.conf", "group_vars", "nodes.yaml"] {
        assert!(!names.contains(name), "{name} in {names}");
    }
    let planted = secrets();
    let planted = planted.iter().map(|(_, _, secret)| *secret);
    for secret in planted.chain(OTHERS) {
        assert!(!texts.contains(secret), "{secret} in {texts}");
    }
    // Text that is no secret is in the archive.
    for part in [
        "proxy.example.org:3128",
        "10.77.0.11",
        "it said [removed]",
        "kubespray",
        "[removed]",
    ] {
        assert!(texts.contains(part), "no {part}");
    }
}

#[test]
fn what_can_not_be_had_is_said_and_no_file_is_replaced() {
    let env = with_secrets();
    env.write("taken.tar.gz", "mine");
    env.run(&["support", "demo", "-o", "taken.tar.gz"])
        .code(1)
        .tells(&["write taken.tar.gz"]);
    assert_eq!(
        fs::read_to_string(env.path("here/taken.tar.gz")).unwrap(),
        "mine"
    );
    env.run(&["support", "other"])
        .code(1)
        .tells(&["find the cluster `other`"]);
    // Without `--out` its name has the cluster and the time.
    let said = env.run(&["support"]).code(0);
    let name = said.stdout.split(':').next().unwrap();
    assert!(
        name.starts_with("kubitect-support-demo-") && name.ends_with("Z.tar.gz"),
        "{name}"
    );
    let (_, texts) = unpacked(&env.path("here").join(name));
    assert!(
        texts.contains("\nKubernetes: failed to reach the machines of demo"),
        "{texts}"
    );
}

/// The variables of Kubespray whose names contain one of these, each with its own value.
fn doubtful_variables() -> Vec<(String, String)> {
    let words = ["key", "pass", "auth", "peer", "token", "secret", "cred"];
    let table = include_str!("../../../kubitect-config/data/kubespray-variables.txt");
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let names = lines.flat_map(|line| line.split_once(": ").unwrap().1.split(' '));
    let mut names: Vec<_> = names
        .filter(|name| words.iter().any(|word| name.contains(word)))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 90, "{names:?}");
    let value = |number: usize| format!("Mark3r{number}x");
    let named = names.iter().enumerate();
    named
        .map(|(number, name)| ((*name).to_owned(), value(number)))
        .collect()
}

#[test]
fn no_value_of_kubesprays_variables_that_may_be_a_secret_is_in_the_archive() {
    let env = TestEnv::new();
    let variables = doubtful_variables();
    let mut cluster = env.cluster()
        + "addons:\n  kubespray:\n    kube_proxy_mode: ipvs\n    helm_enabled: true\n    \
                      containerd_version: 1.7.24\n    an_arg: [--db-password, hunter2hunter2]\n    hook: https://hooks.slack.com/services/T0/B0/wxyz1234\n";
    for (number, (name, value)) in variables.iter().enumerate() {
        // In all forms of values.
        cluster += &match number % 3 {
            0 => format!("    {name}: {value}\n"),
            1 => format!("    {name}: ['10.0.0.1:65000:{value}:true']\n"),
            _ => format!("    {name}: {{server: registry.example.org, inner: '{value}'}}\n"),
        };
    }
    let secrets: String = variables
        .iter()
        .map(|(_, value)| format!("saw {value}\n"))
        .collect();
    for name in ["kubitect.yaml", "kubitect-applied.yaml"] {
        put(&env.in_home("clusters/demo/config").join(name), &cluster);
    }
    let log = secrets
        + "vault_pass: plain-one\nmy_auth=plain-two\npsk: plain-three\nregistry_creds: plain-four\nDB_PASS=plain-five\n\
           [\"--db-password\",\"plain-six\"]\n.dockerconfigjson: eyJhdXRocyI6eyJwbGFpbi1zZXZlbiI6e319fQ==\n\
           POST https://hooks.example.org/services/plain-eight\nit said hunter2hunter2 and wxyz1234\nthe end\n";
    put(
        &env.in_home("clusters/demo/logs/20260102T030405Z-apply.log"),
        &log,
    );
    env.run(&["support", "-o", "out.tar.gz"]).code(0);
    let (_, texts) = unpacked(&env.path("here/out.tar.gz"));
    let others = ["plain-", "eyJhdXRocyI6", "hunter2hunter2", "wxyz1234"];
    let values = variables.iter().map(|(_, value)| value.as_str());
    for secret in values.chain(others) {
        let shown = texts.lines().filter(|line| line.contains(secret));
        assert_eq!(shown.collect::<Vec<_>>(), [""; 0], "{secret}");
    }
    // Names, and values that can't be secrets, are in the archive.
    for (name, _) in &variables {
        assert!(
            texts.contains(&format!("{name}: ")) || texts.contains(&format!("{name}:\n")),
            "no {name} in {texts}"
        );
    }
    for part in [
        "kube_proxy_mode: ipvs",
        "helm_enabled: true",
        "1.7.24",
        "saw [removed]",
        "the end",
        "name: demo",
    ] {
        assert!(texts.contains(part), "no {part}");
    }
}
