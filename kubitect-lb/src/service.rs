//! One program on one balancer: its file put in place so that at every moment a file that served lies there or beside it.
//!
//! ```text
//! FILE                 what the service reads
//! FILE.kubitect-new    uploaded, perhaps in part, never read by the service
//! FILE.kubitect-old    the last file that was seen serving; exists only from before the swap until the proof
//! ```
//!
//! A run that finds `FILE.kubitect-old` knows that `FILE` was never proven: it keeps the old one as what to go back to
//! and goes through all steps again. So a run may be killed anywhere.

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

    /// What it is to read on this balancer, if it is to run there.
    pub fn text(self, rendered: &Rendered) -> Option<&str> {
        match self {
            Self::Haproxy => Some(&rendered.haproxy),
            Self::Keepalived => rendered.keepalived.as_deref(),
        }
    }

    fn aside(self) -> String {
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

/// A service, the machine it runs on and what it is to read there.
pub(crate) struct Deployment<'a, R> {
    pub machine: Machine<'a, R>,
    pub service: Service,
    pub text: &'a str,
    pub rendered: &'a Rendered,
}

/// What became of a deployment that failed after the swap.
pub(crate) enum Failure {
    /// Nothing was swapped.
    Before(Error),
    /// The previous state is back.
    PutBack(Error),
    /// It is not.
    Lost(Error),
}

impl<R: Remote> Deployment<'_, R> {
    /// Whether the file lies there, nothing is unfinished, and the service runs with it.
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
        let aside = self.service.aside();
        self.machine.root_ok(&["rm", "-f", "--", &aside]).await?;
        Ok(())
    }

    /// Puts the file in place and proves that the service runs with it; else puts the previous state back.
    pub async fn carry_out(&self) -> Result<(), Failure> {
        let unfinished = self.has_previous().await.map_err(Failure::Before)?;
        let current = self.machine.read(self.service.file()).await;
        let first = current.map_err(Failure::Before)?.is_none() && !unfinished;
        if let Err(error) = self.upload().await {
            // An earlier run's unproven file may lie in place: that one is undone as well.
            return Err(if unfinished {
                self.undo(first, error).await
            } else {
                Failure::Before(error)
            });
        }
        fail::fail_point!("lb::uploaded");
        match self.replace(first || unfinished).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.undo(first, error).await),
        }
    }

    /// Uploads the file aside and has the program itself judge it.
    async fn upload(&self) -> Result<(), Error> {
        let aside = self.service.aside();
        self.machine.put(&aside, self.text).await?;
        let check: &[&str] = match self.service {
            Service::Haproxy => &["haproxy", "-c", "-f", &aside],
            Service::Keepalived => &["keepalived", "--config-test", "--use-file", &aside],
        };
        let output = self.machine.root(check).await?;
        if output.success() {
            return Ok(());
        }
        self.tidy().await?;
        Err(Error::Rejected {
            node: self.node(),
            service: self.service,
            said: output.said(),
        })
    }

    /// Keeps the previous file (unless there is none to keep), swaps, reloads and proves.
    async fn replace(&self, nothing_to_keep: bool) -> Result<(), Error> {
        let (file, aside, previous) = (
            self.service.file(),
            self.service.aside(),
            self.service.previous(),
        );
        if !nothing_to_keep {
            // A hard link: there at once and in full, which a copy is not.
            let keep = ["ln", "-T", "--", file, &previous];
            self.machine.root_ok(&keep).await?;
            fail::fail_point!("lb::kept");
        }
        let swap = ["mv", "-f", "-T", "--", &aside, file];
        self.machine.root_ok(&swap).await?;
        fail::fail_point!("lb::swapped");
        self.reload().await?;
        fail::fail_point!("lb::reloaded");
        self.prove(PROOF_SECONDS).await?;
        fail::fail_point!("lb::proven");
        self.machine.root_ok(&["rm", "-f", "--", &previous]).await?;
        Ok(())
    }

    /// Puts the state before `replace` back; `why` is what made it necessary.
    async fn undo(&self, first: bool, why: Error) -> Failure {
        match self.restore(first).await {
            Ok(()) => Failure::PutBack(why),
            Err(source) => Failure::Lost(Error::PutBack {
                node: self.node(),
                service: self.service,
                why: why.to_string(),
                source: Box::new(source),
            }),
        }
    }

    async fn restore(&self, first: bool) -> Result<(), Error> {
        let (file, previous) = (self.service.file(), self.service.previous());
        self.tidy().await?;
        if first {
            // Before, there was no file, with which the service could not have run.
            let unit = self.service.name();
            self.machine.root_ok(&["systemctl", "stop", unit]).await?;
            self.machine.root_ok(&["rm", "-f", "--", file]).await?;
            return Ok(());
        }
        if self.has_previous().await? {
            // A copy: the kept file may still be the same one as the file in place, and then mv refuses.
            let aside = self.service.aside();
            let copy = ["cp", "-T", "--", &previous, &aside];
            self.machine.root_ok(&copy).await?;
            let back = ["mv", "-f", "-T", "--", &aside, file];
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

    /// Reloads a running service, which keeps connections, and starts one that does not run, also from now on at boot.
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

    /// An error unless the service runs with its file, and serves within so many seconds.
    pub async fn prove(&self, patience: &str) -> Result<(), Error> {
        if !self.is_active().await? {
            return Err(self.not_serving("its unit is not active"));
        }
        let said = match haproxy::digest(self.text) {
            Some(digest) => self.probe(patience, digest).await?,
            None => self.is_able(patience).await?,
        };
        said.map_or(Ok(()), |said| Err(self.not_serving(&said)))
    }

    /// What HAProxy lacks to serve with the file of this digest.
    async fn probe(&self, patience: &str, digest: &str) -> Result<Option<String>, Error> {
        let private = haproxy::PRIVATE_PORT.to_string();
        let ports: Vec<String> = self.rendered.ports.iter().map(u16::to_string).collect();
        let mut argv = vec!["python3", "-I", "-c", PROBE, patience, digest, &private];
        argv.extend(ports.iter().map(String::as_str));
        let output = self.machine.root(&argv).await?;
        Ok((!output.success()).then(|| output.said()))
    }

    /// Why keepalived could not take the virtual address. Who has it is seen when all balancers serve.
    async fn is_able(&self, patience: &str) -> Result<Option<String>, Error> {
        let Some(vrrp) = &self.rendered.vrrp else {
            return Ok(None);
        };
        let look = vrrp::look(&self.machine, vrrp.vip, patience, "0").await?;
        Ok(vrrp::unable(&look))
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
