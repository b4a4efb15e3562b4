//! A run as people and programs see it: on terminals, through a pipe, as events, and in its log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{KUBITECT, Said, TestEnv};
use crate::interrupt::silent_server;

const APPLY: [&str; 4] = ["apply", "-c", "cluster.yaml", "--auto-approve"];

/// A cluster whose image does not exist, so that a run ends in its first phase.
fn env() -> TestEnv {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env
}

fn apply(env: &TestEnv, more: &[&str]) -> Said {
    env.run(&[&APPLY, more].concat()).code(1)
}

#[test]
fn a_failure_says_where_it_was_and_what_comes_next() {
    let said = apply(&env(), &[]).tells(&[
        " phase 1 of 3: make machines",
        "stopped in make machines (phase 1 of 3)",
        "the same command goes on from here",
        "log: [DIR]/kubitect/clusters/demo/logs/",
        "kubitect: failed to fetch the image",
    ]);
    assert!(!said.stderr.contains('\x1b'), "{said:?}");
}

#[test]
fn quiet_is_errors_and_the_end() {
    let said = apply(&env(), &["-q"]).tells(&[
        "stopped in make machines (phase 1 of 3)",
        "failed to fetch the image",
    ]);
    assert_eq!(said.stderr.matches("phase 1 of 3").count(), 1, "{said:?}");
    assert!(!said.stderr.contains("get image"), "{said:?}");
    // With `--quiet` the sum of the plan; with a question the whole plan; the log has it in any case.
    let said = said.tells(&["demo: 3 to add"]);
    let said = said.withholds(&["+ demo-master-1"]);
    drop(said);
    let asked = env();
    asked
        .run(&["apply", "-c", "cluster.yaml", "-q"])
        .code(3)
        .tells(&["+ demo-master-1"]);
    env().run(&["-q", "-v", "list", "clusters"]).code(2);
}

#[test]
fn verbose_tells_of_steps_that_begin() {
    let begins = "get image [DIR]/image.qcow2 …";
    let usual = apply(&env(), &[]).tells(&["get image [DIR]/image.qcow2: failed"]);
    assert!(!usual.stderr.contains(begins), "{usual:?}");
    apply(&env(), &["-v"]).tells(&[begins]);
}

#[test]
fn the_log_is_complete() {
    let env = env();
    apply(&env, &["-q"]);
    let logs: Vec<_> = env
        .home_tree()
        .into_iter()
        .filter(|name| name.ends_with("-apply.log"))
        .collect();
    let [log] = &logs[..] else {
        panic!("{logs:?}");
    };
    let stamp = log
        .rsplit('/')
        .next()
        .unwrap()
        .trim_end_matches("-apply.log");
    let digits = stamp.chars().filter(char::is_ascii_digit).count();
    assert!(stamp.len() == 23 && digits == 20, "{stamp}");
    let log = fs::read_to_string(env.in_home(log)).unwrap();
    for part in [
        concat!("kubitect ", env!("CARGO_PKG_VERSION"), ", 20"),
        "Z\n$ kubitect apply -c cluster.yaml --auto-approve -q\n",
        "create  domain   demo-master-1",
        "approved by --auto-approve",
        " phase 1 of 3: make machines",
        "stopped in make machines (phase 1 of 3)",
        "kubitect: failed to fetch the image",
        "exit code 1",
    ] {
        assert!(log.contains(part), "no `{part}` in {log}");
    }
}

#[test]
fn programs_get_events_one_a_line() {
    let said = apply(&env(), &["--output", "json"]);
    let events: Vec<serde_json::Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    for event in &events {
        assert_eq!(event["formatVersion"], 1);
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert!(types.contains(&"phase"), "{types:?}");
    let plan = events.iter().find(|event| event["type"] == "plan").unwrap();
    assert_eq!(plan["plan"]["cluster"], "demo");
    assert_eq!(types[types.len() - 2..], ["failed", "end"], "{types:?}");
    let end = events.last().unwrap();
    assert_eq!(end["ok"], false);
    assert_eq!(end["exitCode"], 1);
    assert_eq!(end["phase"], "make machines (phase 1 of 3)");
    // People see the reason, but not the events of the run.
    assert!(
        said.stderr.contains("kubitect: failed to fetch the image"),
        "{said:?}"
    );
    assert!(
        !said.stderr.contains("phase 1 of 3:") && !said.stderr.contains("demo-master-1"),
        "{said:?}"
    );
}

/// Each way in which a command can end has one last event.
#[test]
fn each_stream_of_events_has_its_end() {
    let ends = |env: &TestEnv, args: &[&str], code: i32| {
        let said = env.run(&[args, &["-o", "json"]].concat()).code(code);
        let lines = said.stdout.lines();
        let events: Vec<serde_json::Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        assert_eq!(of("end"), 1, "{args:?}: {said:?}");
        let (plans, end) = (of("plan"), events.last().unwrap().clone());
        assert_eq!(end["type"], "end", "{args:?}: {said:?}");
        assert_eq!(end["ok"], code == 0, "{end}");
        if code != 0 {
            assert_eq!(end["exitCode"], code, "{end}");
        }
        (plans, end)
    };
    let apply = ["apply", "-c", "cluster.yaml"];
    let env = TestEnv::new();
    // No file at all, an invalid one, one whose hosts can't be reached.
    ends(&env, &apply, 1);
    env.write_cluster(|text| text.replace("mode: nat", "mode: nut"));
    let (_, end) = ends(&env, &apply, 2);
    assert_eq!(end["problems"][0]["path"], "cluster.network.mode", "{end}");
    env.write_cluster(|text| text.replace("uri: test://", "uri: test:///nowhere"));
    ends(&env, &apply, 1);
    // Declined, and on hosts that are not fit.
    env.write_cluster(|text| text);
    assert_eq!(ends(&env, &apply, 3).0, 1);
    env.write_cluster(|text| text.replace("ram: 2", "ram: 4096"));
    let (plans, end) = ends(&env, &apply, 1);
    assert_eq!(plans, 1);
    assert!(
        end["findings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("memory"),
        "{end}"
    );
    // No such cluster is known, or nothing is left of it.
    for command in ["destroy", "stop", "start"] {
        ends(&env, &[command, "nope"], 1);
    }
    ends(&env, &["destroy"], 2);
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect-applied.yaml"), env.cluster()).unwrap();
    assert_eq!(ends(&env, &["destroy", "demo"], 3).0, 1);
    ends(&env, &["stop", "demo"], 0);
    let (plans, _) = ends(&env, &["destroy", "demo", "--auto-approve"], 0);
    assert_eq!(plans, 1);
}

#[test]
fn a_reader_that_has_gone_ends_nothing() {
    let env = env();
    let mut command = env.command(&[&APPLY[..], &["-o", "json"]].concat());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// What a terminal of this width gets from a run that waits for its image for two seconds.
fn at_terminal(columns: usize, term: &str) -> String {
    let env = TestEnv::new();
    let (port, requests) = silent_server();
    let url = format!(
        "http://127.0.0.1:{port}/image-of-a-very-long-name-that-no-narrow-terminal-has-room-for.qcow2"
    );
    env.write_cluster(|text| {
        let file = format!("{}/image.qcow2", env.path("").display()).replace("//", "/");
        text.replace(&file, &url)
    });
    // It waits for git as well: with a repository that does not exist the run would end.
    let (git, _asked) = silent_server();
    env.write_cluster(|_| {
        let file = format!("{}/kubespray", env.path("").display()).replace("//", "/");
        let text = fs::read_to_string(env.path("here/cluster.yaml")).unwrap();
        text.replace(&file, &format!("http://127.0.0.1:{git}/kubespray.git"))
    });
    let mut command = Command::new("script");
    let line = format!(
        "stty cols {columns} rows 24; echo $$ > pid; exec '{KUBITECT}' {}",
        APPLY.join(" ")
    );
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    env.dress(&mut command);
    command
        .env("TERM", term)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let asked = requests.recv_timeout(Duration::from_secs(120));
    std::thread::sleep(Duration::from_secs(2));
    let pid = fs::read_to_string(env.path("here/pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let said = env.said(child.wait_with_output().unwrap());
    assert!(
        asked.is_ok() && said.stdout.contains("interrupted"),
        "{said:?}"
    );
    said.stdout
}

/// The rows of a terminal of this width, without control sequences. A full row continues in the next one.
fn rows(text: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                // CSI: until its final letter.
                let _ = chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
                rows.push(String::new());
            }
            '\r' | '\n' => rows.push(String::new()),
            c => {
                if rows.last().unwrap().chars().count() == columns {
                    rows.push(String::new());
                }
                rows.last_mut().unwrap().push(c);
            }
        }
    }
    rows
}

#[test]
fn a_terminal_has_a_block_that_is_never_wider_than_it() {
    for columns in [40, 50, 80] {
        let text = at_terminal(columns, "xterm-256color");
        let rows = rows(&text, columns);
        let begins = |row: &&String| row.starts_with("phase 1 of 3: make machines · ");
        assert!(rows.iter().filter(begins).count() > 2, "{text:?}");
        let image = |row: &&String| row.starts_with("  get image http://");
        assert!(rows.iter().filter(image).count() > 2, "{text:?}");
        // A text that is too long is cut and never continues in the next row.
        let rest = |row: &&String| row.contains("set up bal") && !begins(row);
        assert_eq!(rows.iter().find(rest), None, "{columns}: {text:?}");
    }
}

#[test]
fn a_terminal_that_can_t_draw_again_gets_lines() {
    let text = at_terminal(80, "dumb");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains(" phase 1 of 3: make machines"), "{text:?}");
}

#[test]
fn after_half_a_minute_a_pipe_hears_what_is_waited_for() {
    let env = TestEnv::new();
    let (port, _requests) = silent_server();
    env.write_cluster(|text| {
        let file = format!("{}/image.qcow2", env.path("").display()).replace("//", "/");
        text.replace(&file, &format!("http://127.0.0.1:{port}/image.qcow2"))
    });
    let mut child = env
        .command(&APPLY)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (lines, received) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    let mut all = Vec::new();
    let heard = loop {
        match received.recv_timeout(Duration::from_secs(120)) {
            Ok(line) if line.contains(" … ") && line.contains("image") => break true,
            Ok(line) => all.push(line),
            Err(_) => break false,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard, "{all:?}");
}
