//! `validate`: its text, its JSON, its exit codes.

use serde_json::json;

use crate::env::TestEnv;

const WRONG: &str = include_str!("../../fixtures/invalid/cidr.yaml");
const DOUBTFUL: &str = include_str!("../../fixtures/valid/warnings.yaml");
const RIGHT: &str = include_str!("../../../examples/multi-master.yaml");

fn env() -> TestEnv {
    let env = TestEnv::new();
    env.write("wrong.yaml", WRONG);
    env.write("doubtful.yaml", DOUBTFUL);
    env.write("right.yaml", RIGHT);
    env
}

#[test]
fn a_valid_file() {
    let said = env().run(&["validate", "-c", "right.yaml"]).code(0);
    assert_eq!(said.stderr, "");
    said.prints("right.yaml: valid\n");
}

#[test]
fn a_problem_is_shown_where_it_stands_and_with_its_help() {
    let said = env().run(&["validate", "--config", "wrong.yaml"]).code(2);
    assert_eq!(
        said.stderr,
        "\
error[cidr]: cluster.network.cidr: `192.168.113.0` is not a range of IPv4 addresses
 --> wrong.yaml:9:11
  |
9 |     cidr: 192.168.113.0
  |           ^^^^^^^^^^^^^
  |
help: write it as 192.168.113.0/24

"
    );
    said.prints("");
}

#[test]
fn warnings_do_not_make_a_file_invalid() {
    env()
        .run(&["validate", "-c", "doubtful.yaml"])
        .code(0)
        .prints("doubtful.yaml: valid\n")
        .tells(&["warning[image-unchecked]", "warning[port-target-empty]"]);
}

#[test]
fn of_several_files_each_is_judged() {
    let files = ["doubtful.yaml", "wrong.yaml", "right.yaml"];
    let env = env();
    env.run(&["validate", "-c", files[0], files[1], files[2]])
        .code(2)
        .prints("doubtful.yaml: valid\nright.yaml: valid\n")
        .tells(&["doubtful.yaml:11:15", "wrong.yaml:9:11"]);
    // One option for each file has the same effect.
    env.run(&["validate", "-c", files[0], "-c", files[2]])
        .code(0)
        .prints("doubtful.yaml: valid\nright.yaml: valid\n");
}

#[test]
fn json_is_one_object_of_what_others_rely_on() {
    let said = env()
        .run(&[
            "validate",
            "-o",
            "json",
            "-c",
            "wrong.yaml",
            "doubtful.yaml",
        ])
        .code(2);
    assert_eq!(said.stderr, "");
    let all = said.json();
    assert_eq!(all["formatVersion"], 1);
    assert_eq!(all["unreadable"], json!([]));
    let all = all["problems"].as_array().unwrap();
    assert_eq!(
        all[0],
        json!({
            "file": "wrong.yaml",
            "line": 9,
            "column": 11,
            "path": "cluster.network.cidr",
            "severity": "error",
            "code": "cidr",
            "message": "`192.168.113.0` is not a range of IPv4 addresses",
            "help": "write it as 192.168.113.0/24",
        })
    );
    assert!(all.len() > 3, "{all:?}");
    for problem in &all[1..] {
        let keys: Vec<_> = problem.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "file", "line", "column", "path", "severity", "code", "message", "help"
            ]
        );
        assert_eq!(problem["file"], "doubtful.yaml");
        assert_eq!(problem["severity"], "warning");
    }
    let paths: Vec<_> = all.iter().map(|problem| &problem["path"]).collect();
    assert_eq!(paths[3], "cluster.nodes.loadBalancer.instances[1].priority");
}

#[test]
fn json_of_files_without_errors() {
    let env = env();
    let said = env.run(&["validate", "-o", "json", "-c", "doubtful.yaml"]);
    assert!(
        !said.code(0).json()["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let said = env.run(&["validate", "-o", "json", "-c", "right.yaml"]);
    assert_eq!(
        said.code(0).json(),
        json!({"formatVersion": 1, "problems": [], "unreadable": []})
    );
}

#[test]
fn a_file_may_come_from_stdin() {
    let env = TestEnv::new();
    env.run_with(RIGHT, &["validate", "-c", "-"]).code(0);
    env.run_with(WRONG, &["validate", "-c", "-"])
        .code(2)
        .tells(&["<stdin>:9:11"]);
    let said = env.run_with(WRONG, &["validate", "-o", "json", "-c", "-"]);
    assert_eq!(said.code(2).json()["problems"][0]["file"], "<stdin>");
    env.run_with(RIGHT, &["validate", "-c", "-"])
        .code(0)
        .prints("<stdin>: valid\n");
}

#[test]
fn a_file_that_can_t_be_read_is_a_failure_and_no_problem_of_the_file() {
    let env = env();
    env.run(&["validate", "-c", "missing.yaml"])
        .code(1)
        .prints("")
        .tells(&["failed to read missing.yaml", "No such file"]);
    env.run(&["validate", "-c", "."])
        .code(1)
        .tells(&["failed to read .", "it is a folder; name a file in it"]);
    // The files after it are checked all the same.
    let files = ["-c", "right.yaml", "missing.yaml", "wrong.yaml"];
    env.run(&[&["validate"][..], &files].concat())
        .code(2)
        .prints("right.yaml: valid\n")
        .tells(&["failed to read missing.yaml", "wrong.yaml:9:11"]);
    let said = env.run(&[&["validate", "-o", "json"][..], &files].concat());
    let json = said.code(2).json();
    assert_eq!(json["unreadable"][0]["file"], "missing.yaml");
    assert_eq!(json["problems"][0]["code"], "cidr");
}

#[test]
fn what_is_no_configuration_at_all() {
    let env = TestEnv::new();
    for (text, code) in [
        (&b""[..], "empty"),
        (b"\xff\xfe", "not-text"),
        (b"- a\n- b\n", "wrong-type"),
        (b"hosts:\n\t- name: x\n", "yaml-tab"),
    ] {
        env.write("odd.yaml", text);
        let said = env
            .run(&["validate", "-o", "json", "-c", "odd.yaml"])
            .code(2);
        assert_eq!(said.json()["problems"][0]["code"], code, "{said:?}");
        env.run(&["validate", "-c", "odd.yaml"]).code(2).tells(&[
            &format!("error[{code}]"),
            "odd.yaml",
            "help: ",
        ]);
    }
    env.write("large.yaml", vec![b'#'; 10 << 20]);
    env.run(&["validate", "-c", "large.yaml"])
        .code(2)
        .tells(&["error[file-too-large]: the file is 10.0 MiB long"]);
}

#[test]
fn the_site_file_is_checked_too() {
    let env = env();
    std::fs::create_dir(env.in_home("")).unwrap();
    std::fs::write(env.in_home("site.yaml"), "virtTyp: kvm\n").unwrap();
    env.run(&["validate", "-c", "right.yaml"])
        .code(2)
        .tells(&["site.yaml:1:1", "did you mean `virtType`?"]);
}

#[test]
fn without_a_name_it_is_the_file_in_this_folder() {
    let env = env();
    for command in [&["validate"][..], &["plan"], &["render", "--out", "out"]] {
        env.run(command)
            .code(1)
            .tells(&["failed to read kubitect.yaml", "`kubitect init` writes one"]);
    }
    env.write("kubitect.yaml", RIGHT);
    env.run(&["validate"])
        .code(0)
        .prints("kubitect.yaml: valid\n");
}
