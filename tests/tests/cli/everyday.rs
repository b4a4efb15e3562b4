//! First steps and everyday commands: `init`, `ssh`, `logs`, `versions`, `version`, `doctor`, `list`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::env::TestEnv;

#[test]
fn a_new_file_is_valid_names_its_schema_and_is_never_over_another() {
    let env = TestEnv::new();
    env.run(&["init"])
        .code(0)
        .prints("kubitect.yaml: written\nnext: edit it, then `kubitect validate`, `kubitect plan`, `kubitect apply`\n");
    let file = env.path("work/kubitect.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# yaml-language-server: $schema=./kubitect.schema.json\n# "));
    let schema = fs::read_to_string(env.path("work/kubitect.schema.json")).unwrap();
    assert_eq!(schema, include_str!("../../../docs/schema.json"));
    env.run(&["validate"]).code(0);
    fs::write(&file, "mine").unwrap();
    env.run(&["init"])
        .code(1)
        .tells(&["kubitect.yaml: it is there already"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let presets = env.run(&["list", "presets", "-o", "json"]).code(0).json();
    for preset in presets["presets"].as_array().unwrap() {
        let preset = preset["name"].as_str().unwrap();
        let file = format!("{preset}.yaml");
        let args = ["init", &file, "--preset", preset, "--name", "mine"];
        let said = env.run(&args).code(0);
        assert!(
            said.stdout.contains(&format!("`kubitect plan -c {file}`")),
            "{said:?}"
        );
        env.run(&["validate", "-c", &file]).code(0);
        let text = fs::read_to_string(env.path("work").join(&file)).unwrap();
        assert!(text.contains("\n  name: mine\n"), "{text}");
    }
    env.run(&["init", "x.yaml", "--preset", "minimul"])
        .code(1)
        .tells(&["did you mean `minimal`?"]);
    env.run(&["init", "x.yaml", "--name", "No!"]).code(2);
    assert!(!env.path("work/x.yaml").exists());
}

/// A cluster of which the last run knew one machine.
fn with_machine() -> TestEnv {
    let env = TestEnv::new();
    let config = env.kept("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect-applied.yaml"), env.cluster()).unwrap();
    let facts = "user: k8s\nprivateKey: /keys/id\nknownHosts: /keys/known hosts\nnodes:\n- name: demo-master-1\n  role: master\n  \
                 id: '1'\n  host: localhost\n  ip: 10.77.0.11\n  mac: 52:54:00:00:00:01\n  hostKey: ssh-ed25519 AAAA\n";
    fs::write(config.join("infrastructure.yaml"), facts).unwrap();
    env
}

#[test]
fn a_machine_is_reached_by_its_name_with_its_own_key() {
    let env = with_machine();
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    // Instead of `ssh`: says what it was started with, and fails in its own way.
    fs::write(
        bin.join("ssh"),
        "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n",
    )
    .unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    for node in ["demo-master-1", "master-1"] {
        let mut command = env.command(&["ssh", node, "--", "uptime", "-p"]);
        command.env("PATH", &bin);
        let said = env.said(command.output().unwrap()).code(7);
        let config = env.kept("clusters/demo/config/ssh_config");
        said.prints(
            "-F\n[DIR]/kubitect/clusters/demo/config/ssh_config\n--\ndemo-master-1\nuptime\n-p\n",
        );
        assert_eq!(
            config.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        // The real one reads it as it was meant.
        let asked = std::process::Command::new("ssh")
            .args(["-G", "-F"])
            .arg(&config)
            .arg("master-1")
            .output()
            .unwrap();
        let asked = String::from_utf8(asked.stdout).unwrap();
        for line in [
            "hostname 10.77.0.11\n",
            "user k8s\n",
            "identityfile /keys/id\n",
            "userknownhostsfile /keys/known hosts\n",
            "stricthostkeychecking true\n",
        ] {
            assert!(asked.contains(line), "no {line} in {asked}");
        }
    }
    env.run(&["ssh", "mastr-1"])
        .code(1)
        .tells(&["did you mean `demo-master-1`?", "there are: demo-master-1"]);
    env.run(&["ssh", "master-1", "--cluster", "other"])
        .code(1)
        .tells(&["find the cluster `other`"]);
}

#[test]
fn logs_are_listed_and_the_last_is_shown() {
    let env = with_machine();
    env.run(&["logs", "--last"])
        .code(1)
        .tells(&["no run has left one"]);
    let logs = env.kept("clusters/demo/logs");
    fs::create_dir(&logs).unwrap();
    for (name, text) in [
        ("20260102T030405Z-apply.log", "newer \x1b[2J\n"),
        ("20250102T030405Z-apply.log", "older\n"),
        ("ansible-1.log", "no run"),
    ] {
        fs::write(logs.join(name), text).unwrap();
    }
    let folder = "[DIR]/kubitect/clusters/demo/logs";
    let (old, new) = (
        format!("{folder}/20250102T030405Z-apply.log"),
        format!("{folder}/20260102T030405Z-apply.log"),
    );
    env.run(&["logs", "demo"])
        .code(0)
        .prints(&format!("{old}\n{new}\n"));
    let json = env.run(&["logs", "-o", "json"]).code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, json!({"formatVersion": 1, "logs": [old, new]}));
    for option in ["--last", "--follow"] {
        let said = env.run(&["logs", option]).code(0);
        assert!(
            said.stdout.starts_with("newer ") && !said.stdout.contains('\x1b'),
            "{said:?}"
        );
    }
}

#[test]
fn versions_say_what_there_is_and_where_a_cluster_can_go() {
    let env = with_machine();
    let said = env.run(&["versions"]).code(0);
    assert!(said.stdout.contains("(default)"), "{said:?}");
    let all = env.run(&["versions", "-o", "json"]).code(0).json();
    assert_eq!(all["formatVersion"], 1);
    assert_eq!(all["kubernetes"][0]["to"], all["default"]);
    let said = env.run(&["versions", "demo"]).code(0);
    assert!(
        said.stdout
            .starts_with("demo: Kubernetes v1.23.7 with Kubespray v2.19.0\n"),
        "{said:?}"
    );
    let ways = env
        .run(&["versions", "--cluster", "demo", "-o", "json"])
        .code(0)
        .json();
    let newest = &ways["ways"][0];
    assert_eq!(newest["to"]["kubernetes"], all["default"]);
    assert!(newest["hops"].as_array().unwrap().len() > 5, "{newest}");
    let json = env.run(&["version", "-o", "json"]).code(0).json();
    assert_eq!(json["kubitect"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["kubernetes"], all["default"]);
    assert!(
        env.run(&["version"])
            .code(0)
            .stdout
            .starts_with("kubitect ")
    );
}

#[test]
fn what_is_listed_is_to_be_had_as_json() {
    let env = with_machine();
    assert_eq!(
        env.run(&["list", "clusters", "-o", "json"]).code(0).json(),
        json!({"formatVersion": 1, "clusters": [{"name": "demo", "state": "applied"}]})
    );
    let nodes = env.run(&["list", "nodes", "-o", "json"]).code(0).json();
    assert_eq!(nodes["nodes"][0]["name"], "demo-lb-1");
    assert_eq!(nodes["nodes"][0]["state"], "missing");
    let said = env.run(&["list", "nodes", "demo"]).code(0);
    assert!(said.stdout.starts_with("demo-lb-1\tbox\t"), "{said:?}");
}

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
        &json!({"what": "git", "good": false, "found": "there is no git in PATH", "cure": "sudo apt install git"})
    );
}
