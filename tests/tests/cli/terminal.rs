//! At a terminal: colours, and the question before anything is done.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::env::{KUBITECT, Said, TestEnv};
use crate::trust::finished;

/// Runs the program on a terminal, by util-linux' `script`, and types `typed`. All output is on stdout.
pub fn at_terminal(env: &TestEnv, args: &str, variables: &[(&str, &str)], typed: &str) -> Said {
    let mut command = Command::new("script");
    let line = format!("exec '{KUBITECT}' {args}");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    env.dress(&mut command);
    command
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh");
    command.envs(variables.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("`script` of util-linux is installed");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let said = env.said(child.wait_with_output().unwrap());
    drop(stdin);
    said
}

#[test]
fn colours_only_where_they_are_wanted() {
    let env = TestEnv::new();
    env.write(
        "wrong.yaml",
        include_str!("../../fixtures/invalid/cidr.yaml"),
    );
    let colours = |args: &str, variables: &[(&str, &str)]| {
        let said = at_terminal(&env, args, variables, "").code(2);
        assert!(said.stdout.contains("cluster.network.cidr"), "{said:?}");
        said.stdout.contains('\x1b')
    };
    let validate = "validate -c wrong.yaml";
    assert!(colours(validate, &[]));
    assert!(colours(validate, &[("NO_COLOR", "")]));
    assert!(!colours(validate, &[("NO_COLOR", "1")]));
    assert!(!colours("--no-color validate -c wrong.yaml", &[]));
    assert!(!colours("validate -c wrong.yaml --no-color", &[]));
    // Mistakes on the command line, too.
    let mistake = |args: &str| {
        at_terminal(&env, args, &[], "")
            .code(2)
            .stdout
            .contains('\x1b')
    };
    assert!(mistake("aply"));
    assert!(!mistake("--no-color aply"));
    assert!(!mistake("aply --no-color"));
    assert!(
        !env.run(&["validate", "-c", "wrong.yaml"])
            .stderr
            .contains('\x1b')
    );
}

#[test]
fn what_developers_see_is_on_stderr_and_plain_in_a_file() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let quiet = env.run(&["plan", "-c", "cluster.yaml"]).code(4);
    assert!(!quiet.stderr.contains("DEBUG"), "{quiet:?}");
    let said = env
        .run(&["--debug", "plan", "-c", "cluster.yaml"])
        .code(4)
        .tells(&["DEBUG"]);
    assert!(!said.stderr.contains('\x1b'), "{said:?}");
    assert_eq!(said.stdout, quiet.stdout);
}

#[test]
fn init_asks_again_after_an_answer_that_does_not_fit() {
    let env = TestEnv::new();
    let typed = "minimul\nminimal\nNo!\nmine\n";
    let said = at_terminal(&env, "init", &[], typed).code(0);
    for told in ["did you mean `minimal`?", "kubitect.yaml: written"] {
        assert!(said.stdout.contains(told), "{said:?}");
    }
    assert_eq!(said.stdout.matches("The cluster's name?").count(), 2);
    let file = std::fs::read_to_string(env.path("here/kubitect.yaml")).unwrap();
    assert!(file.contains("name: mine"), "{file}");
    // Ctrl-D is no answer.
    let env = TestEnv::new();
    let said = at_terminal(&env, "init", &[], "minimul\n\x04").code(3);
    let none = "ended without an answer";
    assert!(said.stdout.contains(none), "{said:?}");
    assert!(!env.path("here/kubitect.yaml").exists());
}

#[test]
fn only_yes_is_a_yes() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    for answer in ["no\n", "y\n", "\n", "\x04"] {
        let said = at_terminal(&env, "apply -c cluster.yaml", &[], answer).code(3);
        assert!(said.stdout.contains("Only `yes` is a yes"), "{said:?}");
        assert!(said.stdout.contains("nothing was changed"), "{said:?}");
        assert_eq!(env.home_tree(), ["clusters/"]);
    }
    // The image does not exist, so the run ends with its first step.
    let said = at_terminal(&env, "apply -c cluster.yaml", &[], "yes\n").code(1);
    assert!(said.stdout.contains("[DIR]/image.qcow2"), "{said:?}");
    assert!(env.in_home("clusters/demo/config/kubitect.yaml").is_file());
}

#[test]
fn what_loses_data_is_approved_by_the_clusters_name() {
    for answer in ["yes\n", "\n", "dem\n"] {
        let env = finished();
        let said = at_terminal(&env, "destroy demo", &[], answer).code(3);
        assert!(said.stdout.contains("Only `demo` is a yes"), "{said:?}");
        assert!(env.in_home("clusters/demo").exists());
    }
    let env = finished();
    at_terminal(&env, "destroy demo", &[], "demo\n").code(0);
    assert!(!env.in_home("clusters/demo").exists());
}

/// The file is read from stdin; the question is asked on the terminal all the same.
#[test]
fn a_file_from_stdin_is_asked_about_on_the_terminal() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let said = at_terminal(&env, "apply -c - <cluster.yaml", &[], "no\n").code(3);
    assert!(said.stdout.contains("Only `yes` is a yes"), "{said:?}");
    assert!(said.stdout.contains("nothing was changed"), "{said:?}");
    let said = at_terminal(&env, "apply -c - <cluster.yaml", &[], "yes\n").code(1);
    assert!(said.stdout.contains("[DIR]/image.qcow2"), "{said:?}");
}
