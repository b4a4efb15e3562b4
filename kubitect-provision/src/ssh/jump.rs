//! The way to a machine through its host: OpenSSH's client, whose input and output are the connection.

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

/// What is remembered of the client's words, in bytes.
const WORDS: usize = 8 << 10;
/// How long the client's last words are waited for once its connection has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A connection through a host. The client that makes it ends with it.
pub(super) struct Through {
    pipe: Join<ChildStdout, ChildStdin>,
    _client: Child,
}

/// What the client says of itself.
pub(super) struct Said {
    words: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// Starts the client towards a machine.
pub(super) fn open(jump: &Jump, target: &Target) -> Result<(Through, Said), Error> {
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
    let words = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&words);
    // Read to its end, so that the client never waits for us.
    let reader = tokio::spawn(async move {
        let mut some = [0; 1024];
        while let Ok(count @ 1..) = errors.read(&mut some).await {
            if let Ok(mut words) = heard.lock()
                && words.len() < WORDS
            {
                words.extend_from_slice(&some[..count]);
            }
        }
    });
    let through = Through {
        pipe: tokio::io::join(output, input),
        _client: client,
    };
    Ok((through, Said { words, reader }))
}

impl Said {
    /// Why the way could not be made; nothing if the client did not complain.
    pub async fn failure(mut self, jump: &Jump, target: &Target) -> Option<Error> {
        // It ends with the connection; a master of the person's own may hold its output longer.
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.reader).await;
        self.reader.abort();
        let words = self
            .words
            .lock()
            .map(|words| words.clone())
            .unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<_> = words
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
                "it did not let us in; check connection.user and connection.ssh.keyfile".to_owned(),
            )
        } else if has("administratively prohibited") {
            Some(
                "its SSH server forbids jumps; set `AllowTcpForwarding` to `local` or `yes` there"
                    .to_owned(),
            )
        } else {
            None
        };
        let said = lines.join("\n");
        match help {
            Some(help) => Some(Error::Jump {
                machine: target.machine.clone(),
                host: jump.to_string(),
                help,
                said,
            }),
            None if said.is_empty() => None,
            None => Some(Error::Ssh {
                machine: target.machine.clone(),
                action: format!("reach {} through {jump}", target.address),
                source: said.into(),
            }),
        }
    }
}

impl AsyncRead for Through {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_read(context, buffer)
    }
}

impl AsyncWrite for Through {
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
