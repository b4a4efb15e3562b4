//! [`Machine`]: a balancer's machine with a name for its errors; the few commands that a roll-out consists of.

use std::time::Duration;

use kubitect_config::value::Label;

use crate::Error;
use kubitect_config::remote::{BoxError, Output, Remote};

/// A call to a balancer's machine fails after this time.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A balancer's machine.
pub(crate) struct Machine<'a, R> {
    /// Its name.
    pub node: &'a Label,
    /// The connection to it.
    pub remote: &'a R,
}

impl<R: Remote> Machine<'_, R> {
    /// Runs a command as root; any exit status is an `Ok`.
    pub async fn root(&self, argv: &[&str]) -> Result<Output, Error> {
        // -n: where a password is needed sudo fails, instead of waiting for it.
        let argv = [&["sudo", "-n"], argv].concat();
        self.bounded(shown(&argv), self.remote.run(&argv, TIMEOUT))
            .await
    }

    /// Runs a command as root; any exit status but 0 is an error.
    pub async fn root_ok(&self, argv: &[&str]) -> Result<Output, Error> {
        let output = self.root(argv).await?;
        if output.success() {
            Ok(output)
        } else {
            Err(Error::Command {
                node: self.node.clone(),
                command: shown(argv),
                status: output.status,
                said: output.messages(),
            })
        }
    }

    /// Whether a command ends with 0; any other exit status means no.
    pub async fn ask(&self, argv: &[&str]) -> Result<bool, Error> {
        Ok(self.root(argv).await?.success())
    }

    /// Puts a file that everyone may read and root may change.
    pub async fn put(&self, path: &str, text: &str) -> Result<(), Error> {
        self.bounded(
            format!("put {path}"),
            self.remote.put(path, text.as_bytes(), 0o644, TIMEOUT),
        )
        .await
    }

    /// The text of a file, if there is one.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let output = self.root(&["cat", "--", path]).await?;
        if output.success() {
            return Ok(Some(output.stdout));
        }
        if self.ask(&["test", "-e", path]).await? {
            return Err(Error::Command {
                node: self.node.clone(),
                command: format!("cat {path}"),
                status: output.status,
                said: output.messages(),
            });
        }
        Ok(None)
    }

    /// Whether this machine has the address now.
    pub async fn holds(&self, address: std::net::Ipv4Addr) -> Result<bool, Error> {
        let output = self.root_ok(&["ip", "-o", "-4", "addr", "show"]).await?;
        let listed = String::from_utf8_lossy(&output.stdout);
        let wanted = address.to_string();
        Ok(listed
            .split_whitespace()
            .any(|word| word.split('/').next() == Some(wanted.as_str())))
    }

    /// An error unless commands run as root and a program is installed.
    pub async fn require(&self, program: &'static str) -> Result<(), Error> {
        let root = self.root(&["true"]).await?;
        if !root.success() {
            return Err(Error::NoRoot {
                node: self.node.clone(),
                said: root.messages(),
            });
        }
        if !self.ask(&[program, "-v"]).await? {
            return Err(Error::NotInstalled {
                node: self.node.clone(),
                program,
            });
        }
        Ok(())
    }

    async fn bounded<T>(
        &self,
        command: String,
        call: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, Error> {
        let node = self.node.clone();
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::Remote {
                node,
                command,
                source,
            }),
            Err(_) => Err(Error::Timeout {
                node,
                command,
                seconds: TIMEOUT.as_secs(),
            }),
        }
    }
}

/// A command as errors show it: `…` stands for a program of many lines that is given to `python3 -c`.
fn shown(argv: &[&str]) -> String {
    argv.iter()
        .map(|word| if word.contains('\n') { "…" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}
