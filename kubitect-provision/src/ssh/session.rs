//! [`Session`]: runs commands on one machine and puts files there, over a connection whose host key is pinned.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kubitect_config::remote::{BoxFuture, Output, Remote};
use russh::client::{self, Handle};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Preferred};
use tokio::net::TcpStream;

use kubitect_config::jump::Jump;

use crate::Error;
use crate::ssh::{jump, quote};

/// The most bytes that a command may print, both streams together. The commands of Kubitect print little: more means that one does
/// not end. In tests, whose SSH is slow, the limit is lower.
const OUTPUT_MAX: usize = if cfg!(test) { 4 << 20 } else { 64 << 20 };

/// Replaces a file whole or not at all: the bytes go into a temporary file, are counted (a lost connection cuts them short),
/// flushed, and the file is renamed. Its arguments are the path, the mode and the number of bytes.
pub(super) const PUT: &str = r#"
set -eu
umask 077
aside=$(mktemp "$1.XXXXXX")
trap 'rm -f "$aside"' EXIT
cat >"$aside"
[ "$(wc -c <"$aside")" -eq "$3" ]
chmod "$2" "$aside"
sync "$aside"
mv -fT "$aside" "$1"
"#;

/// A machine as SSH sees it.
#[derive(Clone)]
pub struct Target {
    /// Its name, for messages.
    pub machine: String,
    /// The address of its SSH server.
    pub address: SocketAddr,
    /// The user who logs in.
    pub user: String,
    /// The user's private key.
    pub private_key: Arc<PrivateKey>,
    /// The only host key that is accepted.
    pub host_key: PublicKey,
    /// The jump through its host, where the machine can't be reached directly.
    pub jump: Option<Jump>,
}

kubitect_config::debug_fields!(Target, machine, address, user);

/// A connection to one machine. Commands may run side by side. After a lost connection the next command connects again; the
/// command that was cut off is not repeated, since it may have had its effect.
pub struct Session {
    target: Target,
    connect_within: Duration,
    handle: tokio::sync::Mutex<Arc<Handle<Pinned>>>,
}

kubitect_config::debug_fields!(Session, target);

impl Session {
    /// Connects, checks the host key and logs in, all within `deadline`.
    pub async fn connect(target: Target, deadline: Duration) -> Result<Self, Error> {
        let handle = connect(&target, deadline).await?;
        Ok(Self {
            target,
            connect_within: deadline,
            handle: tokio::sync::Mutex::new(Arc::new(handle)),
        })
    }

    /// The machine.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Runs a command without input. Any exit status is an `Ok`.
    pub async fn run(&self, argv: &[&str], deadline: Duration) -> Result<Output, Error> {
        self.run_with_input(argv, &[], deadline).await
    }

    /// Runs a command that reads `input`. Any exit status is an `Ok`.
    pub async fn run_with_input(
        &self,
        argv: &[&str],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Output, Error> {
        let command = quote::line(argv).ok_or_else(|| Error::Ssh {
            machine: self.target.machine.clone(),
            action: format!("run {argv:?}"),
            source: "it is not a command: it is empty or holds a NUL".into(),
        })?;
        let failed = |source: crate::error::Source| Error::Ssh {
            machine: self.target.machine.clone(),
            action: format!("run `{}`", argv.join(" ")),
            source,
        };
        let work = async {
            let channel = self
                .connected()
                .await?
                .channel_open_session()
                .await
                .map_err(|e| failed(e.into()))?;
            exchange(channel, &command, input).await.map_err(failed)
        };
        let began = Instant::now();
        let result = tokio::time::timeout(deadline, work).await;
        let result = result.unwrap_or_else(|_| {
            Err(Error::Timeout {
                what: format!("`{}` end on {}", argv.join(" "), self.target.machine),
                after: deadline,
                evidence: Vec::new(),
            })
        });
        self.trace(argv, began.elapsed(), &result);
        result
    }

    /// Runs a command that must exit with status 0, and returns its standard output.
    pub async fn run_ok(&self, argv: &[&str], deadline: Duration) -> Result<Vec<u8>, Error> {
        let output = self.run(argv, deadline).await?;
        self.expect_success(output, &argv.join(" "))
    }

    /// Replaces the file `path` (absolute) by `bytes`, whole or not at all; with `sudo` as root.
    pub async fn put(
        &self,
        path: &str,
        bytes: &[u8],
        mode: u32,
        sudo: bool,
        deadline: Duration,
    ) -> Result<(), Error> {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(Error::Ssh {
                machine: self.target.machine.clone(),
                action: format!("write {path}"),
                source: "the path must be absolute and name a file".into(),
            });
        }
        let (mode, size) = (format!("{mode:04o}"), bytes.len().to_string());
        let mut argv = vec!["sudo", "-n", "sh", "-c", PUT, "sh", path, &mode, &size];
        if !sudo {
            argv.drain(..2);
        }
        let output = self.run_with_input(&argv, bytes, deadline).await?;
        self.expect_success(output, &format!("write {path}"))
            .map(drop)
    }

    /// Writes the command to the debug log (`--debug`), without its input and output: they may contain secrets.
    fn trace(&self, argv: &[&str], took: Duration, result: &Result<Output, Error>) {
        let machine = self.target.machine.as_str();
        let command = argv.join(" ");
        match result {
            Ok(Output { status, .. }) => {
                tracing::debug!(machine, ?took, status, command, "SSH");
            }
            Err(error) => tracing::debug!(machine, ?took, %error, command, "SSH: failed"),
        }
    }

    /// The standard output, if the command exited with status 0; else an error with its last lines of standard error.
    fn expect_success(&self, output: Output, action: &str) -> Result<Vec<u8>, Error> {
        if output.success() {
            return Ok(output.stdout);
        }
        Err(Error::RemoteCommand {
            machine: self.target.machine.clone(),
            command: action.to_owned(),
            status: output.status,
            said: last_lines(&output.stderr, 10).join("\n"),
        })
    }

    async fn connected(&self) -> Result<Arc<Handle<Pinned>>, Error> {
        let mut handle = self.handle.lock().await;
        if handle.is_closed() {
            *handle = Arc::new(connect(&self.target, self.connect_within).await?);
        }
        Ok(Arc::clone(&handle))
    }
}

impl Remote for Session {
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async move { Ok(Session::run(self, argv, deadline).await?) })
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        deadline: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move { Ok(Session::put(self, path, bytes, mode, true, deadline).await?) })
    }
}

/// The last lines of an output, as clean text.
pub(crate) fn last_lines(bytes: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| kubitect_config::text::line(line))
        .collect()
}

/// Accepts one host key, and stores another one that was shown instead.
struct Pinned {
    expected: PublicKey,
    shown: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let same = key.key_data() == self.expected.key_data();
        if !same && let Ok(mut shown) = self.shown.lock() {
            *shown = Some(key.clone());
        }
        Ok(same)
    }
}

async fn connect(target: &Target, deadline: Duration) -> Result<Handle<Pinned>, Error> {
    tokio::time::timeout(deadline, connect_unbounded(target))
        .await
        .unwrap_or_else(|_| {
            Err(Error::Timeout {
                what: format!("an SSH login on {} ({})", target.machine, target.address),
                after: deadline,
                evidence: Vec::new(),
            })
        })
}

async fn connect_unbounded(target: &Target) -> Result<Handle<Pinned>, Error> {
    let failed = |action: &str, source: crate::error::Source| Error::Ssh {
        machine: target.machine.clone(),
        action: format!("{action} {}", target.address),
        source,
    };
    let shown = Arc::new(Mutex::new(None));
    let pinned = Pinned {
        expected: target.host_key.clone(),
        shown: Arc::clone(&shown),
    };
    let config = Arc::new(client::Config {
        // A machine that no longer answers is noticed after a minute, also while a command prints nothing.
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred {
            key: vec![target.host_key.algorithm()].into(),
            ..Preferred::default()
        },
        ..client::Config::default()
    });
    let connected = match &target.jump {
        None => {
            let stream = TcpStream::connect(target.address)
                .await
                .map_err(|e| failed("connect to", e.into()))?;
            client::connect_stream(config, stream, pinned).await
        }
        Some(jump) => {
            let (stream, client_errors) = jump::open(jump, target)?;
            let connected = client::connect_stream(config, stream, pinned).await;
            let wrong_key = shown.lock().is_ok_and(|shown| shown.is_some());
            if connected.is_err()
                && !wrong_key
                && let Some(error) = client_errors.failure(jump, target).await
            {
                return Err(error);
            }
            connected
        }
    };
    let mut handle =
        connected.map_err(
            |error| match shown.lock().ok().and_then(|mut shown| shown.take()) {
                Some(shown) => {
                    wrong_host_key(target, &shown.fingerprint(HashAlg::Sha256).to_string())
                }
                None => match error {
                    russh::Error::NoCommonAlgo {
                        kind: russh::AlgorithmKind::Key,
                        theirs,
                        ..
                    } => wrong_host_key(
                        target,
                        &kubitect_config::text::line(&format!(
                            "only of kind {}",
                            theirs.join(", ")
                        )),
                    ),
                    error => failed("speak SSH with", error.into()),
                },
            },
        )?;
    // The hash is used for RSA keys only; SHA-512 is one that current servers accept.
    let key = PrivateKeyWithHashAlg::new(Arc::clone(&target.private_key), Some(HashAlg::Sha512));
    let login = handle
        .authenticate_publickey(&target.user, key)
        .await
        .map_err(|e| failed(&format!("log in as {} on", target.user), e.into()))?;
    if !login.success() {
        return Err(failed(
            &format!("log in as {} on", target.user),
            format!(
                "the machine does not accept the key {}",
                target.private_key.fingerprint(HashAlg::Sha256)
            )
            .into(),
        ));
    }
    Ok(handle)
}

fn wrong_host_key(target: &Target, found: &str) -> Error {
    Error::HostKey {
        machine: target.machine.clone(),
        address: target.address.to_string(),
        wanted: target.host_key.fingerprint(HashAlg::Sha256).to_string(),
        found: found.to_owned(),
    }
}

/// Starts the command, sends its input and collects its output.
async fn exchange(
    channel: Channel<client::Msg>,
    command: &str,
    input: &[u8],
) -> Result<Output, crate::error::Source> {
    channel.exec(true, command).await?;
    let (mut replies, writer) = channel.split();
    // A command may end without reading all of its input: a failed write is no error.
    let feed = async {
        if writer.data(input).await.is_ok() {
            let _ = writer.eof().await;
        }
        std::future::pending::<()>().await;
    };
    let collect = async {
        let mut output = Output {
            status: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let mut status = None;
        while let Some(reply) = replies.wait().await {
            match reply {
                ChannelMsg::Data { data } => output.stdout.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => output.stderr.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    return Err(format!("it was killed by signal {signal_name:?}").into());
                }
                ChannelMsg::Failure => return Err("the machine refuses to run commands".into()),
                ChannelMsg::Close => break,
                _ => {}
            }
            if output.stdout.len() + output.stderr.len() > OUTPUT_MAX {
                return Err(format!("it printed more than {} MiB", OUTPUT_MAX >> 20).into());
            }
        }
        output.status = status.ok_or("the connection was lost before it ended")?;
        Ok(output)
    };
    tokio::select! {
        output = collect => output,
        () = feed => unreachable!("feeding never ends before the command does"),
    }
}
