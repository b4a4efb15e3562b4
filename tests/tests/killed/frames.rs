//! A run as people see it: the screens of terminals of several widths while it works and when it has ended, and the output in a
//! pipe. The terminal is tmux; the cluster is that of `examples/multi-master.yaml`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::example::EXAMPLE;
use tests::terminal::{TIMEOUT, Terminal};

use crate::pages::of_the_world;
use crate::program::{HANG, hangs};
use crate::stage::{Stage, scratch};

pub fn all() {
    for columns in [60, 80, 120] {
        a_whole_run(columns);
    }
    made_narrower();
    through_a_pipe();
}

/// A world with the example in `cluster.yaml`, and a folder of clusters whose path is short.
fn stage(scratch: &std::path::Path) -> Stage {
    let stage = Stage::new(scratch);
    let image = scratch.join("image.qcow2");
    let site = format!("images:\n  ubuntu22: {{source: {}}}\n", image.display());
    fs::create_dir(stage.folder.join("k")).unwrap();
    fs::write(stage.folder.join("k/site.yaml"), site).unwrap();
    fs::write(stage.folder.join("cluster.yaml"), of_the_world(EXAMPLE)).unwrap();
    stage
}

/// The program in that world.
fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.command(arguments);
    command
        .current_dir(&stage.folder)
        .env("KUBITECT_HOME", "k")
        .env("TERM", "xterm-256color");
    command
}

/// A terminal with an `apply` that hangs at the point `holds`.
fn open(stage: &Stage, columns: usize, holds: &str) -> Terminal {
    let own = std::env::current_exe().unwrap();
    let line = format!(
        "trap : INT; '{}' apply --config cluster.yaml; echo \"exit $?\"; exec sleep 600",
        own.display()
    );
    let mut command = command(stage, &[]);
    command.env(HANG, holds);
    Terminal::open(&command, columns, &line)
}

/// Lets a program that hangs go on.
fn goes_on(stage: &Stage) {
    fs::remove_file(hangs(&stage.folder)).unwrap();
}

/// Answers the question with yes.
fn says_yes(terminal: &Terminal) {
    terminal.types("yes");
    terminal.presses("Enter");
}

/// The text with the digits of times as zeros, and without blanks at ends of lines.
fn timeless(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == ':';
    let is_time = |word: &str| word.contains(':') && !word.ends_with(':');
    let is_stamp = |word: &str| word.len() >= 6;
    let mut all = String::new();
    for line in text.lines() {
        let mut rest = line.trim_end();
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            all += before;
            match is_time(word) || is_stamp(word) {
                true => all.extend(word.chars().map(|c| if c == ':' { c } else { '0' })),
                false => all += word,
            }
            rest = after;
        }
        all += rest;
        all.push('\n');
    }
    format!("{}\n", all.trim_end())
}

/// No line continues in the next row, except one with a word that has to be copied whole, as a path.
fn fits(history: &str, columns: usize) {
    for line in history.lines().map(str::trim_end) {
        let longest = line.split(' ').map(|word| word.chars().count()).max();
        let whole = longest.is_some_and(|longest| longest + 8 > columns);
        let fits = line.chars().count() <= columns;
        assert!(fits || whole, "{columns}: {line}\n{history}");
    }
}

/// The clock of the block runs: each second of a wait is shown.
fn changes(terminal: &Terminal) {
    let was = terminal.screen();
    terminal.once(|screen| screen != was);
}

/// The screen below the question that was answered.
fn after_the_question(history: &str) -> &str {
    let (_, after) = history.split_once("Only `yes` is a yes: yes").unwrap();
    after.trim_start_matches([' ', '\n'])
}

fn a_whole_run(columns: usize) {
    let scratch = scratch();
    let stage = stage(scratch.path());
    let terminal = open(&stage, columns, "boot,ansible");
    let frame = |name: &str, text: &str| {
        let text = timeless(text).replace(stage.folder.to_str().unwrap(), "/world");
        insta::assert_snapshot!(format!("{columns}_{name}"), text);
    };
    terminal.once_it_says("yes` is a yes");
    frame("asks", &terminal.history());
    fits(&terminal.history(), columns);
    says_yes(&terminal);
    terminal.once_it_says("SSH does");
    frame("boots", after_the_question(&terminal.history()));
    changes(&terminal);
    goes_on(&stage);
    terminal.once_it_says("task 2");
    frame("plays", after_the_question(&terminal.history()));
    changes(&terminal);
    goes_on(&stage);
    let last = terminal.once_it_says("\nexit ");
    assert!(last.contains("\nexit 0"), "{last}");
    let history = terminal.history();
    frame("ends", after_the_question(&history));
    fits(&history, columns);
    drop(terminal);
    stage.end();
}

/// A terminal that is made narrower wraps the lines on it: they are redrawn all the same.
fn made_narrower() {
    let scratch = scratch();
    let stage = stage(scratch.path());
    let terminal = open(&stage, 100, "boot");
    terminal.once_it_says("yes` is a yes");
    says_yes(&terminal);
    terminal.once_it_says("SSH does");
    let whole = |history: &str| {
        let blocks = history.matches("phase 1 of ").count();
        blocks == 1 && history.matches("  wait for ").count() == 7
    };
    for columns in [45, 100, 60] {
        terminal.resize(columns);
        changes(&terminal);
        let end = Instant::now() + TIMEOUT;
        while !whole(&terminal.history()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(whole(&terminal.history()), "{}", terminal.history());
    }
    terminal.presses("C-c");
    goes_on(&stage);
    terminal.once_it_says("\nexit 130");
    let history = terminal.history();
    assert!(!history.contains("  wait for "), "{history}");
    let times = history.matches(": make machines").count();
    assert!(times <= 1, "{history}");
    drop(terminal);
    stage.end();
}

/// All lines, none of which is redrawn; the order in which machines are done is not fixed.
fn through_a_pipe() {
    let scratch = scratch();
    let stage = stage(scratch.path());
    let arguments = ["apply", "--auto-approve", "--config", "cluster.yaml"];
    let output = command(&stage, &arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(['\x1b', '\r']), "{said:?}");
    for node in ["lb-1", "master-3", "worker-3"] {
        let done = format!(" create domain local-k8s-cluster-{node} on localhost: done");
        assert!(said.contains(&done), "no `{done}` in {said}");
    }
    let is_phase = |line: &&str| line.contains(" phase ") || line.starts_with("  ");
    let steps = |line: &&str| line.contains(": done") && !line.contains(" phase ");
    let plan = &said[said.find("  + network").unwrap()..];
    let lines: Vec<_> = plan
        .lines()
        .filter(|line| is_phase(line) && !steps(line))
        .collect();
    let text = timeless(&lines.join("\n")).replace(stage.folder.to_str().unwrap(), "/world");
    insta::assert_snapshot!("pipe", text);
    stage.end();
}
