//! `doctor`: what this machine lacks, what the hosts of a file lack, and a Python that does not fit.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::env::TestEnv;

#[test]
fn the_doctor_says_what_is_missing_and_its_cure() {
    let env = TestEnv::new();
    let mut command = env.command(&["doctor"]);
    command.env("PATH", "/nowhere");
    env.said(command.output().unwrap()).code(5);
    let mut command = env.command(&["doctor", "-o", "json"]);
    command.env("PATH", "/nowhere");
    let checks = env.said(command.output().unwrap()).code(5).json();
    assert_eq!(checks["formatVersion"], 1);
    let git = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["what"] == "git");
    assert_eq!(
        git.unwrap(),
        &json!({
            "what": "git", "good": false, "state": "wrong", "found": "there is no git in PATH", "cure": "sudo apt install git"
        })
    );
    let python = checks["checks"].as_array().unwrap().iter();
    let python = python
        .clone()
        .find(|check| check["what"] == "Python")
        .unwrap();
    let found = python["found"].as_str().unwrap();
    assert!(
        found.starts_with("no Python is on PATH; Kubespray v2."),
        "{found}"
    );
}

/// Each host of a file is checked, also where another one can't be reached, and nothing is created.
#[test]
fn the_doctor_looks_at_the_hosts_of_a_file() {
    let env = TestEnv::new();
    env.write_cluster(|text| {
        let pool = format!("{}/pool", env.path("").display()).replace("//", "/");
        let unreached =
            "  - name: away\n    connection: {uri: 'test:///nowhere'}\ncluster:\n  name: demo";
        text.replace(
            &format!("mainResourcePoolPath: {pool}"),
            "mainResourcePoolPath: /no-such-pool",
        )
        .replace("cluster:\n  name: demo", unreached)
        .replace(
            "mode: nat",
            "mode: bridge\n    bridge: no-such-br0\n    gateway: 10.77.0.1",
        )
        .replace(
            "        - {id: 1}\n",
            "        - {id: 1, ip: 10.77.0.21, host: away}\n",
        )
    });
    let doctor = ["doctor", "-c", "cluster.yaml"];
    let checks = env.run(&[&doctor[..], &["-o", "json"]].concat());
    let checks = checks.code(5).json()["checks"].as_array().unwrap().clone();
    let of = |host: &str| -> Vec<_> {
        let own = checks
            .iter()
            .filter(|check| check["what"] == format!("host {host}"));
        own.map(|check| {
            (
                check["state"].as_str().unwrap(),
                check["found"].as_str().unwrap(),
            )
        })
        .collect()
    };
    let own = of("box");
    let (state, found) = own[0];
    assert_eq!(state, "good", "{own:?}");
    assert!(
        found.starts_with("libvirt answers: ")
            && found.ends_with("; 2 machines of demo are for it"),
        "{found}"
    );
    for wrong in [
        "the pool path /no-such-pool does not exist",
        "there is no bridge no-such-br0",
    ] {
        let is_found = own
            .iter()
            .any(|(state, found)| *state == "wrong" && found.starts_with(wrong));
        assert!(is_found, "{wrong}: {own:?}");
    }
    let unreached = of("away");
    assert!(
        unreached.len() == 1 && unreached[0].0 == "wrong",
        "{unreached:?}"
    );
    assert!(unreached[0].1.contains("/nowhere"), "{unreached:?}");
    let said = env.run(&doctor).code(5);
    assert!(said.stdout.contains("! host away "), "{said:?}");
    assert!(
        said.stdout
            .contains("virsh --connect 'test:///nowhere' list"),
        "{said:?}"
    );
    assert_eq!(env.home_tree(), [""; 0]);
    env.write_cluster(|text| text.replace("mode: nat", "mode: nut"));
    env.run(&doctor).code(2).tells(&["cluster.network.mode"]);
    env.run(&["doctor", "cluster.yaml"])
        .code(2)
        .tells(&["`-c cluster.yaml`"]);
}

/// A folder for PATH with the real git and ssh, and a Python of this version that can't create environments.
fn without_venv(env: &TestEnv, version: &str) -> std::path::PathBuf {
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["git", "ssh"] {
        let real = std::env::split_paths(tests::checkers::PATH)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        std::os::unix::fs::symlink(real.unwrap(), bin.join(program)).unwrap();
    }
    let python = bin.join("python3");
    let said = format!(
        "{{\"version\": \"{version}\", \"executable\": \"/usr/bin/python3\", \"venv\": false}}"
    );
    fs::write(&python, format!("#!/bin/sh\necho '{said}'\n")).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

#[test]
fn a_python_that_does_not_fit_is_found_before_anybody_is_asked() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let bin = without_venv(&env, "3.10.2");
    let run = |args: &[&str]| {
        let mut command = env.command(args);
        command.env("PATH", &bin);
        env.said(command.output().unwrap())
    };
    let why = "3.10.2 (/usr/bin/python3 without its venv module); Kubespray v2.19.0 takes 3";
    for args in [
        &["plan", "-c", "cluster.yaml"][..],
        &["apply", "-c", "cluster.yaml", "--auto-approve"],
    ] {
        run(args)
            .code(1)
            .tells(&["lacks a fitting Python", why, "venv module"]);
    }
    let plan = run(&["plan", "-c", "cluster.yaml", "-o", "json"])
        .code(1)
        .json();
    assert_eq!(plan["findings"][0]["severity"], "error", "{plan}");
    assert_eq!(plan["findings"][0]["host"], "localhost", "{plan}");
    assert_eq!(env.home_tree(), ["clusters/"]);
    let said = run(&["doctor"]).code(5);
    assert!(
        said.stdout.contains("! Python") && said.stdout.contains("without its venv module"),
        "{said:?}"
    );
}
