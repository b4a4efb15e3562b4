//! Every JSON output is checked against its schema in `docs/output`: of each command that a test of this ring runs, and of each
//! in turn here.

use serde_json::Value;
use tests::outputs::{folder, judge_as};

use crate::env::TestEnv;

/// The schema of the JSON that these arguments ask for, if they do.
fn schema(args: &[&str]) -> Option<String> {
    let json = args.contains(&"json");
    let name = match (args.first().copied()?, args.get(1).copied()) {
        ("apply" | "destroy" | "stop" | "start", _) => "events".to_owned(),
        (first @ ("list" | "export" | "etcd"), Some(second)) => format!("{first}-{second}"),
        (first, _) => first.to_owned(),
    };
    (json && folder().join(format!("{name}.json")).exists()).then_some(name)
}

/// Fails unless the JSON that a command printed is valid by its schema.
#[track_caller]
pub fn judge(args: &[&str], stdout: &str) {
    if let Some(name) = schema(args) {
        judge_as(&name, stdout);
    }
}

#[test]
fn every_command_that_prints_has_json_with_a_schema() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env.write("bad.yaml", "hosts: []\nclustr: {}\n");
    let config = env.in_home("clusters/demo/config");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::create_dir_all(env.in_home("clusters/demo/logs")).unwrap();
    std::fs::write(config.join("kubitect-applied.yaml"), env.cluster()).unwrap();
    std::fs::write(
        env.in_home("clusters/demo/logs/20260102T030405Z-apply.log"),
        "x\n",
    )
    .unwrap();
    let commands: [&[&str]; 20] = [
        &["version", "-o", "json"],
        &["versions", "-o", "json"],
        &["versions", "demo", "-o", "json"],
        &["doctor", "-o", "json"],
        &["explain", "-o", "json"],
        &["explain", "missing", "-o", "json"],
        &["list", "clusters", "-o", "json"],
        &["list", "presets", "-o", "json"],
        &["list", "nodes", "demo", "-o", "json"],
        &["logs", "demo", "-o", "json"],
        &["init", "new.yaml", "-o", "json"],
        &["validate", "-c", "new.yaml", "-o", "json"],
        &["validate", "-c", "bad.yaml", "nope.yaml", "-o", "json"],
        &[
            "render",
            "-c",
            "cluster.yaml",
            "--out",
            "files",
            "-o",
            "json",
        ],
        &["export", "man", "--out", "man", "-o", "json"],
        &["graph", "-c", "cluster.yaml", "--format", "json"],
        &["graph", "demo", "--format", "json"],
        &["plan", "-c", "cluster.yaml", "-o", "json"],
        &["status", "demo", "-o", "json"],
        &[
            "apply",
            "-c",
            "cluster.yaml",
            "--auto-approve",
            "-o",
            "json",
        ],
    ];
    let mut used = std::collections::BTreeSet::new();
    for args in commands {
        // It is checked as each output is.
        let said = env.run(args);
        assert!(!said.stdout.is_empty(), "{args:?}: {said:?}");
        let first: Value = serde_json::from_str(said.stdout.lines().next().unwrap())
            .or_else(|_| serde_json::from_str(&said.stdout))
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {said:?}"));
        // The schema names the version.
        assert!(first["formatVersion"].is_u64(), "{args:?}");
        used.insert(schema(args).unwrap_or_else(|| panic!("{args:?} has no schema")));
    }
    let saved = ["plan", "-c", "cluster.yaml", "--out", "saved.json"];
    env.run(&saved).code(4);
    let saved = std::fs::read_to_string(env.path("here/saved.json"));
    judge_as("plan-saved", &saved.unwrap());
    used.insert("plan-saved".to_owned());
    // Outputs of commands that need machines: this is printed, with its version.
    let snapshot = ["etcd", "snapshot", "-o", "json"];
    let saved = serde_json::json!({"formatVersion": 1, "file": "/x/etcd.db", "bytes": 7, "sha256": "0".repeat(64)});
    judge(&snapshot, &saved.to_string());
    used.insert(schema(&snapshot).unwrap());
    let schemas = std::fs::read_dir(folder()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    });
    assert_eq!(used, schemas.collect());
}

#[test]
fn what_a_schema_does_not_describe_is_noticed() {
    let caught = |args: &[&str], text: &str| {
        let (args, text) = (args.to_vec(), text.to_owned());
        std::panic::catch_unwind(|| judge(&args, &text)).is_err()
    };
    let version = r#"{"formatVersion":1,"kubitect":"0","kubernetes":"v1","kubespray":"v2"}"#;
    assert!(!caught(&["version", "-o", "json"], version));
    assert!(caught(
        &["version", "-o", "json"],
        &version.replace("kubitect", "kubitec")
    ));
    assert!(caught(
        &["version", "-o", "json"],
        &version.replace(":1,", ":2,")
    ));
    assert!(caught(
        &["apply", "-o", "json"],
        r#"{"formatVersion":1,"type":"line"}"#
    ));
}
