//! A connection to a machine through its host (SSH jump): OpenSSH's client runs, and its input and output are the connection.

use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use kubitect_config::jump::Jump;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::session::Target;
use crate::Error;

/// The most bytes of the client's standard error that are kept.
const STDERR_MAX: usize = 8 << 10;
/// How long to wait for the end of the client's standard error after its connection has ended.
const STDERR_WAIT: Duration = Duration::from_secs(5);

/// A connection through a host. Dropping it ends the client.
pub(super) struct JumpStream {
    pipe: Join<ChildStdout, ChildStdin>,
    _client: Child,
}

/// The client's standard error.
pub(super) struct ClientErrors {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// Starts the client towards a machine.
pub(super) fn open(jump: &Jump, target: &Target) -> Result<(JumpStream, ClientErrors), Error> {
    let failed = |source: std::io::Error| Error::Ssh {
        machine: target.machine.clone(),
        action: format!(
            "run {} to reach {} through {jump}",
            jump.program.display(),
            target.address
        ),
        source: source.into(),
    };
    let arguments = jump.arguments(&target.address.to_string());
    let program = jump.program.display();
    tracing::debug!(
        machine = target.machine,
        "program started: {program} {}",
        arguments.join(" ")
    );
    let mut client = Command::new(&jump.program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let missing = || failed(std::io::ErrorKind::BrokenPipe.into());
    let output = client.stdout.take().ok_or_else(missing)?;
    let input = client.stdin.take().ok_or_else(missing)?;
    let mut errors = client.stderr.take().ok_or_else(missing)?;
    let text = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&text);
    // Read to the end, so that the client never blocks on a full pipe.
    let reader = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = errors.read(&mut buffer).await {
            if let Ok(mut text) = written.lock()
                && text.len() < STDERR_MAX
            {
                text.extend_from_slice(&buffer[..count]);
            }
        }
    });
    let stream = JumpStream {
        pipe: tokio::io::join(output, input),
        _client: client,
    };
    Ok((stream, ClientErrors { text, reader }))
}

impl ClientErrors {
    /// The error of a jump that failed, with what to do about it; none if the client printed nothing.
    pub async fn failure(mut self, jump: &Jump, target: &Target) -> Option<Error> {
        // The client ends with the connection, but a ControlMaster of the user's may hold its output open longer.
        let _ = tokio::time::timeout(STDERR_WAIT, &mut self.reader).await;
        self.reader.abort();
        let text = self
            .text
            .lock()
            .map(|text| text.clone())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        let help = if has("HOST IDENTIFICATION HAS CHANGED") {
            Some(format!(
                "its SSH host key is not the one that your known_hosts has; if the host was installed anew, `ssh-keygen -R` takes \
                 the old key out, and `{}` asks for the new one",
                jump.by_hand()
            ))
        } else if has("Host key verification failed") || has("host key is known for") {
            Some(format!(
                "its SSH host key is not known; `{}` shows it and, once you have compared it, adds it to your known_hosts",
                jump.by_hand()
            ))
        } else if has("Permission denied") {
            Some(
                "it refused the login; check connection.user and connection.ssh.keyfile".to_owned(),
            )
        } else if has("administratively prohibited") {
            Some(
                "its SSH server forbids jumps; set `AllowTcpForwarding` to `local` or `yes` there"
                    .to_owned(),
            )
        } else {
            None
        };
        let message = lines.join("\n");
        match help {
            Some(help) => Some(Error::Jump {
                machine: target.machine.clone(),
                host: jump.to_string(),
                help,
                said: message,
            }),
            None if message.is_empty() => None,
            None => Some(Error::Ssh {
                machine: target.machine.clone(),
                action: format!("reach {} through {jump}", target.address),
                source: message.into(),
            }),
        }
    }
}

impl AsyncRead for JumpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_read(context, buffer)
    }
}

impl AsyncWrite for JumpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().pipe).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_shutdown(context)
    }
}
