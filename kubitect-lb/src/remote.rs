//! [`Remote`]: all that rolling out asks of a balancer's machine. Whoever has a connection to it implements this.

use crate::BoxError;

/// A machine, and root on it.
///
/// Each call should have a deadline of its own; a call that takes more than [`Remote::PATIENCE_SECONDS`] is given up
/// in any case.
pub trait Remote: Send + Sync {
    /// After how long a call is given up.
    const PATIENCE_SECONDS: u64 = 90;

    /// Replaces the file at `path` (absolute, in a folder of root's) by these bytes, whole or not at all, as root.
    fn put(
        &self,
        path: &str,
        bytes: &[u8],
        mode: u32,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Runs a command as the account of the connection; any exit status is an `Ok`. Every element of `argv` must arrive
    /// as one argument, whatever characters it has.
    fn run(&self, argv: &[&str]) -> impl Future<Output = Result<Output, BoxError>> + Send;
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

    /// What it said, for a person: complaints first.
    pub fn said(&self) -> String {
        let both = [&self.stderr, &self.stdout].map(|s| String::from_utf8_lossy(s));
        both.map(|s| s.trim().to_owned())
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}
