//! [`Stage`]: a world in a folder, with a person who runs the program in it.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubitect_config::value::Mac;
use serde_json::Value;

use crate::ansible::{Fault, Record};
use crate::picture::{self, Picture};
use crate::place::Place;
use crate::program::{ANSWER, Asked, EMBEDDED, KILL, WORLD, asked};
use crate::shape::{Shape, lease};

/// A folder for worlds, in memory where possible: the program flushes each file that it writes. Its path always has the same
/// length, so that lines with it are wrapped at the same place.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("kw-");
        builder
    };
    let made = builder()
        .tempdir_in(memory)
        .or_else(|_| builder().tempdir_in("/var/tmp"));
    made.unwrap()
}

/// A world.
pub struct Stage {
    pub folder: PathBuf,
    /// The folders that it was copied from: paths in its files may still name them.
    aliases: Vec<PathBuf>,
    /// How long machines take for each answer; none: no time.
    pub answers: Option<Duration>,
}

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// None: it was killed.
    pub code: Option<i32>,
    pub said: String,
}

/// The person's files, with lines of others in them.
const KNOWN_HOSTS: &str = "# mine\ngithub.com ssh-rsa AAAAother\n";
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: other\nclusters:\n- name: other\n  cluster:\n    server: https://10.1.1.1:6443\ncontexts:\n- name: other\n  context:\n    cluster: other\n    user: other\nusers:\n- name: other\n  user:\n    token: t\n";

static NEXT: AtomicUsize = AtomicUsize::new(10_000);

/// A new folder. All names have the same length, so that none is the beginning of another.
fn next(parent: &Path) -> PathBuf {
    parent.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

impl Stage {
    /// A world without a cluster.
    pub fn new(scratch: &Path) -> Self {
        let folder = next(scratch);
        for path in ["home", "tmp", "person/.ssh", "person/.kube"] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        fs::write(folder.join("person/.ssh/known_hosts"), KNOWN_HOSTS).unwrap();
        fs::write(folder.join("person/.kube/config"), KUBECONFIG).unwrap();
        let image = scratch.join("image.qcow2");
        if !image.exists() {
            fs::write(&image, qcow2()).unwrap();
        }
        let stage = Self {
            folder,
            aliases: Vec::new(),
            answers: None,
        };
        let place = stage.place();
        for id in 0..10 {
            let name = format!("demo-worker-{id}");
            place
                .host
                .lease(&name, Mac::derived(&name), lease(id).parse().unwrap());
        }
        stage
    }

    /// A copy of this world.
    pub fn copy(&self) -> Self {
        let folder = next(self.folder.parent().unwrap());
        let status = Command::new("cp")
            .arg("-a")
            .args([&self.folder, &folder])
            .status();
        assert!(status.unwrap().success());
        let mut aliases = self.aliases.clone();
        aliases.push(self.folder.clone());
        Self {
            folder,
            aliases,
            answers: self.answers,
        }
    }

    pub fn place(&self) -> Place {
        Place::open(&self.folder)
    }

    /// The command that runs the program in this world.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.join("person"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("KUBITECT_HOME", self.folder.join("home"))
            .env(WORLD, &self.folder)
            .stdin(Stdio::null());
        if let Some(answers) = self.answers {
            command.env(ANSWER, answers.as_millis().to_string());
        }
        command
    }

    /// Runs the program. It is killed at a point after it has passed it so many times, if one is given.
    pub fn run(&self, arguments: &[&str], kill: Option<(&str, usize)>) -> Run {
        let mut command = self.command(arguments);
        if let Some((name, times)) = kill {
            command.env(KILL, format!("{name} {times}"));
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let killed = output.status.signal() == Some(9);
        assert_eq!(
            killed,
            output.status.code().is_none(),
            "{:?}",
            output.status
        );
        Run {
            code: output.status.code(),
            said: String::from_utf8_lossy(&said).into_owned(),
        }
    }

    /// Runs the program of `examples/embed`.
    pub fn embedded(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).env(EMBEDDED, "1").output().unwrap();
        Run {
            code: output.status.code(),
            said: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        }
    }

    /// Writes the cluster file.
    pub fn want(&self, shape: &Shape) -> String {
        let image = self.folder.with_file_name("image.qcow2");
        let path = self.folder.join("cluster.yaml");
        let mut file = fs::File::create(&path).unwrap();
        write!(file, "{}", shape.yaml(image.to_str().unwrap())).unwrap();
        path.display().to_string()
    }

    pub fn apply(&self, shape: &Shape, kill: Option<(&str, usize)>) -> Run {
        let file = self.want(shape);
        self.run(&["apply", "--auto-approve", "--config", &file], kill)
    }

    /// As [`Self::apply`], and fails unless it succeeds.
    #[track_caller]
    pub fn done(&self, shape: &Shape) -> Run {
        let run = self.apply(shape, None);
        assert_eq!(run.code, Some(0), "{}", run.said);
        run
    }

    /// As [`Self::apply`], and fails unless the phases that ran are those of the `plan` before; of a run that stopped, the first
    /// of them.
    pub fn apply_as_shown(&self, shape: &Shape) -> Run {
        let file = self.want(shape);
        let plan = self.run(&["plan", "--output", "json", "--config", &file], None);
        let run = self.apply(shape, None);
        let Some(shown) = phases_shown(&plan) else {
            assert_ne!(run.code, Some(0), "{} {}", plan.said, run.said);
            return run;
        };
        let ran = phases_that_ran(&run);
        match run.code {
            Some(0) => assert_eq!(ran, shown, "{}", run.said),
            _ => assert!(shown.starts_with(&ran), "{shown:?} {}", run.said),
        }
        run
    }

    /// The last run's questions to machines.
    pub fn asked(&self) -> Asked {
        let text = fs::read_to_string(asked(&self.folder)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The plan, if it is not empty.
    pub fn plan(&self, shape: &Shape) -> Option<String> {
        let file = self.want(shape);
        let run = self.run(&["plan", "--config", &file], None);
        (run.code != Some(0)).then_some(run.said)
    }

    /// The plan with each of its steps.
    pub fn steps(&self, shape: &Shape) -> String {
        let file = self.want(shape);
        self.run(&["plan", "--verbose", "--config", &file], None)
            .said
    }

    pub fn destroy(&self, kill: Option<(&str, usize)>) -> Run {
        self.run(&["destroy", "--auto-approve", "--cluster", "demo"], kill)
    }

    pub fn picture(&self) -> Picture {
        let aliases: Vec<_> = self.aliases.iter().map(PathBuf::as_path).collect();
        picture::take(&self.place(), &aliases)
    }

    /// Has a playbook fail once, when it reaches a host.
    pub fn break_at(&self, playbook: &str, host: &str) {
        self.break_in(playbook, host, "");
    }

    /// The same, at a step that the playbook knows.
    pub fn break_in(&self, playbook: &str, host: &str, step: &str) {
        let fault = Fault {
            playbook: playbook.to_owned(),
            host: host.to_owned(),
            step: step.to_owned(),
        };
        let text = serde_json::to_vec(&fault).unwrap();
        fs::write(self.folder.join("fault.json"), text).unwrap();
    }

    /// The playbooks that ran since the last call of this.
    pub fn playbooks(&self) -> Vec<Record> {
        let path = self.folder.join("playbooks.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Removes the world.
    pub fn end(self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The phases in a plan for programs; none if there is no plan.
fn phases_shown(plan: &Run) -> Option<Vec<String>> {
    let mut values = serde_json::Deserializer::from_str(&plan.said).into_iter::<Value>();
    let plan = values.next()?.ok()?;
    let nothing = plan["changes"].as_array()?.is_empty();
    let phases = plan["phases"].as_array()?.iter();
    let phases = phases.map(|phase| phase.as_str().unwrap().to_owned());
    Some(if nothing {
        Vec::new()
    } else {
        phases.collect()
    })
}

/// The phases that a run reported as begun, numbered from 1 without a gap.
fn phases_that_ran(run: &Run) -> Vec<String> {
    let begun = run.said.lines().filter_map(|line| {
        let (number, rest) = line.split_once(" phase ")?.1.split_once(" of ")?;
        let (_, title) = rest.split_once(": ")?;
        Some((number.parse::<usize>().ok()?, title.to_owned()))
    });
    let begun: Vec<_> = begun.collect();
    let numbers = begun.iter().map(|(number, _)| *number);
    assert!(numbers.eq(1..=begun.len()), "{begun:?}");
    begun.into_iter().map(|(_, title)| title).collect()
}

/// The header of an image of 2 GiB.
fn qcow2() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[4..8].copy_from_slice(&3_u32.to_be_bytes());
    bytes[24..32].copy_from_slice(&(2_u64 << 30).to_be_bytes());
    bytes[100..104].copy_from_slice(&104_u32.to_be_bytes());
    bytes
}
