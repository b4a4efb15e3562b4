//! `support`: the archive has what somebody needs to find a fault, and no key, token or password, wherever one may stand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::env::TestEnv;

/// A body of a key, as a file has it.
const KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz";

fn pem(body: &str) -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// Where each kind of secret is put: file of the cluster's folder (`site.yaml`: of Kubitect's), text, and what must not be found.
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
        // The same secrets in words, where no name stands before them.
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

/// All that must not be found, besides what stands above.
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
        put(&env.kept("clusters/demo/config").join(name), &cluster);
    }
    for (path, text, _) in secrets() {
        put(&env.kept("clusters/demo").join(path), &text);
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
    let archive = env.path("work/out.tar.gz");
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
    // What is no secret is there.
    for part in [
        "proxy.example.org:3128",
        "10.77.0.11",
        "it said [removed]",
        "kubespray",
        "[removed]",
    ] {
        assert!(texts.contains(part), "no {part} in {texts}");
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
        fs::read_to_string(env.path("work/taken.tar.gz")).unwrap(),
        "mine"
    );
    env.run(&["support", "other"])
        .code(1)
        .tells(&["find the cluster `other`"]);
    // Without a name, it is called by the cluster and the time.
    let said = env.run(&["support"]).code(0);
    let name = said.stdout.split(':').next().unwrap();
    assert!(
        name.starts_with("kubitect-support-demo-") && name.ends_with("Z.tar.gz"),
        "{name}"
    );
    let (_, texts) = unpacked(&env.path("work").join(name));
    assert!(
        texts.contains("\nKubernetes: failed to reach the machines of demo"),
        "{texts}"
    );
}
