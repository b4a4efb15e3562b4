//! [`Remote`]: a machine on which commands are run, however it is reached.

use std::pin::Pin;
use std::time::Duration;

use super::session::{Output, Session, last_lines};
use crate::Error;

/// What takes its time; boxed, so that a [`Remote`] may be of any kind.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A machine that answers; a [`Session`], or what a program brings in its place.
pub trait Remote: Send + Sync {
    /// Its name.
    fn machine(&self) -> &str;

    /// Runs a command without input. Any exit status is an `Ok`.
    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Output>;

    /// Replaces the file `path` (absolute) by `bytes`, whole or not at all; with `sudo` as root.
    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        sudo: bool,
        deadline: Duration,
    ) -> Doing<'a, ()>;

    /// Runs a command that must end well, and gives its standard output.
    fn run_ok<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Vec<u8>> {
        Box::pin(async move {
            let output = self.run(argv, deadline).await?;
            output.expect_success(self.machine(), &argv.join(" "))
        })
    }
}

impl Remote for Session {
    fn machine(&self) -> &str {
        &self.target().machine
    }

    fn run<'a>(&'a self, argv: &'a [&'a str], deadline: Duration) -> Doing<'a, Output> {
        Box::pin(Session::run(self, argv, deadline))
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        sudo: bool,
        deadline: Duration,
    ) -> Doing<'a, ()> {
        Box::pin(Session::put(self, path, bytes, mode, sudo, deadline))
    }
}

impl Output {
    /// What the command printed, if it ended well; else an error that tells what it said.
    pub(super) fn expect_success(self, machine: &str, action: &str) -> Result<Vec<u8>, Error> {
        if self.success() {
            return Ok(self.stdout);
        }
        Err(Error::RemoteCommand {
            machine: machine.to_owned(),
            command: action.to_owned(),
            status: self.status,
            said: last_lines(&self.stderr, 10).join("\n"),
        })
    }
}
