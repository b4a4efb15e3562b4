//! One program on one balancer: its file is replaced such that the last file that served is never lost.
//!
//! ```text
//! FILE                 what the service reads
//! FILE.kubitect-new    uploaded, perhaps in part, never read by the service
//! FILE.kubitect-old    the last file that was seen serving; exists only from before the swap until the proof
//! ```
//!
//! A run may be killed at any step. The next one that finds `FILE.kubitect-old` takes `FILE` for unproven: it keeps the old file
//! for a rollback and goes through all steps again.

use std::fmt;

use kubitect_config::value::Label;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::{Error, Rendered, haproxy, keepalived, vrrp};
use kubitect_config::Remote;

/// A program that balancers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Passes connections on.
    Haproxy,
    /// Moves the virtual address.
    Keepalived,
}

impl Service {
    /// The name of the program, its package and its systemd unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Keepalived => "keepalived",
        }
    }

    /// Its file on a balancer.
    pub fn file(self) -> &'static str {
        match self {
            Self::Haproxy => haproxy::FILE,
            Self::Keepalived => keepalived::FILE,
        }
    }

    /// The text of its file on this balancer, if it is to run on it.
    pub fn text(self, rendered: &Rendered) -> Option<&str> {
        match self {
            Self::Haproxy => Some(&rendered.haproxy),
            Self::Keepalived => rendered.keepalived.as_deref(),
        }
    }

    fn staged(self) -> String {
        format!("{}.kubitect-new", self.file())
    }

    pub(crate) fn previous(self) -> String {
        format!("{}.kubitect-old", self.file())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The Python program that asks the local HAProxy; see the program's own first lines.
pub const PROBE: &str = include_str!("programs/probe.py");

/// How long a reloaded service may take until it serves, in seconds: an emulated machine needs some.
const PROOF_SECONDS: &str = "30";

/// A service, the machine it runs on, and the text that its file is to have.
pub(crate) struct Deployment<'a, R> {
    pub machine: Machine<'a, R>,
    pub service: Service,
    pub text: &'a str,
    pub rendered: &'a Rendered,
}

/// A deployment that failed, and which file is in use after it.
pub(crate) enum Failure {
    /// Nothing was swapped.
    Before(Error),
    /// The previous file was put back.
    PutBack(Error),
    /// The previous file could not be put back.
    Lost(Error),
}

impl<R: Remote> Deployment<'_, R> {
    /// Whether the file is in place, was proven, and the service runs with it.
    pub async fn is_settled(&self) -> Result<bool, Error> {
        if self.has_previous().await? {
            return Ok(false);
        }
        Ok(
            self.machine.read(self.service.file()).await?.as_deref() == Some(self.text.as_bytes())
                && self.is_active().await?
                && self.prove("0").await.is_ok(),
        )
    }

    /// Removes what a killed run may have left beside a file that is settled.
    pub async fn tidy(&self) -> Result<(), Error> {
        let staged = self.service.staged();
        self.machine.root_ok(&["rm", "-f", "--", &staged]).await?;
        Ok(())
    }

    /// Puts the file in place and proves that the service runs with it; on a failure puts the previous file back.
    pub async fn carry_out(&self) -> Result<(), Failure> {
        let unfinished = self.has_previous().await.map_err(Failure::Before)?;
        let current = self.machine.read(self.service.file()).await;
        let was_absent = current.map_err(Failure::Before)?.is_none() && !unfinished;
        if let Err(error) = self.upload().await {
            // The file in place may be an unproven one of a killed run: that one is rolled back, too.
            return Err(if unfinished {
                self.undo(was_absent, error).await
            } else {
                Failure::Before(error)
            });
        }
        fail::fail_point!("lb::uploaded");
        match self.replace(was_absent || unfinished).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.undo(was_absent, error).await),
        }
    }

    /// Uploads the file beside the one in use, and has the program itself check it.
    async fn upload(&self) -> Result<(), Error> {
        let staged = self.service.staged();
        self.machine.put(&staged, self.text).await?;
        let check: &[&str] = match self.service {
            Service::Haproxy => &["haproxy", "-c", "-f", &staged],
            Service::Keepalived => &["keepalived", "--config-test", "--use-file", &staged],
        };
        let output = self.machine.root(check).await?;
        if output.success() {
            return Ok(());
        }
        self.tidy().await?;
        Err(Error::Rejected {
            node: self.node(),
            service: self.service,
            said: output.messages(),
        })
    }

    /// Links the previous file beside, swaps, reloads and proves. `skip_link`: there is no previous file, or a killed run has
    /// linked it already.
    async fn replace(&self, skip_link: bool) -> Result<(), Error> {
        let (file, staged, previous) = (
            self.service.file(),
            self.service.staged(),
            self.service.previous(),
        );
        if !skip_link {
            // A hard link, which exists in full from the first moment: a copy may be cut off.
            let link = ["ln", "-T", "--", file, &previous];
            self.machine.root_ok(&link).await?;
            fail::fail_point!("lb::kept");
        }
        let swap = ["mv", "-f", "-T", "--", &staged, file];
        self.machine.root_ok(&swap).await?;
        fail::fail_point!("lb::swapped");
        self.reload().await?;
        fail::fail_point!("lb::reloaded");
        self.prove(PROOF_SECONDS).await?;
        fail::fail_point!("lb::proven");
        self.machine.root_ok(&["rm", "-f", "--", &previous]).await?;
        Ok(())
    }

    /// Rolls back to the file before `replace`; `why` is the failure that made it necessary.
    async fn undo(&self, was_absent: bool, why: Error) -> Failure {
        match self.restore(was_absent).await {
            Ok(()) => Failure::PutBack(why),
            Err(source) => Failure::Lost(Error::PutBack {
                node: self.node(),
                service: self.service,
                why: why.to_string(),
                source: Box::new(source),
            }),
        }
    }

    async fn restore(&self, was_absent: bool) -> Result<(), Error> {
        let (file, previous) = (self.service.file(), self.service.previous());
        self.tidy().await?;
        if was_absent {
            // Without its file, which this deployment has added, the service can't have run before.
            let unit = self.service.name();
            self.machine.root_ok(&["systemctl", "stop", unit]).await?;
            self.machine.root_ok(&["rm", "-f", "--", file]).await?;
            return Ok(());
        }
        if self.has_previous().await? {
            // A copy, not a move: both names may still link to the same file, and then mv refuses.
            let staged = self.service.staged();
            let copy = ["cp", "-T", "--", &previous, &staged];
            self.machine.root_ok(&copy).await?;
            let back = ["mv", "-f", "-T", "--", &staged, file];
            self.machine.root_ok(&back).await?;
            self.reload().await?;
            self.machine.root_ok(&["rm", "-f", "--", &previous]).await?;
        }
        if self.is_active().await? {
            Ok(())
        } else {
            Err(self.not_serving("its unit is not active"))
        }
    }

    /// Reloads a service that runs, which keeps its connections, or starts it. From now on it starts at boot.
    async fn reload(&self) -> Result<(), Error> {
        let unit = self.service.name();
        self.machine
            .root_ok(&["systemctl", "--quiet", "enable", unit])
            .await?;
        self.machine
            .root_ok(&["systemctl", "reload-or-restart", unit])
            .await?;
        Ok(())
    }

    /// An error unless the service runs with its file, and serves within `timeout` seconds.
    pub async fn prove(&self, timeout: &str) -> Result<(), Error> {
        if !self.is_active().await? {
            return Err(self.not_serving("its unit is not active"));
        }
        let said = match haproxy::digest(self.text) {
            Some(digest) => self.probe(timeout, digest).await?,
            None => self.unable(timeout).await?,
        };
        said.map_or(Ok(()), |said| Err(self.not_serving(&said)))
    }

    /// What HAProxy lacks to serve with the file of this digest.
    async fn probe(&self, timeout: &str, digest: &str) -> Result<Option<String>, Error> {
        let private = haproxy::PRIVATE_PORT.to_string();
        let ports: Vec<String> = self.rendered.ports.iter().map(u16::to_string).collect();
        let mut argv = vec!["python3", "-I", "-c", PROBE, timeout, digest, &private];
        argv.extend(ports.iter().map(String::as_str));
        let output = self.machine.root(&argv).await?;
        Ok((!output.success()).then(|| output.messages()))
    }

    /// Why keepalived could not take the virtual address. Which balancer has it is checked once all balancers serve.
    async fn unable(&self, timeout: &str) -> Result<Option<String>, Error> {
        let Some(vrrp) = &self.rendered.vrrp else {
            return Ok(None);
        };
        let observation = vrrp::observe(&self.machine, vrrp.vip, timeout, "0").await?;
        Ok(vrrp::unable(&observation))
    }

    async fn is_active(&self) -> Result<bool, Error> {
        let unit = self.service.name();
        self.machine
            .ask(&["systemctl", "--quiet", "is-active", unit])
            .await
    }

    async fn has_previous(&self) -> Result<bool, Error> {
        let previous = self.service.previous();
        self.machine.ask(&["test", "-e", &previous]).await
    }

    fn not_serving(&self, said: &str) -> Error {
        Error::NotServing {
            node: self.node(),
            service: self.service,
            said: said.to_owned(),
        }
    }

    fn node(&self) -> Label {
        self.machine.node.clone()
    }
}
