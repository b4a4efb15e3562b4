//! Help, version, completion, and mistakes on the command line.

use tests::checkers::said;

use crate::env::TestEnv;

const COMMANDS: [&str; 22] = [
    "graph",
    "support",
    "explain",
    "stop",
    "start",
    "console",
    "etcd",
    "init",
    "ssh",
    "logs",
    "versions",
    "version",
    "doctor",
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
            "[PLAN]",
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
            "--out <PLAN>",
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
    let timeouts = [
        "--boot-timeout <TIME>",
        "--drain-timeout <TIME>",
        "--ready-timeout <TIME>",
    ];
    help(&["apply"], &timeouts);
    help(
        &["stop"],
        &["[CLUSTER]", "--timeout <TIME>", "--auto-approve"],
    );
    help(&["start"], &["[CLUSTER]", "-o, --output <OUTPUT>"]);
    help(&["console"], &["<NODE>", "--cluster <NAME>", "--log"]);
    help(&["etcd"], &["snapshot"]);
    help(&["etcd", "snapshot"], &["[CLUSTER]", "--out <FILE>"]);
    help(&["status"], &["--wait[=<TIME>]"]);
    help(
        &["destroy"],
        &[
            "Usage: kubitect destroy [OPTIONS] <CLUSTER>",
            "it has to be said here",
            "--cluster <NAME>",
            "--auto-approve",
        ],
    );
    help(&["versions"], &["without one, all releases are listed"]);
    help(&["graph"], &["instead of what a file asks for"]);
    help(
        &["etcd", "snapshot"],
        &["Examples:\n  kubitect etcd snapshot demo\n"],
    );
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

/// The completions of a shell after these words, of which the last one is unfinished.
fn completed(env: &TestEnv, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = env.command(&["--"]);
    command.args(words);
    command
        .env("COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n");
    let said = env.said(command.output().unwrap()).code(0);
    // Some shells show a description of each, too.
    let name = |line: &str| line.split([':', '\t']).next().unwrap().to_owned();
    said.stdout.lines().map(name).collect()
}

#[test]
fn shells_complete_commands_options_and_clusters() {
    let env = TestEnv::new();
    for name in ["demo", "other"] {
        std::fs::create_dir_all(env.in_home(&format!("clusters/{name}/config"))).unwrap();
    }
    for shell in ["bash", "zsh", "fish"] {
        let complete = |words: &[&str]| completed(&env, shell, words);
        assert_eq!(complete(&["kubitect", "va"]), ["validate"], "{shell}");
        assert_eq!(
            complete(&["kubitect", "apply", "--auto"]),
            ["--auto-approve"]
        );
        assert_eq!(complete(&["kubitect", "export", "kube"]), ["kubeconfig"]);
        assert_eq!(complete(&["kubitect", "plan", "--output", "j"]), ["json"]);
        env.write("a-file", "");
        assert_eq!(
            complete(&["kubitect", "status", "--cluster", ""]),
            ["demo", "other"]
        );
        assert_eq!(complete(&["kubitect", "destroy", "d"]), ["demo"]);
        assert_eq!(complete(&["kubitect", "stop", "o"]), ["other"]);
        let presets = complete(&["kubitect", "init", "--preset", "mi"]);
        assert_eq!(presets, ["minimal"], "{shell}");
    }
}

#[test]
fn shells_complete_machines_and_the_folder_that_the_line_names() {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    let elsewhere = env.path("elsewhere");
    std::fs::create_dir_all(elsewhere.join("clusters/third/config")).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let all = ["demo-lb-1", "demo-master-1", "demo-worker-1"];
    for shell in ["bash", "zsh", "fish"] {
        let complete = |words: &[&str]| completed(&env, shell, words);
        for command in ["ssh", "console"] {
            let mut offered = complete(&["kubitect", command, ""]);
            offered.retain(|word| !word.starts_with('-'));
            assert_eq!(offered, all, "{shell}");
            assert_eq!(
                complete(&["kubitect", command, "demo-m"]),
                ["demo-master-1"]
            );
        }
        let words = ["kubitect", "--home", elsewhere, "status", "--cluster", ""];
        assert_eq!(complete(&words), ["third"], "{shell}");
    }
}

#[test]
fn bash_takes_the_script_and_asks_the_program() {
    let env = TestEnv::new();
    env.write("script", env.run(&["completion", "bash"]).code(0).stdout);
    std::fs::create_dir_all(env.in_home("clusters/demo/config")).unwrap();
    std::os::unix::fs::symlink(crate::env::KUBITECT, env.path("kubitect-bin")).unwrap();
    let ask = format!(
        "source '{}'; kubitect() {{ \"{}\" \"$@\"; }}; COMP_WORDS=(kubitect status --cluster d); COMP_CWORD=3; \
         _clap_complete_kubitect kubitect d --cluster; echo \"${{COMPREPLY[@]}}\"",
        env.path("here/script").display(),
        env.path("kubitect-bin").display(),
    );
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &ask]);
    env.dress(&mut bash);
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "demo");
}

#[test]
fn there_is_a_script_for_each_shell_and_a_full_disk_is_an_error() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = env.run(&["completion", shell]).code(0);
        assert_eq!(said.stderr, "");
        assert!(said.stdout.contains("COMPLETE"), "{}", said.stdout);
        let mut command = env.command(&["completion", shell]);
        command.stdout(std::fs::File::create("/dev/full").unwrap());
        let said = env.said(
            command
                .stderr(std::process::Stdio::piped())
                .output()
                .unwrap(),
        );
        said.code(1).tells(&["failed to write to stdout"]);
    }
    env.run(&["completion", "tcsh"])
        .code(2)
        .tells(&["bash", "zsh", "fish"]);
}
