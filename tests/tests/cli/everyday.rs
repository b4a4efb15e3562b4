//! First steps and everyday commands: `init`, `ssh`, `logs`, `versions`, `version`, `list`.

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
    let file = env.path("here/kubitect.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# yaml-language-server: $schema=./kubitect.schema.json\n# "));
    let schema = fs::read_to_string(env.path("here/kubitect.schema.json")).unwrap();
    assert_eq!(schema, include_str!("../../../docs/schema.json"));
    // A schema of another release stays, and a hint says so.
    fs::write(env.path("here/kubitect.schema.json"), "{}\n").unwrap();
    let said = env.run(&["init", "second.yaml"]).code(0);
    assert!(
        said.stderr.contains("`kubitect export schema >"),
        "{said:?}"
    );
    let schema = fs::read_to_string(env.path("here/kubitect.schema.json"));
    assert_eq!(schema.unwrap(), "{}\n");
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
        let text = fs::read_to_string(env.path("here").join(&file)).unwrap();
        assert!(text.contains("\n  name: mine\n"), "{text}");
    }
    env.run(&["init", "x.yaml", "--preset", "minimul"])
        .code(1)
        .tells(&["did you mean `minimal`?"]);
    env.run(&["init", "x.yaml", "--name", "No!"]).code(2);
    assert!(!env.path("here/x.yaml").exists());
}

/// A cluster with one machine in the facts of the last run.
fn with_machine() -> TestEnv {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
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
    without_libvirt(&env);
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    // In the place of `ssh`: prints its arguments, and fails with a status of its own.
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
        let config = env.in_home("clusters/demo/config/ssh_config");
        said.prints(
            "-F\n[DIR]/kubitect/clusters/demo/config/ssh_config\n--\ndemo-master-1\nuptime\n-p\n",
        );
        assert_eq!(
            config.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        // The real `ssh` reads the file as intended.
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
            "connecttimeout 20\n",
        ] {
            assert!(asked.contains(line), "no {line} in {asked}");
        }
    }
    env.run(&["ssh", "mastr-1"]).code(1).tells(&[
        "did you mean `demo-master-1`?",
        "there are: demo-lb-1, demo-master-1, ",
    ]);
    env.run(&["ssh", "master-1", "--cluster", "other"])
        .code(1)
        .tells(&["find the cluster `other`"]);
}

/// Two clusters with keys, whose machines' addresses no run has seen.
fn two_clusters() -> TestEnv {
    let env = TestEnv::new();
    for name in ["demo", "zwei"] {
        let config = env.in_home(&format!("clusters/{name}/config"));
        fs::create_dir_all(config.join(".ssh/hosts")).unwrap();
        let text = env
            .cluster()
            .replace("name: demo", &format!("name: {name}"));
        fs::write(config.join("kubitect.yaml"), text).unwrap();
        let nodes = ["lb", "master", "worker"].map(|role| format!("hosts/{name}-{role}-1"));
        for key in nodes.iter().map(String::as_str).chain(["id_ed25519"]) {
            let path = config.join(".ssh").join(key);
            tests::sshd::ed25519(&path);
        }
    }
    without_libvirt(&env);
    env
}

/// A person who can't ask libvirt whether a machine is on may log in all the same.
fn without_libvirt(env: &TestEnv) {
    fs::remove_file(env.path("node.xml")).unwrap();
}

#[test]
fn a_whole_name_is_enough_and_the_file_tells_addresses() {
    let env = two_clusters();
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("ssh"), "#!/bin/sh\nprintf '%s\\n' \"$4\"\n").unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let ssh = |args: &[&str], cluster: &str| {
        let mut command = env.command(&[&["ssh"], args].concat());
        command.env("PATH", &bin).env("KUBITECT_CLUSTER", cluster);
        env.said(command.output().unwrap())
    };
    for (args, cluster, machine) in [
        (&["demo-master-1"][..], "", "demo-master-1\n"),
        (&["zwei-master-1"], "", "zwei-master-1\n"),
        // The whole name has precedence over the default cluster.
        (&["demo-master-1"], "zwei", "demo-master-1\n"),
        (&["master-1"], "zwei", "zwei-master-1\n"),
        (
            &["master-1", "--cluster", "demo"],
            "zwei",
            "demo-master-1\n",
        ),
    ] {
        ssh(args, cluster).code(0).prints(machine);
    }
    let config = fs::read_to_string(env.in_home("clusters/demo/config/ssh_config")).unwrap();
    assert!(
        config.contains("Host demo-master-1 master-1\n  HostName 10.77.0.11\n"),
        "{config}"
    );
    let known_hosts =
        fs::read_to_string(env.in_home("clusters/demo/config/.ssh/known_hosts")).unwrap();
    assert!(
        known_hosts.contains("10.77.0.11,demo-master-1 ssh-ed25519 "),
        "{known_hosts}"
    );
    // Its address is leased, and no run has seen it.
    ssh(&["demo-worker-1"], "")
        .code(1)
        .tells(&["find the address of demo-worker-1", "`kubitect apply`"]);
    ssh(&["master-1"], "")
        .code(1)
        .tells(&["`master-1` may be demo-master-1 or zwei-master-1"]);
    ssh(&["demo-mastr-1"], "")
        .code(1)
        .tells(&["no cluster has it; did you mean `demo-master-1`?"]);
    ssh(&["nothing"], "")
        .code(1)
        .tells(&["choose a cluster: there are demo, zwei"]);
    // So does `console`, which looks it up in the same way.
    env.run(&["console", "zwei-master-9", "--log"])
        .code(1)
        .tells(&["did you mean `zwei-master-1`?"]);
}

#[test]
fn logs_are_listed_and_the_last_is_shown() {
    let env = with_machine();
    env.run(&["logs", "--last"])
        .code(1)
        .tells(&["no run has left one"]);
    let logs = env.in_home("clusters/demo/logs");
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
    // A log is a text.
    env.run(&["logs", "--last", "-o", "json"])
        .code(2)
        .tells(&["cannot be used with"]);
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
fn where_there_is_no_cluster_that_is_said() {
    let env = TestEnv::new();
    env.run(&["list", "clusters"])
        .code(0)
        .prints("")
        .tells(&["there is no cluster yet; `kubitect init`"]);
}

#[test]
fn what_beginners_type_gets_a_tip() {
    let env = with_machine();
    for command in ["plan", "validate"] {
        env.run(&[command, "lab.yaml"])
            .code(2)
            .tells(&["a file is named with -c: `-c lab.yaml`"]);
    }
    for (typed, tip) in [
        (&["create"][..], "`kubitect apply` makes"),
        (&["up"], "`kubitect apply` makes"),
        (&["delete", "demo"], "`kubitect destroy CLUSTER`"),
        (&["get", "nodes"], "`kubitect list nodes`"),
        (&["apply", "--dry-run"], "`kubitect plan` shows"),
        (&["apply", "-f", "lab.yaml"], "named with -c"),
        (&["destroy", "demo", "-y"], "--auto-approve"),
    ] {
        env.run(typed)
            .code(2)
            .tells(&[tip])
            .withholds(&["similar", "as a value"]);
    }
    env.run(&["plan", "--lab.yaml"])
        .code(2)
        .withholds(&["named with -c"]);
    env.run(&["status", "--wait", "5m"])
        .code(2)
        .tells(&["there is no cluster `5m`", "--wait=5m"]);
}

#[test]
fn whoever_follows_a_log_may_go() {
    use std::io::{BufRead, BufReader};
    let env = with_machine();
    let logs = env.in_home("clusters/demo/logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("20260102T030405Z-apply.log"), "first\nsecond\n").unwrap();
    // A run is at work and writes nothing.
    let lock = fs::File::create(env.in_home("clusters/.demo.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = env.command(&["logs", "--follow"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "it follows while it is read"
    );
    drop(stdout);
    // Without that it would wait for the run, which holds the lock until the test ends.
    assert!(child.wait().unwrap().success());
}

#[test]
fn status_says_that_a_run_is_at_work() {
    use std::io::Write;
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    let said = env.run(&["status", "-o", "json"]).code(1);
    assert_eq!(said.json()["run"], json!(null));
    let mut lock = fs::File::create(env.in_home("clusters/.demo.lock")).unwrap();
    lock.lock().unwrap();
    writeln!(lock, "4711").unwrap();
    let said = env.run(&["status"]).code(1);
    let run = "a run is at work (process 4711, since 20";
    assert!(said.stdout.contains(&format!("! {run}")), "{said:?}");
    let said = said.tells(&[run, "`kubitect logs --follow` shows it"]);
    assert!(
        !said
            .stdout
            .contains("`kubitect apply` with its file goes on"),
        "{said:?}"
    );
    let run = env.run(&["status", "-o", "json"]).code(1).json()["run"].clone();
    assert_eq!(run["process"], "4711", "{run}");
    assert!(run["since"].as_str().unwrap().ends_with('Z'), "{run}");
}

#[test]
fn machines_that_are_not_there_cannot_be_started() {
    let env = crate::trust::finished();
    env.run(&["start", "demo"]).code(1).tells(&[
        "failed to start demo: none of its machines is there",
        "`kubitect apply` with its file makes them",
    ]);
    env.run(&["stop", "demo", "--auto-approve"])
        .code(0)
        .tells(&["demo: no machine of it is on"]);
    for (command, code) in [("start", 1), ("stop", 0)] {
        let said = env.run(&[command, "demo", "-o", "json"]).code(code);
        let first = said.stdout.lines().next().unwrap_or_default();
        assert!(first.contains(r#""type":"plan""#), "{said:?}");
        assert!(first.contains("demo-master-1 is not there"), "{said:?}");
    }
}
