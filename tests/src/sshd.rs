//! OpenSSH's server on the loopback, as machines and hosts run it, for the time of a test.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::checkers;

/// The server has to answer within this time; long enough on any machine.
const START: Duration = Duration::from_secs(60);

/// A server. It ends when this is dropped.
pub struct Sshd {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The line `type key` of its host key.
    pub host_key: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Only the server's own process; those for connections end with their connections.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// Starts a server with this private host key (in OpenSSH's form; none: a new one). The user who runs the test may log in by these
    /// keys (lines of `authorized_keys`).
    pub fn start(host_key: Option<&str>, authorized: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        match host_key {
            Some(text) => private(&path("host"), text),
            None => keygen(&[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                path("host").to_str().unwrap(),
            ]),
        }
        let public = checkers::run("ssh-keygen", &["-y", "-f", path("host").to_str().unwrap()]);
        assert!(public.status.success(), "{}", checkers::said(&public));
        let public = String::from_utf8(public.stdout).unwrap();
        let host_key = public
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        private(&path("authorized"), &(authorized.join("\n") + "\n"));
        if rustix::process::geteuid().is_root() {
            // The server's folder for its processes without privileges, which the distribution's unit creates.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let started = Instant::now();
        loop {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            private(&path("config"), &config(folder.path(), port));
            let log = fs::File::create(path("log")).unwrap();
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(path("config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap_or_else(|e| {
                    panic!("cannot run sshd ({e}): install it with tests/lab/deps.sh")
                });
            while child.try_wait().unwrap().is_none() {
                if answers(port) {
                    return Self {
                        port,
                        host_key,
                        child,
                        folder,
                    };
                }
                assert!(started.elapsed() < START, "sshd does not answer");
                std::thread::sleep(Duration::from_millis(20));
            }
            // Another process may have taken the port meanwhile: the next one is tried.
            let log = fs::read_to_string(path("log")).unwrap();
            assert!(log.contains("in use") && started.elapsed() < START, "{log}");
        }
    }

    /// A line of `known_hosts` with its key.
    pub fn known_hosts_line(&self) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port, self.host_key)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// The user who runs the test, and may log in.
pub fn user() -> String {
    let output = checkers::run("id", &["-un"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The path of an `ssh` that knows these hosts and nothing of the user's own files.
pub fn client(folder: &Path, known_hosts: &str) -> PathBuf {
    private(&folder.join("known"), known_hosts);
    let config = format!(
        "IdentityAgent none\nGlobalKnownHostsFile /dev/null\nUserKnownHostsFile \"{}\"\n",
        folder.join("known").display()
    );
    private(&folder.join("ssh_config"), &config);
    let program = folder.join("ssh");
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/ssh -F '{}' \"$@\"\n",
        folder.join("ssh_config").display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Writes a file that only its owner may read.
pub fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs ssh-keygen.
pub fn keygen(args: &[&str]) {
    let output = checkers::run("ssh-keygen", args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        checkers::said(&output)
    );
}

/// Makes a key that opens without a passphrase.
pub fn ed25519(path: &Path) {
    keygen(&[
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-f",
        path.to_str().unwrap(),
    ]);
}

fn config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/authorized\n\
         StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         UsePAM no\nPubkeyAuthentication yes\nLogLevel VERBOSE\nMaxStartups 100\n"
    )
}

/// Whether a server of SSH answers.
fn answers(port: u16) -> bool {
    let mut banner = [0; 4];
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut stream| {
        let limit = stream.set_read_timeout(Some(Duration::from_secs(10)));
        limit.is_ok() && stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
    })
}
