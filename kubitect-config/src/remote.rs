//! [`Remote`]: a machine on which commands run, and [`Machines`]: those of a cluster. Whoever has connections to them implements
//! this; the crates that work on machines ask for it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Node;
use crate::value::Label;

/// What a connection failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What takes its time; boxed, so that a [`Remote`] may be of any kind.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// A machine that answers; its account may use sudo without a password.
///
/// The connection keeps to each deadline itself: what takes longer is an error.
pub trait Remote: Send + Sync {
    /// Runs a command without input, as the account of the connection. Any exit status is an `Ok`. Every element of `argv`
    /// arrives as one argument, whatever characters it has.
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Output>;

    /// Replaces the file at `path` (absolute, in a folder of root's) by these bytes, whole or not at all, as root.
    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        deadline: Duration,
    ) -> Doing<'a, ()>;

    /// Runs a command that must end with 0, and gives its standard output.
    fn run_ok<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Vec<u8>> {
        Box::pin(async move {
            let output = self.run(argv, deadline).await?;
            match output.success() {
                true => Ok(output.stdout),
                false => Err(Box::from(CommandFailed {
                    command: argv.join(" "),
                    status: output.status,
                    said: output.said(),
                })),
            }
        })
    }
}

impl<R: Remote + ?Sized> Remote for Arc<R> {
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Output> {
        (**self).run(argv, deadline)
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        deadline: Duration,
    ) -> Doing<'a, ()> {
        (**self).put(path, bytes, mode, deadline)
    }
}

/// The machines of a cluster, for whoever works on what runs on them. Whoever has the machines implements this.
pub trait Machines: Send + Sync {
    /// Logs in on a machine that answers.
    fn connect<'a>(&'a self, name: &'a Label) -> Doing<'a, Arc<dyn Remote>>;

    /// Keeps this text with a node's machine, in place of an earlier one; it is lost with the machine.
    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError>;
}

/// How many lines of a machine's words are shown.
const SAID: usize = 30;

/// The last lines of a text that is not ours: enough for a person, and nothing that steers a terminal.
fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SAID)..]
        .iter()
        .map(|line| crate::text::line(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit status.
    pub status: u32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
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

    /// What it said, for a person: complaints first, the last lines of each, clean.
    pub fn said(&self) -> String {
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
#[error("`{command}` ended with {status}: {said}")]
pub struct CommandFailed {
    /// The command.
    pub command: String,
    /// Its exit status.
    pub status: u32,
    /// What it said.
    pub said: String,
}
