//! Waits until a machine is ready: SSH answers with the pinned key, and cloud-init is done.
//!
//! Errors of cloud-init are only warnings if the machine is usable, which is checked: a package update that found no mirror does
//! no harm. cloud-init's files are read instead of running its command: the exit codes and options of that differ between
//! versions, and it takes seconds on a slow machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use kubitect_config::remote::Output;
use kubitect_config::text;
use kubitect_config::waiting::{AT_ONCE, at_most};
use tokio::sync::Semaphore;

use crate::error::{chain, headline, human_duration};
use crate::ssh::cloud_init_errors::cloud_init_errors;
use crate::ssh::cloud_init_stages;
use crate::ssh::session::{Session, Target, last_lines};
use crate::{Error, Event, Outcome};

/// The time limits of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// For a machine to be ready, from the first attempt on.
    pub total: Duration,
    /// For one attempt to log in, and for each command.
    pub attempt: Duration,
    /// Between two attempts.
    pub pause: Duration,
}

impl Default for WaitLimits {
    /// Long enough for several emulated machines that boot on one processor.
    fn default() -> Self {
        Self {
            total: Duration::from_secs(20 * 60),
            attempt: Duration::from_secs(30),
            pause: Duration::from_secs(2),
        }
    }
}

/// The time limit of each command that collects evidence after the wait has failed.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(15);

/// A machine that is ready.
#[derive(Debug)]
pub struct Ready {
    /// A connection to it.
    pub session: Session,
    /// The errors of cloud-init, none of which makes the machine unusable.
    pub warnings: Vec<String>,
}

/// A machine to wait for.
pub struct Machine {
    /// How it is reached.
    pub target: Target,
    /// Programs that it must have; see [`programs`].
    pub programs: Vec<&'static str>,
    /// The limit for this machine; none: [`WaitLimits::total`].
    pub within: Option<Duration>,
    /// Reads the last lines of its console, as evidence for a wait that failed.
    pub console: Console,
}

kubitect_config::debug_fields!(Machine, target, programs, within);

/// Reads the last lines of a machine's console. May block.
pub type Console = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The programs that a machine of this role needs. Of balancers with a VIP, even a single one needs keepalived.
pub fn programs(role: Role, virtual_address: bool) -> Vec<&'static str> {
    let mut programs = vec!["sudo", "python3"];
    if role == Role::LoadBalancer {
        programs.push("haproxy");
        if virtual_address {
            programs.push("keepalived");
        }
    }
    programs
}

/// Prints those of the given programs that are missing.
const MISSING: &str = r#"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for program in "$@"; do
  command -v "$program" >/dev/null || echo "$program"
done
"#;

/// Waits for all machines side by side, with events of each; the result of each, in their order. Boots are waited for all at once;
/// only [`AT_ONCE`] logins are tried at the same time.
pub async fn all_ready(
    machines: Vec<Machine>,
    limits: WaitLimits,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Vec<Result<Ready, Error>> {
    let logins = &Semaphore::new(AT_ONCE);
    let waits = machines.into_iter().map(|machine| async move {
        let what = format!("wait for {}", machine.target.machine);
        on_event(Event::Started { what: what.clone() });
        let on_wait = |why: &str| {
            on_event(Event::Waiting {
                what: what.clone(),
                why: why.to_owned(),
            });
        };
        let result = ready_among(machine, limits, logins, &on_wait).await;
        on_event(match &result {
            Ok(ready) => Event::Finished {
                what,
                outcome: match ready.warnings.as_slice() {
                    [] => Outcome::Done,
                    warnings => Outcome::Warned(warnings.join("; ")),
                },
            },
            Err(error) => Event::Failed {
                what,
                error: headline(error),
            },
        });
        result
    });
    at_most(usize::MAX, waits).await
}

/// Waits for one machine.
pub async fn ready(machine: Machine, limits: WaitLimits) -> Result<Ready, Error> {
    ready_among(machine, limits, &Semaphore::new(1), &|_| {}).await
}

/// As [`ready`], with the shared limit on logins; `on_wait` gets a message whenever what is waited for changes.
async fn ready_among(
    machine: Machine,
    limits: WaitLimits,
    logins: &Semaphore,
    on_wait: &(dyn Fn(&str) + Send + Sync),
) -> Result<Ready, Error> {
    let total = machine.within.unwrap_or(limits.total);
    let wait = Wait {
        logins,
        limits: WaitLimits { total, ..limits },
        on_wait,
        started: Instant::now(),
        console: machine.console,
    };
    let session = wait.login(&machine.target).await?;
    wait.cloud_init(&session).await?;
    // At least one attempt's time, also for a machine that became ready at the last moment.
    let limit = limits.attempt.max(wait.remaining());
    let warnings =
        match tokio::time::timeout(limit, wait.check_usable(&session, &machine.programs)).await {
            Ok(warnings) => warnings?,
            Err(_) => {
                let what = format!("{} answer whether it is usable", machine.target.machine);
                return Err(wait.timeout(what, Vec::new()).await);
            }
        };
    Ok(Ready { session, warnings })
}

struct Wait<'a> {
    /// Limits the logins that are tried at the same time.
    logins: &'a Semaphore,
    limits: WaitLimits,
    on_wait: &'a (dyn Fn(&str) + Send + Sync),
    started: Instant,
    console: Console,
}

impl Wait<'_> {
    fn remaining(&self) -> Duration {
        self.limits.total.saturating_sub(self.started.elapsed())
    }

    async fn login(&self, target: &Target) -> Result<Session, Error> {
        let most = human_duration(self.limits.total);
        (self.on_wait)(&format!("SSH does not answer yet (at most {most})"));
        loop {
            let turn = tokio::time::timeout(self.remaining(), self.logins.acquire()).await;
            let attempt = self.limits.attempt.min(self.remaining());
            let connected = Session::connect(target.clone(), attempt).await;
            drop(turn);
            let error = match connected {
                Ok(session) => return Ok(session),
                // A retry can't succeed.
                Err(error @ (Error::HostKey { .. } | Error::Jump { .. })) => return Err(error),
                Err(error) => chain(&error),
            };
            tokio::time::sleep(self.limits.pause.min(self.remaining())).await;
            if self.remaining().is_zero() {
                let what = format!(
                    "an SSH login as {} on {} ({})",
                    target.user, target.machine, target.address
                );
                return Err(self
                    .timeout(what, vec![format!("last attempt: {error}")])
                    .await);
            }
        }
    }

    async fn cloud_init(&self, session: &Session) -> Result<(), Error> {
        let mut stage = String::new();
        let mut error = None;
        (self.on_wait)(&cloud_init_stages::message(&stage));
        loop {
            // The script on the machine ends before the time is over.
            let seconds = self.remaining().as_secs().saturating_sub(1).min(20);
            let deadline = Duration::from_secs(seconds) + self.limits.attempt;
            let limit = seconds.to_string();
            let argv = [
                "sh",
                "-c",
                cloud_init_stages::WAIT_SCRIPT,
                "sh",
                &limit,
                &stage,
            ];
            match session.run(&argv, deadline.min(self.remaining())).await {
                Ok(output) if output.success() => return Ok(()),
                Ok(output) => {
                    let current = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                    let message = cloud_init_stages::message(&current);
                    if message != cloud_init_stages::message(&stage) {
                        (self.on_wait)(&message);
                    }
                    stage = current.chars().take(40).collect();
                    error = None;
                }
                Err(error @ Error::HostKey { .. }) => return Err(error),
                // The total limit has cut the command off.
                Err(_) if self.remaining().is_zero() => {}
                // The machine may reboot, or be too busy to answer.
                Err(failed) => error = Some(chain(&failed)),
            }
            if error.is_some() || seconds == 0 {
                tokio::time::sleep(self.limits.pause.min(self.remaining())).await;
            }
            if self.remaining().is_zero() {
                let error = error.map(|error| format!("last attempt: {error}"));
                return Err(self.cloud_init_late(session, error).await);
            }
        }
    }

    /// The error that cloud-init has not ended, with its status and the end of its log.
    async fn cloud_init_late(&self, session: &Session, error: Option<String>) -> Error {
        let (status, log) = tokio::join!(self.status(session), self.log(session));
        let evidence = error.into_iter().chain(status).chain(log);
        let what = format!("cloud-init end on {}", session.target().machine);
        self.timeout(what, evidence.collect()).await
    }

    /// An error unless the machine is usable: it has its programs, and sudo without a password. Returns the errors of cloud-init.
    async fn check_usable(
        &self,
        session: &Session,
        programs: &[&str],
    ) -> Result<Vec<String>, Error> {
        let result = session
            .run_ok(&["cat", "/run/cloud-init/result.json"], self.limits.attempt)
            .await?;
        let status = session
            .run(&["cat", "/run/cloud-init/status.json"], self.limits.attempt)
            .await?;
        let errors = cloud_init_errors(&result, &status.stdout);
        let why = match self.missing(session, programs).await? {
            missing if !missing.is_empty() => format!("{} is missing", missing.join(", ")),
            _ if !self.ask(session, &["sudo", "-n", "true"]).await?.success() => {
                format!(
                    "{} may not use sudo without a password",
                    session.target().user
                )
            }
            _ => return Ok(errors),
        };
        let mut evidence: Vec<String> = errors
            .iter()
            .map(|error| format!("cloud-init: {error}"))
            .collect();
        evidence.extend(self.log(session).await);
        Err(Error::Unusable {
            machine: session.target().machine.clone(),
            why,
            evidence,
        })
    }

    async fn missing(&self, session: &Session, programs: &[&str]) -> Result<Vec<String>, Error> {
        let argv = [&["sh", "-c", MISSING, "sh"], programs].concat();
        let missing = session.run_ok(&argv, self.limits.attempt).await?;
        Ok(String::from_utf8_lossy(&missing)
            .lines()
            .take(programs.len())
            .map(text::line)
            .collect())
    }

    async fn ask(&self, session: &Session, argv: &[&str]) -> Result<Output, Error> {
        session.run(argv, self.limits.attempt).await
    }

    /// The output of `cloud-init status`, or why it could not be run.
    async fn status(&self, session: &Session) -> Vec<String> {
        let status = ["cloud-init", "status", "--long"];
        match session
            .run(&status, EVIDENCE_TIMEOUT.min(self.limits.attempt))
            .await
        {
            Ok(output) => labelled("cloud-init", last_lines(&output.stdout, 10)),
            Err(error) => vec![format!("cloud-init: {}", chain(&error))],
        }
    }

    /// The end of cloud-init's log; nothing if it can't be read.
    async fn log(&self, session: &Session) -> Vec<String> {
        let tail = [
            "sudo",
            "-n",
            "tail",
            "-n",
            "15",
            "/var/log/cloud-init-output.log",
        ];
        match session
            .run(&tail, EVIDENCE_TIMEOUT.min(self.limits.attempt))
            .await
        {
            Ok(output) if output.success() => {
                labelled("cloud-init's log", last_lines(&output.stdout, 15))
            }
            _ => Vec::new(),
        }
    }

    async fn timeout(&self, what: String, mut evidence: Vec<String>) -> Error {
        let console = Arc::clone(&self.console);
        // In another thread: it may block, and this task waits for other machines, too.
        let console = tokio::task::spawn_blocking(move || console()).await;
        evidence.extend(labelled("console", console.unwrap_or_default()));
        Error::Timeout {
            what,
            after: self.limits.total,
            evidence,
        }
    }
}

fn labelled(label: &str, lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| format!("{label}: {}", text::line(&line)))
        .collect()
}
