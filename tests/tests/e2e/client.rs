//! Clients of a cluster through the balancer: `kubectl`, and one that asks all the time.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_yaml::Value;
use tempfile::TempDir;

use crate::tools::{home, text};

/// From one try to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The kubeconfig that `apply` fetched.
pub fn kubeconfig(cluster: &str) -> String {
    let folder = home().join("clusters").join(cluster);
    folder.join("config/admin.conf").display().to_string()
}

/// `kubectl` with it. In a session of its own: the kernel shares processors out by sessions, and in the one of this test
/// Ansible works, too, which a client elsewhere would not wait for.
pub fn kubectl(cluster: &str, args: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command
        .args(["--wait", "kubectl"])
        .args(["--kubeconfig", &kubeconfig(cluster), "--request-timeout=8s"])
        .args(args);
    command
}

/// Whether an object of this name could be written.
pub fn write(cluster: &str, name: &str) -> bool {
    kubectl(
        cluster,
        &["create", "configmap", name, "--from-literal=a=b"],
    )
    .output()
    .is_ok_and(|o| o.status.success())
}

/// What `curl` needs to ask a cluster's API: kubectl would take a good part of the machine's processors, asked twice a second.
struct Access {
    server: String,
    /// `ca`, `certificate` and `key`.
    files: TempDir,
}

impl Access {
    fn of(cluster: &str) -> Self {
        let config = std::fs::read_to_string(kubeconfig(cluster)).expect("there is a kubeconfig");
        let config: Value = serde_yaml::from_str(&config).expect("it is YAML");
        let (place, user) = (
            &config["clusters"][0]["cluster"],
            &config["users"][0]["user"],
        );
        let files = TempDir::new().expect("there is a folder for temporary files");
        for (name, value) in [
            ("ca", &place["certificate-authority-data"]),
            ("certificate", &user["client-certificate-data"]),
            ("key", &user["client-key-data"]),
        ] {
            let bytes = BASE64.decode(value.as_str().expect("it is embedded"));
            let path = files.path().join(name);
            std::fs::write(path, bytes.expect("it is base64")).expect("it is written");
        }
        let server = place["server"].as_str().expect("it names a server");
        Self {
            server: server.to_owned(),
            files,
        }
    }

    /// Whether it is answered, on a connection of its own; else what is said instead. In a session of its own, as [`kubectl`].
    fn ask(&self, path: &str, args: &[&str]) -> Result<(), String> {
        let file = |name| self.files.path().join(name);
        let said = Command::new("setsid")
            .args([
                "--wait",
                "curl",
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "8",
            ])
            .args(["--output", "/dev/null", "--cacert"])
            .arg(file("ca"))
            .arg("--cert")
            .arg(file("certificate"))
            .arg("--key")
            .arg(file("key"))
            .args(args)
            .arg(format!("{}/api/v1/namespaces/default{path}", self.server))
            .output()
            .expect("curl starts");
        match said.status.success() {
            true => Ok(()),
            false => Err(text(&said.stderr).trim_end().to_owned()),
        }
    }

    fn read(&self) -> Result<(), String> {
        self.ask("", &[])
    }

    fn write(&self, name: &str) -> Result<(), String> {
        let map = format!(r#"{{"metadata": {{"name": "{name}"}}, "data": {{"a": "b"}}}}"#);
        let kind = "Content-Type: application/json";
        self.ask("/configmaps", &["--header", kind, "--data", &map])
    }
}

/// A client that reads twice a second and writes once in two, on new connections, and notes when it got answers.
pub struct Client {
    stop: std::sync::Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Vec<String>, Duration)>,
}

impl Client {
    /// Begins; `name` is part of the names of what is written.
    pub fn start(cluster: &'static str, name: String) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut read, mut written) = (Gap::new("read"), Gap::new("write"));
            let mut writes = Vec::new();
            let access = Access::of(cluster);
            // Never a name twice: what went unanswered may have been written.
            for count in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let began = Instant::now();
                let name = format!("{name}-{count}");
                read.tries(|| access.read());
                let due = count % 4 == 0 || written.unanswered.is_some();
                if due && written.tries(|| access.write(&name)) {
                    writes.push(name);
                }
                std::thread::sleep(PAUSE.saturating_sub(began.elapsed()));
            }
            (writes, read.end().max(written.end()))
        });
        Self { stop, thread }
    }

    /// Ends: what was written, and the longest time without an answer.
    pub fn stop(self) -> (Vec<String>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client ends")
    }
}

/// The longest time without an answer: from the first try after one to the next.
struct Gap {
    kind: &'static str,
    began: Instant,
    /// When the first try began that has not been answered, nor any since.
    unanswered: Option<Instant>,
    longest: Duration,
    /// When the longest one ended, since the client began.
    ended: Duration,
}

impl Gap {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            began: Instant::now(),
            unanswered: None,
            longest: Duration::ZERO,
            ended: Duration::ZERO,
        }
    }

    fn tries(&mut self, ask: impl FnOnce() -> Result<(), String>) -> bool {
        self.unanswered.get_or_insert_with(Instant::now);
        match ask() {
            Ok(()) => {
                self.answered();
                true
            }
            Err(said) => {
                println!(
                    "after {:.0?} no answer to a {}: {said}",
                    self.began.elapsed(),
                    self.kind
                );
                false
            }
        }
    }

    fn answered(&mut self) {
        let since = self.unanswered.take();
        let gap = since.map_or(Duration::ZERO, |since| since.elapsed());
        if gap > self.longest {
            (self.longest, self.ended) = (gap, self.began.elapsed());
        }
    }

    /// What has not been answered until now counts, too.
    fn end(mut self) -> Duration {
        self.answered();
        println!(
            "longest time without a {}: {:.1?}, until {:.0?} after the first try",
            self.kind, self.longest, self.ended
        );
        self.longest
    }
}
