//! A client of a cluster: `kubectl` through the balancer.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::tools::{home, text};

/// The kubeconfig that `apply` brought home.
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

/// A client that writes and reads all the time, on new connections, and notes when it got answers.
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
            // Never a name twice: what went unanswered may have been written.
            for count in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("{name}-{count}");
                let said = kubectl(cluster, &["get", "nodes", "--output", "name"]).output();
                match said {
                    Ok(said) if said.status.success() => read.answered(),
                    Ok(said) => println!(
                        "after {:.0?} no answer to a read: {}",
                        read.began.elapsed(),
                        text(&said.stderr).trim_end()
                    ),
                    Err(error) => panic!("kubectl does not start: {error}"),
                }
                if write(cluster, &name) {
                    written.answered();
                    writes.push(name);
                }
                std::thread::sleep(Duration::from_millis(200));
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

/// The longest time without an answer.
struct Gap {
    kind: &'static str,
    began: Instant,
    last: Instant,
    longest: Duration,
    /// When the longest one ended, since the client began.
    ended: Duration,
}

impl Gap {
    fn new(kind: &'static str) -> Self {
        let now = Instant::now();
        Self {
            kind,
            began: now,
            last: now,
            longest: Duration::ZERO,
            ended: Duration::ZERO,
        }
    }

    fn answered(&mut self) {
        let (now, gap) = (Instant::now(), self.last.elapsed());
        if gap > self.longest {
            (self.longest, self.ended) = (gap, now - self.began);
        }
        self.last = now;
    }

    /// The time since the last answer counts, too.
    fn end(mut self) -> Duration {
        self.answered();
        println!(
            "longest time without a {}: {:.1?}, until {:.0?} after the first try",
            self.kind, self.longest, self.ended
        );
        self.longest
    }
}
