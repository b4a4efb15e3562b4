//! [`TestEnv`]: a person's environment with nothing in it but what a test puts there.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tests::checkers;

/// The program.
pub const KUBITECT: &str = env!("CARGO_BIN_EXE_kubitect-under-test");

/// A home folder, a work folder, and a libvirt in memory (libvirt's own test driver) that each connection finds empty.
pub struct TestEnv {
    folder: tempfile::TempDir,
}

/// The program's output, with the test's folder as `[DIR]`.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl TestEnv {
    pub fn new() -> Self {
        let env = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["home", "here", "pool"] {
            fs::create_dir(env.path(folder)).unwrap();
        }
        fs::write(env.path("node.xml"), "<node/>").unwrap();
        env
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in `KUBITECT_HOME`, which the program creates.
    pub fn in_home(&self, name: &str) -> PathBuf {
        self.path("kubitect").join(name)
    }

    /// Puts a file into the work folder, which the program runs in.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path("here").join(name), text).unwrap();
    }

    /// The person's site file.
    pub fn write_site(&self, text: &str) {
        fs::create_dir_all(self.path("kubitect")).unwrap();
        fs::write(self.in_home("site.yaml"), text).unwrap();
    }

    /// A small cluster on the libvirt in memory, as `cluster.yaml`.
    pub fn write_cluster(&self, change: impl Fn(String) -> String) {
        self.write("cluster.yaml", change(self.cluster()));
    }

    /// The text of a small cluster on the libvirt in memory.
    pub fn cluster(&self) -> String {
        include_str!("cluster.yaml").replace("[DIR]", self.folder.path().to_str().unwrap())
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(KUBITECT);
        command.arg0("kubitect").args(args);
        self.dress(&mut command);
        command
    }

    /// Gives a program only the environment variables of this world.
    pub fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("KUBITECT_HOME", self.path("kubitect"))
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", checkers::PATH)
            .current_dir(self.path("here"))
            .stdin(Stdio::null());
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let said = self.said(self.command(args).output().unwrap());
        crate::outputs::judge(args, &said.stdout);
        said
    }

    /// Runs the program with this text as its standard input.
    pub fn run_with(&self, input: &str, args: &[&str]) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        self.said(child.wait_with_output().unwrap())
    }

    pub fn said(&self, output: Output) -> Said {
        let folder = self.folder.path().to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(folder, "[DIR]");
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// All files in the test's folder.
    pub fn tree(&self) -> Vec<String> {
        tree(self.folder.path())
    }

    /// All files in `KUBITECT_HOME`.
    pub fn home_tree(&self) -> Vec<String> {
        tree(&self.path("kubitect"))
    }
}

/// All files and folders below a folder.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    collect(folder, "", &mut all);
    all.sort();
    all
}

fn collect(folder: &Path, prefix: &str, all: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => {
                collect(&entry.path(), &format!("{name}/"), all);
                all.push(name + "/");
            }
            false => all.push(name),
        }
    }
}

impl Said {
    /// Fails unless the program ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails unless stderr contains all of this.
    #[track_caller]
    pub fn tells(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in {self:#?}");
        }
        self
    }

    /// Fails if stderr contains any of this.
    #[track_caller]
    pub fn withholds(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(!self.stderr.contains(part), "`{part}` in {self:#?}");
        }
        self
    }

    /// Fails unless this is all of stdout.
    #[track_caller]
    pub fn prints(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "{self:#?}");
        self
    }

    /// The result as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}
