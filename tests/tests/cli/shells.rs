//! Completion in the shells themselves, set up as the pages say: a person types a part of a word and presses Tab.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use tests::terminal::Terminal;

use crate::env::{KUBITECT, TestEnv};

/// A cluster `demo`, and the program as `kubitect` on the path.
fn env() -> (TestEnv, Command) {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    fs::create_dir(env.path("bin")).unwrap();
    symlink(KUBITECT, env.path("bin/kubitect")).unwrap();
    let mut command = env.command(&[]);
    let path = format!("{}:{}", env.path("bin").display(), tests::checkers::PATH);
    command.env("PATH", path).env("TERM", "xterm-256color");
    (env, command)
}

/// Fails unless a shell that this line sets up completes words as it should.
fn completes(shell: &str, set_up: &str) {
    let (env, command) = env();
    fs::create_dir(env.path("here/functions")).unwrap();
    let script = env.run(&["completion", "zsh"]).code(0).stdout;
    env.write("functions/_kubitect", script);
    let terminal = Terminal::open(&command, 100, shell);
    // The line itself does not say so.
    terminal.types(&format!("{set_up}; echo rea''dy"));
    terminal.presses("Enter");
    terminal.once_it_says("\nready");
    for (begun, whole) in [
        ("kubitect destr", "kubitect destroy "),
        ("kubitect status --clus", "kubitect status --cluster "),
        ("kubitect stop d", "kubitect stop demo "),
        ("kubitect ssh demo-m", "kubitect ssh demo-master-1 "),
        ("kubitect plan --output j", "kubitect plan --output json "),
        (
            "kubitect init --preset mi",
            "kubitect init --preset minimal ",
        ),
        (
            "kubitect render --out func",
            "kubitect render --out functions/",
        ),
    ] {
        terminal.types(begun);
        terminal.presses("Tab");
        terminal.once_it_says(whole.trim_end());
        terminal.presses("C-u");
    }
}

#[test]
fn bash_completes() {
    completes("exec bash --norc", "source <(kubitect completion bash)");
}

#[test]
fn zsh_completes() {
    completes(
        "exec zsh -f",
        "autoload -U compinit; compinit -u -D; source <(kubitect completion zsh)",
    );
}

#[test]
fn zsh_completes_from_a_folder_of_functions() {
    completes(
        "exec zsh -f",
        "fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D",
    );
}

#[test]
fn fish_completes() {
    completes("exec fish -N", "kubitect completion fish | source");
}
