//! An SSH server in this process that runs the commands it gets, with a temporary folder as the machine's root.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// A machine that speaks SSH. It is gone when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    root: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server with this host key, which accepts this user key.
    pub async fn start(host: PrivateKey, user: &PrivateKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let root = tempfile::tempdir().unwrap();
        program(root.path(), "sudo", "[ \"$1\" = -n ] && shift\nexec \"$@\"");
        let config = Arc::new(Config {
            keys: vec![host],
            auth_rejection_time: Duration::from_millis(10),
            ..Config::default()
        });
        let machine = Machine {
            root: root.path().to_owned(),
            authorized: user.public_key().clone(),
            running: HashMap::new(),
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (config, machine) = (Arc::clone(&config), machine.clone());
                tokio::spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, stream, machine).await {
                        let _ = session.await;
                    }
                });
            }
        });
        Self {
            address,
            root,
            task,
        }
    }

    /// The path on this machine of a file of the server's.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file of the machine.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Installs a program on the machine.
    pub fn program(&self, name: &str, script: &str) {
        program(self.root.path(), name, script);
    }
}

fn program(root: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = root.join("bin").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[derive(Clone)]
struct Machine {
    root: PathBuf,
    authorized: PublicKey,
    /// The command and the input so far of each channel.
    running: HashMap<ChannelId, (String, Vec<u8>)>,
}

impl Machine {
    async fn run(&self, command: &str, input: &[u8]) -> std::process::Output {
        let root = self.root.display();
        let command = command
            .replace("/run/cloud-init", &format!("{root}/run/cloud-init"))
            .replace("/var/log", &format!("{root}/var/log"))
            .replace("/etc", &format!("{root}/etc"))
            .replace("/usr/local/sbin:/usr/sbin:/sbin", &format!("{root}/bin"));
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", &command])
            .env("PATH", format!("{root}/bin:/usr/bin:/bin"))
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        tokio::spawn(async move {
            let _ = stdin.write_all(&input).await;
        });
        child.wait_with_output().await.unwrap()
    }
}

impl Handler for Machine {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let accepted = user == "k8s" && key.public_key.key_data() == self.authorized.key_data();
        Ok(if accepted {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8(command.to_vec()).unwrap();
        self.running.insert(id, (command, Vec::new()));
        session.channel_success(id)
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some((_, input)) = self.running.get_mut(&id) {
            input.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some((command, input)) = self.running.remove(&id) else {
            return Ok(());
        };
        if command == "'die'" {
            return Err(russh::Error::Disconnect);
        }
        let (machine, handle) = (self.clone(), session.handle());
        tokio::spawn(async move {
            let output = machine.run(&command, &input).await;
            let _ = handle.data(id, output.stdout).await;
            let _ = handle.extended_data(id, 1, output.stderr).await;
            if let Some(status) = output.status.code() {
                let _ = handle.exit_status_request(id, status as u32).await;
            }
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        });
        Ok(())
    }
}
