//! `plan`: reads, shows, and changes nothing; and libvirts that can't be read.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use crate::env::{KUBITECT, TestEnv};

#[test]
fn changes_are_told_and_not_made() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let before = env.tree();
    let text = env.run(&["plan", "-c", "cluster.yaml"]).code(4);
    // libvirt's test driver tells of 3 GiB.
    let memory = "warning: machines may use 6 GiB of memory";
    assert!(text.stderr.contains(memory), "{}", text.stderr);
    assert_eq!(
        text.stdout,
        "  + network demo-network, pool demo-main-resource-pool, pool kubitect-base-images, image debian12
  + demo-lb-1      main disk 8 GiB; 1 CPU, 2 GiB, qemu, 10.77.0.100; port 6443 to 1 master
  + demo-master-1  main disk 8 GiB; 1 CPU, 2 GiB, qemu, 10.77.0.11
  + demo-worker-1  main disk 8 GiB; 1 CPU, 2 GiB, qemu
  + nodes demo-master-1, demo-worker-1: Kubernetes v1.23.7 with Kubespray v2.19.0
demo: 3 to add
"
    );
    assert_eq!(env.tree(), before);
}

#[test]
fn json_is_one_object_of_what_others_rely_on() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let before = env.tree();
    let said = env.run(&["plan", "-c", "cluster.yaml", "--output", "json"]);
    let plan = said.code(4).json();
    assert_eq!(
        plan.as_object().unwrap().keys().collect::<Vec<_>>(),
        [
            "formatVersion",
            "cluster",
            "phases",
            "changes",
            "refused",
            "refusals",
            "notes",
            "findings"
        ]
    );
    assert_eq!(plan["cluster"], "demo");
    // libvirt's test driver tells of 3 GiB.
    let findings = plan["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        assert_eq!(
            finding.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["kind", "severity", "host", "machine", "message", "help"]
        );
        assert_eq!(finding["severity"], "warning");
    }
    let changes = plan["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 16);
    for change in changes {
        assert_eq!(
            change.as_object().unwrap().keys().collect::<Vec<_>>(),
            [
                "action",
                "kind",
                "name",
                "host",
                "disruption",
                "details",
                "destructive",
                "phase"
            ]
        );
    }
    assert_eq!(
        plan["phases"],
        json!(["make machines", "set up balancers", "set up Kubernetes"])
    );
    assert_eq!(plan["refused"], json!([]));
    assert_eq!(plan["refusals"], json!([]));
    assert_eq!(changes[15]["phase"], 3);
    assert_eq!(
        changes[10],
        json!({
            "action": "create",
            "kind": "domain",
            "name": "demo-lb-1",
            "host": "box",
            "disruption": "none",
            "details": "1 CPU, 2 GiB, qemu, 10.77.0.100",
            "destructive": false,
            "phase": 1,
        })
    );
    assert_eq!(env.tree(), before);
}

/// What would stop `apply`: the plan is shown, then the fault, and the exit code is that of a failure.
#[test]
fn a_host_that_is_not_fit_is_a_finding() {
    let env = TestEnv::new();
    env.write_cluster(|text| {
        text.replace("mode: nat", "mode: bridge\n    bridge: nobr7")
            .replace("ram: 2", "ram: 16384")
            .replace(
                "mainResourcePoolPath: ",
                "mainResourcePoolPath: /nonexistent",
            )
    });
    let before = env.tree();
    let parts = ["no bridge nobr7", "/nonexistent", "memory"];
    let said = env.run(&["plan", "-c", "cluster.yaml"]).code(1);
    assert!(said.stdout.contains("+ demo-master-1"), "{}", said.stdout);
    said.tells(&["failed to use the hosts as they are", parts[0], parts[1]]);
    let said = env.run(&["plan", "-c", "cluster.yaml", "--output", "json"]);
    let plan = said.code(1).json();
    let findings = plan["findings"].as_array().unwrap();
    for part in parts {
        let found = findings
            .iter()
            .find(|finding| finding["message"].as_str().unwrap().contains(part));
        let found = found.unwrap_or_else(|| panic!("no {part} in {findings:?}"));
        assert_eq!(found["host"], "box");
        assert!(!found["help"].as_str().unwrap().is_empty());
    }
    assert!(
        findings
            .iter()
            .any(|finding| finding["severity"] == "error")
    );
    assert_eq!(env.tree(), before);
}

#[test]
fn the_file_may_come_from_stdin() {
    let env = TestEnv::new();
    let said = env.run_with(&env.cluster(), &["plan", "-c", "-", "--output", "json"]);
    assert_eq!(said.code(4).json()["cluster"], "demo");
}

/// What `apply` prints for a saved plan that differs from the plan of now.
const STALE: &str = "the saved plan is not what would be done now, so nothing is:";

#[test]
fn a_plan_is_saved_for_its_owner_and_shown_when_it_is_applied() {
    let env = TestEnv::new();
    env.write_cluster(|text| text + "# hunter2\n");
    let before = env.home_tree();
    let save = ["plan", "-c", "cluster.yaml", "--out", "plan.json"];
    let shown = env
        .run(&save)
        .code(4)
        .tells(&["saved; `kubitect apply plan.json` does this"]);
    assert_eq!(env.home_tree(), before);
    let mode = env.path("here/plan.json").metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(env.path("here/plan.json")).unwrap();
    assert!(
        !text.contains("hunter2"),
        "the configuration's text is not in it: {text}"
    );
    // The current folder does not matter; the answer is no, as always without a terminal.
    let said = env.run(&["apply", "plan.json"]).code(3);
    assert!(said.stderr.contains(&shown.stdout), "{said:?}");
    // The image does not exist, so this ends with the first step.
    env.run(&["apply", "plan.json", "--auto-approve"])
        .code(1)
        .tells(&["phase 1 of 3: make machines", "[DIR]/image.qcow2"]);
}

#[test]
fn a_saved_plan_is_refused_when_anything_has_changed() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env.run(&["plan", "-c", "cluster.yaml", "--out", "plan.json"])
        .code(4);
    let apply = |parts: &[&str]| {
        let said = env.run(&["apply", "plan.json", "--auto-approve"]).code(2);
        said.tells(parts).tells(&[STALE, "plan again"]);
        assert!(!env.in_home("clusters/demo").exists(), "nothing is done");
    };
    env.write_cluster(|text| text.replace("- {id: 1}", "- {id: 1, ram: 3}\n        - {id: 2}"));
    apply(&[
        "the configuration has changed: [DIR]/here/cluster.yaml",
        "create domain demo-worker-1 on box: was `1 CPU, 2 GiB, qemu` [none], and is `1 CPU, 3 GiB, qemu` [none]",
        "to be done now, too: create domain demo-worker-2 on box",
    ]);
    // A comment is enough: the file is not the one that the plan was made of.
    env.write_cluster(|text| format!("# mine\n{text}"));
    apply(&["the configuration has changed"]);
    env.write_cluster(|text| text);
    env.write_site("timeouts: {boot: 19m}\n");
    apply(&["the site file has changed"]);
    std::fs::remove_file(env.in_home("site.yaml")).unwrap();
    // Another cluster's file.
    env.write(
        "other.yaml",
        env.cluster().replace("name: demo", "name: other"),
    );
    env.run(&["apply", "plan.json", "-c", "other.yaml"])
        .code(2)
        .tells(&[
            STALE,
            "it is of the cluster demo, and the configuration is of other",
        ]);
    // And now the file is as before.
    env.run(&["apply", "plan.json"]).code(3);
    std::fs::remove_file(env.path("here/cluster.yaml")).unwrap();
    env.run(&["apply", "plan.json"])
        .code(1)
        .tells(&["[DIR]/here/cluster.yaml"]);
}

#[test]
fn what_is_no_plan_is_neither_applied_nor_replaced() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let text = env.cluster();
    env.run(&["plan", "--out", "cluster.yaml", "-c", "cluster.yaml"])
        .code(1)
        .tells(&["what is there is no plan, and stays; name another file"]);
    env.run(&["plan", "-c", "cluster.yaml", "--out", "no/plan.json"])
        .code(1)
        .tells(&["its folder is not there"]);
    let said = env.run(&["apply", "cluster.yaml"]).code(1);
    said.tells(&["none that `kubitect plan --out` saved", "-c cluster.yaml"]);
    let said = env
        .run_with(&text, &["plan", "-c", "-", "--out", "plan.json"])
        .code(4);
    said.tells(&["`kubitect apply plan.json -c -`"]);
    env.run(&["apply", "plan.json"])
        .code(2)
        .tells(&["give that one again, with `-c -`"]);
    let said = env
        .run_with(&text, &["apply", "plan.json", "-c", "-"])
        .code(3);
    said.tells(&["+ demo-master-1"]);
    // A plan that can't be carried out is not saved.
    env.write_cluster(|text| text.replace("ram: 2", "ram: 16"));
    let refused = ["plan", "-c", "cluster.yaml", "--out", "unfit.json"];
    env.run(&refused).code(1);
    assert!(!env.path("here/unfit.json").exists());
}

#[test]
fn an_invalid_file_is_not_planned() {
    let env = TestEnv::new();
    env.write_cluster(|text| text.replace("mode: nat", "mode: nut"));
    env.run(&["plan", "-c", "cluster.yaml"])
        .code(2)
        .prints("")
        .tells(&[
            "did you mean `nat`?",
            "failed to use cluster.yaml: it has 1 error",
        ]);
}

/// The cluster on the libvirt behind this socket.
fn on_socket(env: &TestEnv, socket: &str) {
    let memory = format!("test://{}", env.path("node.xml").display());
    let uri = format!("qemu+unix:///system?socket={socket}");
    env.write_cluster(|text| text.replace(&memory, &uri));
    env.write_site(&format!("libvirtUris: [\"{uri}\"]\n"));
}

#[test]
fn a_libvirt_that_is_not_there() {
    let env = TestEnv::new();
    on_socket(&env, "/nonexistent/libvirt-sock");
    for args in [
        &["plan", "-c", "cluster.yaml"][..],
        &["apply", "-c", "cluster.yaml", "--auto-approve"],
    ] {
        env.run(args).code(1).prints("").tells(&[
            "failed to reach the hosts of demo",
            "libvirt on host box (qemu+unix:///system?(not shown))",
            "/nonexistent/libvirt-sock",
            "no libvirt answers at this URI; check connection.uri, and that libvirtd is installed and runs there",
        ]);
        assert_eq!(env.home_tree(), ["site.yaml"]);
    }
}

#[test]
fn a_libvirt_that_one_may_not_use_names_the_group() {
    let env = TestEnv::new();
    let socket = env.path("libvirt-sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o000)).unwrap();
    on_socket(&env, socket.to_str().unwrap());
    let args = ["plan", "-c", "cluster.yaml"];
    let mut command = env.command(&args);
    if rustix::process::geteuid().is_root() {
        // Root may use every socket. Another user has to be able to reach the folder and the program, too.
        std::fs::set_permissions(env.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        for own in ["kubitect", "kubitect/site.yaml"] {
            std::os::unix::fs::chown(env.path(own), Some(65534), Some(65534)).unwrap();
        }
        let program = env.path("kubitect-copy");
        std::fs::copy(KUBITECT, &program).unwrap();
        command = Command::new(program);
        command.args(args).uid(65534).gid(65534);
        env.dress(&mut command);
    }
    env.said(command.output().unwrap()).code(1).tells(&[
        "permission denied; add your account to the group `libvirt` on that host",
        "libvirt-sock': Permission denied",
    ]);
}
