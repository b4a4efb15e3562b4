//! Help, version, completion, and mistakes on the command line.

use tests::checkers::{run, said};

use crate::env::TestEnv;

const COMMANDS: [&str; 9] = [
    "apply",
    "plan",
    "validate",
    "render",
    "destroy",
    "status",
    "list",
    "export",
    "completion",
];

#[test]
fn help_names_every_command_and_every_option() {
    let env = TestEnv::new();
    let help = |args: &[&str], parts: &[&str]| {
        let said = env.run(&[args, &["--help"]].concat()).code(0);
        assert_eq!(said.stderr, "");
        for part in parts
            .iter()
            .chain(&["--debug", "--no-color", "-l, --local", "-h, --help"])
        {
            assert!(said.stdout.contains(part), "no `{part}` in {}", said.stdout);
        }
    };
    help(&[], &COMMANDS);
    help(
        &[],
        &[
            "Kubernetes clusters on libvirt hosts, from one YAML file",
            "--version",
        ],
    );
    help(
        &["apply"],
        &[
            "-c, --config <FILE>",
            "-a, --action <ACTION>",
            "create",
            "scale",
            "upgrade",
            "--auto-approve",
        ],
    );
    help(
        &["plan"],
        &[
            "-c, --config <FILE>",
            "-o, --output <OUTPUT>",
            "text",
            "json",
            "exit 0: nothing, 4: changes",
        ],
    );
    help(
        &["validate"],
        &["-c, --config <FILE>...", "-o, --output <OUTPUT>"],
    );
    help(&["render"], &["-c, --config <FILE>", "--out <DIR>"]);
    help(&["destroy"], &["--cluster <NAME>", "--auto-approve"]);
    help(&["status"], &["--cluster <NAME>", "-o, --output <OUTPUT>"]);
    help(&["list"], &["clusters", "presets"]);
    help(&["export"], &["config", "kubeconfig", "preset", "schema"]);
    help(&["export", "preset"], &["--name <NAME>", "minimal"]);
    help(&["export", "schema"], &["--site"]);
    help(&["export", "kubeconfig"], &["--cluster <NAME>"]);
    help(&["completion"], &["<SHELL>", "bash", "zsh", "fish"]);
}

#[test]
fn the_version() {
    TestEnv::new().run(&["--version"]).code(0).prints(concat!(
        "kubitect ",
        env!("CARGO_PKG_VERSION"),
        "\n"
    ));
}

#[test]
fn mistakes_show_the_usage() {
    let env = TestEnv::new();
    env.run(&[])
        .code(2)
        .tells(&["Usage: kubitect [OPTIONS] <COMMAND>"]);
    env.run(&["aply"])
        .code(2)
        .tells(&["a similar subcommand exists: 'apply'"]);
    env.run(&["apply"]).code(2).tells(&["--config <FILE>"]);
    env.run(&["apply", "-c", "x", "-a", "shrink"])
        .code(2)
        .tells(&["[possible values: create, scale, upgrade]"]);
    env.run(&["plan", "-c", "x", "--output", "xml"])
        .code(2)
        .tells(&["[possible values: text, json]"]);
    env.run(&["render", "-c", "x"])
        .code(2)
        .tells(&["--out <DIR>"]);
}

#[test]
fn bash_completes_commands_and_options() {
    let env = TestEnv::new();
    env.write("script", env.run(&["completion", "bash"]).code(0).stdout);
    let script = env.path("work/script");
    let complete = |words: &str| {
        let ask = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _kubitect kubitect \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = run("bash", &["--norc", "-c", &ask]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("kubitect va"), "validate");
    assert_eq!(complete("kubitect apply --auto"), "--auto-approve");
    assert_eq!(complete("kubitect export kube"), "kubeconfig");
    assert_eq!(complete("kubitect plan --output j"), "json");
}

#[test]
fn completion_for_other_shells_knows_every_command() {
    let env = TestEnv::new();
    for (shell, begin) in [
        ("zsh", "#compdef kubitect"),
        ("fish", "# Print an optspec"),
        ("elvish", ""),
        ("powershell", ""),
    ] {
        let said = env.run(&["completion", shell]).code(0);
        assert_eq!(said.stderr, "");
        assert!(said.stdout.starts_with(begin), "{}", said.stdout);
        for command in COMMANDS.iter().chain(&["auto-approve", "kubeconfig"]) {
            assert!(said.stdout.contains(command), "{shell}: {command}");
        }
    }
    env.run(&["completion", "tcsh"])
        .code(2)
        .tells(&["bash", "zsh", "fish"]);
}
