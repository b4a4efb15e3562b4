//! `apply`: what prevents it is reported before anything is created.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tests::ansible::Repository;

use crate::env::TestEnv;

const APPLY: [&str; 4] = ["apply", "-c", "cluster.yaml", "--auto-approve"];

/// What is left when nothing was created: the folder with the cluster's lock.
const NOTHING: [&str; 1] = ["clusters/"];

#[test]
fn without_a_terminal_the_answer_is_no() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env.run(&["apply", "-c", "cluster.yaml"])
        .code(3)
        .prints("")
        .tells(&[
            "+ demo-master-1",
            "there is no terminal to ask on, so the answer is no; --auto-approve says yes",
        ]);
    // `yes` on a pipe is not a person's answer.
    env.run_with("yes\n", &["apply", "-c", "cluster.yaml"])
        .code(3);
    assert_eq!(env.home_tree(), NOTHING);
}

#[test]
fn local_keeps_all_below_the_working_folder() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env.run(&["apply", "--local", "-c", "cluster.yaml"]).code(3);
    assert_eq!(env.home_tree(), [""; 0]);
    assert!(env.path("here/.kubitect/clusters").is_dir());
}

#[test]
fn one_run_at_a_time() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    fs::create_dir_all(env.in_home("clusters")).unwrap();
    let mut lock = fs::File::create(env.in_home("clusters/.demo.lock")).unwrap();
    lock.lock().unwrap();
    writeln!(lock, "{}", std::process::id()).unwrap();
    let holder = format!(
        "another run is at work on it (process {})",
        std::process::id()
    );
    for args in [
        &APPLY[..],
        &["destroy", "--cluster", "demo", "--auto-approve"],
    ] {
        env.run(args)
            .code(1)
            .tells(&[&holder, "wait for it to end"]);
    }
    // Reading is always allowed.
    env.run(&["plan", "-c", "cluster.yaml"]).code(4);
    drop(lock);
    env.run(&["apply", "-c", "cluster.yaml"]).code(3);
}

#[test]
fn an_action_that_does_not_cover_it() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    for action in ["scale", "upgrade"] {
        env.run(&[
            "apply",
            "-a",
            action,
            "-c",
            "cluster.yaml",
            "--auto-approve",
        ])
        .code(2)
        .tells(&[
            &format!("the action `{action}`"),
            "use the action `create`, or none",
        ]);
    }
    env.run(&["apply", "-a", "create", "-c", "cluster.yaml"])
        .code(3);
    assert_eq!(env.home_tree(), NOTHING);
}

#[test]
fn a_pool_path_that_is_missing() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    fs::remove_dir(env.path("pool")).unwrap();
    env.run(&APPLY).code(1).tells(&[
        "failed to use the hosts as they are",
        "the pool path [DIR]/pool does not exist (host box)",
        "mkdir -p [DIR]/pool",
    ]);
    assert_eq!(env.home_tree(), NOTHING);
    assert!(!env.path("pool").exists());
}

#[test]
fn machines_that_the_host_has_no_memory_for() {
    let env = TestEnv::new();
    env.write_cluster(|text| text.replace("ram: 2", "ram: 4"));
    env.run(&APPLY)
        .code(1)
        .tells(&["demo-lb-1 asks for 4 GiB of memory and the host has 3 GiB (host box)"]);
    assert_eq!(env.home_tree(), NOTHING);
}

#[test]
fn an_image_with_another_checksum_names_both() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    fs::write(env.path("image.qcow2"), "not this one").unwrap();
    let found: String = Sha256::digest("not this one")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let wanted = "0".repeat(64);
    env.run(&APPLY).code(1).tells(&[
        "failed to fetch the image",
        &format!("use image [DIR]/image.qcow2: its sha256 is {found}, not {wanted}"),
    ]);
    // Stored files are readable only for the person, and a log says what was tried.
    for (name, mode) in [
        ("", 0o700),
        ("config", 0o700),
        ("logs", 0o700),
        ("config/kubitect.yaml", 0o600),
    ] {
        assert_eq!(
            mode_of(&env, &format!("clusters/demo/{name}")),
            mode,
            "{name}"
        );
    }
    let logs: Vec<_> = env
        .home_tree()
        .into_iter()
        .filter(|name| name.ends_with("-apply.log"))
        .collect();
    assert_eq!(mode_of(&env, &logs[0]), 0o600);
    let log = fs::read_to_string(env.in_home(&logs[0])).unwrap();
    assert!(log.contains("create  domain   demo-master-1"), "{log}");
    assert!(log.contains("get image"), "{log}");
    assert!(
        !env.in_home("clusters/demo/config/kubitect-applied.yaml")
            .exists()
    );
}

fn mode_of(env: &TestEnv, name: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(env.in_home(name))
        .unwrap()
        .permissions()
        .mode()
        & 0o777
}

/// Applies with an image that arrives after ten seconds: by then it is known whether Kubespray can be prepared.
fn apply_slowly(env: &TestEnv) -> crate::env::Said {
    let mut image = vec![0; 4096];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    image[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    let digest: String = Sha256::digest(&image)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image.qcow2", server.local_addr().unwrap());
    env.write_cluster(|text| {
        let file = format!("{}/image.qcow2", env.path("").display()).replace("//", "/");
        text.replace(&file, &url).replace(&"0".repeat(64), &digest)
    });
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        std::thread::sleep(Duration::from_secs(10));
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            image.len()
        );
        let _ = stream.write_all(&image);
    });
    env.run(&APPLY)
}

#[test]
fn a_kubespray_release_that_is_not_there_is_told_before_machines_are_made() {
    let env = TestEnv::new();
    let repository = Repository::with(&[("requirements.txt", "")], "v2.20.0");
    fs::rename(repository.0.path(), env.path("kubespray")).unwrap();
    let said = apply_slowly(&env).code(1).tells(&[
        "failed to prepare Kubespray",
        "v2.19.0",
        "[DIR]/kubespray",
        "v2.20.0",
    ]);
    assert!(!said.stderr.contains("demo-network: "), "{said:#?}");
}

#[test]
fn a_kubespray_that_is_not_there_is_told_before_machines_are_made() {
    let env = TestEnv::new();
    let said = apply_slowly(&env)
        .code(1)
        .tells(&["failed to prepare Kubespray", "[DIR]/kubespray"]);
    assert!(!said.stderr.contains("demo-network: "), "{said:#?}");
}
