//! A control plane on this machine, of real etcd members and the stand-in's API servers, asked by real kubectl and etcdctl.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use kubitect_config::remote::{BoxFuture, Output, Remote};
use serde_json::Value;

/// The control plane. It ends with its standard input.
pub struct World {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    told: Value,
}

impl World {
    pub fn of(masters: usize) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-in/test/world.py");
        let mut child = Command::new("python3")
            .args(["-B", program, &masters.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut world = Self {
            child,
            stdin,
            stdout,
            told: Value::Null,
        };
        let line = world.line();
        world.told = serde_json::from_str(&line).expect("the stand-in's control plane starts");
        std::fs::write(world.path("etcd.env"), world.environment(0)).unwrap();
        world
    }

    /// What Kubespray writes of the etcd member of a master.
    fn environment(&self, master: usize) -> String {
        let told = |name: &str| self.told["tls"][name].as_str().unwrap();
        let own = |list: &str| self.told[list][master].as_str().unwrap();
        format!(
            "# Environment file for etcd\nETCD_DATA_DIR={}\nETCD_NAME=m{master}\nETCD_INITIAL_ADVERTISE_PEER_URLS={}\n\n# CLI \
             settings\nETCDCTL_ENDPOINTS={}\nETCDCTL_CACERT={}\nETCDCTL_KEY={}\nETCDCTL_CERT={}\n",
            self.path(&format!("m{master}")),
            own("peers"),
            own("etcd"),
            told("ca"),
            told("key"),
            told("cert"),
        )
    }

    /// Writes that into a file of its own.
    pub fn write_environment(&self, master: usize) {
        let path = self.path(&format!("etcd-{master}.env"));
        std::fs::write(path, self.environment(master)).unwrap();
    }

    /// By which variables etcdctl reaches the first member.
    pub fn etcdctl(&self) -> Vec<(String, String)> {
        let environment = self.environment(0);
        let lines = environment.lines().filter_map(|line| line.split_once('='));
        let own = lines.filter(|(name, _)| name.starts_with("ETCDCTL_"));
        let own = own.chain([("ETCDCTL_API", "3")]);
        own.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// A file in the folder of the control plane.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.told["folder"].as_str().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn tell(&mut self, what: &str, master: usize) {
        writeln!(self.stdin.as_mut().unwrap(), "{what} {master}").unwrap();
        assert_eq!(self.line(), "done\n");
    }

    /// Kills etcd and the API server of a master.
    pub fn stop(&mut self, master: usize) {
        self.tell("stop", master);
    }

    /// Starts them again.
    pub fn start(&mut self, master: usize) {
        self.tell("start", master);
    }

    /// What a person at a terminal would do.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new("kubectl")
            .arg(format!(
                "--kubeconfig={}",
                self.told["kubeconfig"].as_str().unwrap()
            ))
            .arg(format!("--cache-dir={}", self.path("cache")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn here(&self, argument: &str) -> String {
        self.here_at(0, argument)
    }

    /// The same argument, with what lies elsewhere here than on a master.
    pub fn here_at(&self, master: usize, argument: &str) -> String {
        let port = &self.told["apis"][master];
        match argument {
            "/usr/local/bin/kubectl" => "kubectl".to_owned(),
            "/usr/local/bin/etcdctl" => "etcdctl".to_owned(),
            "--kubeconfig=/etc/kubernetes/admin.conf" => {
                format!("--kubeconfig={}", self.told["kubeconfig"].as_str().unwrap())
            }
            "--server=https://127.0.0.1:6443" => format!("--server=https://127.0.0.1:{port}"),
            "/etc/etcd.env" => self.path("etcd.env"),
            "/etc/kubernetes/ssl" | "/etc/ssl/etcd/ssl" => self.path(""),
            other => other.to_owned(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Remote for World {
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async move {
            assert_eq!(argv[..2], ["sudo", "-n"]);
            let argv: Vec<_> = argv[2..]
                .iter()
                .map(|argument| self.here(argument))
                .collect();
            let command = tokio::process::Command::new(&argv[0])
                .args(&argv[1..])
                .env("HOME", self.path(""))
                .kill_on_drop(true)
                .output();
            let output = tokio::time::timeout(deadline, command).await??;
            Ok(Output {
                status: output.status.code().unwrap_or(255) as u32,
                stdout: output.stdout,
                stderr: output.stderr,
            })
        })
    }

    fn put<'a>(&'a self, path: &'a str, bytes: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move { Ok(std::fs::write(self.here(path), bytes)?) })
    }
}

/// A master that answers each command with what was recorded, in order, and notes what it was asked.
#[derive(Default)]
pub struct Recorded {
    pub answers: Mutex<Vec<(u32, &'static str, &'static str)>>,
    pub asked: Mutex<Vec<String>>,
}

impl Recorded {
    pub fn new(answers: &[(u32, &'static str, &'static str)]) -> Self {
        Self {
            answers: Mutex::new(answers.iter().rev().copied().collect()),
            asked: Mutex::default(),
        }
    }
}

impl Remote for Recorded {
    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(argv.join(" "));
            let answer = self.answers.lock().unwrap().pop();
            let (status, stdout, stderr) = answer.ok_or("the master has gone")?;
            Ok(Output {
                status,
                stdout: stdout.into(),
                stderr: stderr.into(),
            })
        })
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        _: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(bytes);
            let line = format!("put {path} {mode:o}\n{text}");
            self.asked.lock().unwrap().push(line);
            Ok(())
        })
    }
}
