//! Programs, waits with deadlines, and what libvirt holds.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The folder that the lab's site file lies in.
pub fn home() -> PathBuf {
    PathBuf::from(
        std::env::var("KUBITECT_HOME")
            .expect("KUBITECT_HOME names the lab's folder: run tests/all.sh"),
    )
}

/// The program under test. In the lab it and Ansible share the hosts' own processors, and give way to the machines.
pub fn kubitect(args: &[&str]) -> Command {
    let mut command = Command::new("nice");
    command
        .args(["-n", "10", env!("CARGO_BIN_EXE_kubitect-under-test")])
        .args(args)
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lie in the workspace")
}

/// Runs the program until it passes this point for the n-th time, from 0 on, and is killed there with SIGKILL.
pub fn kill_at_point(args: &[&str], (point, n): (&str, usize)) {
    println!("$ kubitect {args:?}  # killed at {point}, {n}");
    let own = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(own)
        .args(["program::program", "--exact", "--ignored", "--nocapture"])
        .env(crate::program::ARGUMENTS, args.join("\n"))
        .env(crate::program::POINT, format!("{point} {n}"))
        .current_dir(root())
        .stdin(Stdio::null())
        .spawn()
        .expect("the program starts");
    let end = Instant::now() + Duration::from_secs(15 * 60);
    let status = loop {
        match child.try_wait().expect("the program can be waited for") {
            Some(status) => break status,
            None if Instant::now() > end => {
                end_child(&mut child);
                panic!("{point} was not passed within 15 min");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert_eq!(status.signal(), Some(9), "killed at {point}, {n}");
}

/// Runs to the end and shows what was said; panics unless the exit code is `code`.
pub fn expect(mut command: Command, code: i32) -> Output {
    let began = Instant::now();
    let output = command.output().expect("the program starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    println!(
        "$ {command:?}\n{out}{err}[exit {:?} after {:.1?}]",
        output.status.code(),
        began.elapsed()
    );
    assert_eq!(output.status.code(), Some(code), "exit code of {command:?}");
    output
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// stdout of a program that must end well.
pub fn stdout(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs `command` until a line on stderr contains `mark`, then kills it with SIGKILL; false if it ended before.
pub fn kill_at(mut command: Command, mark: &str, deadline: Duration) -> bool {
    println!("$ {command:?}  # killed at `{mark}`");
    let mut child = command
        .stdout(Stdio::inherit())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    let (lines, seen) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            println!("{line}");
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + deadline;
    let found = loop {
        match seen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(mark) => break true,
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                end_child(&mut child);
                panic!("no line with `{mark}` within {deadline:?}");
            }
        }
    };
    end_child(&mut child);
    drop(seen);
    reader.join().expect("the reader ends with the program");
    println!("[killed: {found}]");
    found
}

fn end_child(child: &mut Child) {
    let _ = child.kill();
    child.wait().expect("the killed program can be waited for");
}

/// Waits until `done` says so; panics with its last words after `deadline`.
pub fn wait_for(
    what: &str,
    deadline: Duration,
    mut done: impl FnMut() -> Result<(), String>,
) -> Duration {
    let began = Instant::now();
    loop {
        match done() {
            Ok(()) => {
                println!("{what}: after {:.0?}", began.elapsed());
                return began.elapsed();
            }
            Err(last) if began.elapsed() > deadline => {
                panic!("{what}: not within {deadline:?}; last: {last}")
            }
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

/// All that libvirt holds, one line each: domains, networks, pools, volumes, and what lies in the pools' parent folder.
pub fn inventory() -> Vec<String> {
    let names = |args: &[&str]| -> Vec<String> {
        stdout("virsh", args)
            .lines()
            .map(|l| l.trim().to_owned())
            .filter(|l| !l.is_empty())
            .collect()
    };
    let mut all = Vec::new();
    for (kind, args) in [
        ("domain", &["list", "--all", "--name"][..]),
        ("network", &["net-list", "--all", "--name"]),
        ("pool", &["pool-list", "--all", "--name"]),
    ] {
        all.extend(names(args).into_iter().map(|name| format!("{kind} {name}")));
    }
    for pool in names(&["pool-list", "--name"]) {
        stdout("virsh", &["pool-refresh", &pool]);
        all.extend(
            stdout("virsh", &["vol-list", &pool])
                .lines()
                .skip(2)
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .map(|volume| format!("volume {pool}: {volume}")),
        );
    }
    files(Path::new("/var/lib/libvirt/images"), &mut all);
    all.sort();
    all
}

fn files(dir: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        all.push(format!("file {}", entry.path().display()));
        if entry.path().is_dir() {
            files(&entry.path(), all);
        }
    }
}
