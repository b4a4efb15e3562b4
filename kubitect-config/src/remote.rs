//! [`Remote`]: a machine on which commands can be run, and [`Machines`]: those of a cluster. The crate that has the SSH connections
//! implements these traits; the crates that work on machines use them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Node;
use crate::value::Label;

/// The error of a connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A boxed future, so that [`Remote`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// A machine that answers; its account may use sudo without a password.
///
/// The connection itself observes each deadline: a command that takes longer is an error.
pub trait Remote: Send + Sync {
    /// Runs a command without input, as the account of the connection. Any exit status is an `Ok`. Every element of `argv`
    /// arrives as one argument, whatever characters it has.
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Output>;

    /// Replaces the file at `path` (absolute, in a folder of root's) by these bytes, whole or not at all, as root.
    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        deadline: Duration,
    ) -> BoxFuture<'a, ()>;

    /// Runs a command that must end with 0, and gives its standard output.
    fn run_ok<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Vec<u8>> {
        Box::pin(async move {
            let output = self.run(argv, deadline).await?;
            match output.success() {
                true => Ok(output.stdout),
                false => Err(Box::from(CommandFailed {
                    command: argv.join(" "),
                    status: output.status,
                    messages: output.messages(),
                })),
            }
        })
    }
}

impl<R: Remote + ?Sized> Remote for Arc<R> {
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> BoxFuture<'a, Output> {
        (**self).run(argv, deadline)
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        deadline: Duration,
    ) -> BoxFuture<'a, ()> {
        (**self).put(path, bytes, mode, deadline)
    }
}

/// The machines of a cluster, for the crates that work on what runs on them.
pub trait Machines: Send + Sync {
    /// Logs in on a machine that answers.
    fn connect<'a>(&'a self, name: &'a Label) -> BoxFuture<'a, Arc<dyn Remote>>;

    /// Stores the note of a node beside the mark of its machine, in libvirt. It replaces an earlier one, and is lost with the
    /// machine.
    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError>;
}

/// The most lines of a command's output that are shown.
const SHOWN: usize = 30;

/// The last lines of a command's output, without characters that control a terminal.
fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..]
        .iter()
        .map(|line| crate::text::line(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit status.
    pub status: u32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Standard output as text, without white space at the ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// The last lines of standard error and then of standard output, without characters that control a terminal: for error
    /// messages.
    pub fn messages(&self) -> String {
        let both = [&self.stderr, &self.stdout].map(|s| String::from_utf8_lossy(s));
        both.map(|s| s.trim().to_owned())
            .into_iter()
            .filter(|s| !s.is_empty())
            .map(|s| last(&s))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A command that had to end with 0 and did not.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` ended with {status}: {messages}")]
pub struct CommandFailed {
    /// The command.
    pub command: String,
    /// Its exit status.
    pub status: u32,
    /// The last lines of its output.
    pub messages: String,
}
