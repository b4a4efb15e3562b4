//! Waits until a machine can be worked with: SSH answers with the pinned key, and cloud-init is done.
//!
//! cloud-init's errors are warnings where the machine is usable, which is found out by looking: an update that found no
//! mirror harms nobody. Its files are read rather than its command, whose exit codes and options differ between
//! versions, and which takes seconds on a slow machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use kubitect_config::remote::Output;
use kubitect_config::text;
use kubitect_config::waiting::{AT_ONCE, at_most};
use tokio::sync::Semaphore;

use crate::error::{headline, humane, told};
use crate::ssh::complaints::complaints;
use crate::ssh::session::{Session, Target, last_lines};
use crate::ssh::stages;
use crate::{Error, Event, Outcome};

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a machine to be ready, from the first attempt on.
    pub total: Duration,
    /// For one attempt to log in, and for each question.
    pub attempt: Duration,
    /// Between two attempts.
    pub pause: Duration,
}

impl Default for Patience {
    /// Fit for emulated machines, of which several boot on one processor.
    fn default() -> Self {
        Self {
            total: Duration::from_secs(20 * 60),
            attempt: Duration::from_secs(30),
            pause: Duration::from_secs(2),
        }
    }
}

/// How long a machine may take to answer why it is late, once the time is over.
const EVIDENCE: Duration = Duration::from_secs(15);

/// A machine that can be worked with.
#[derive(Debug)]
pub struct Ready {
    /// A connection to it.
    pub session: Session,
    /// What cloud-init complained about.
    pub warnings: Vec<String>,
}

/// A machine to wait for.
pub struct Machine {
    /// How it is reached.
    pub target: Target,
    /// Programs that it must have; see [`programs`].
    pub programs: Vec<&'static str>,
    /// How long it may take, if not as long as others.
    pub within: Option<Duration>,
    /// The last lines of its console, asked for when waiting was in vain.
    pub console: Console,
}

kubitect_config::shown_by!(Machine, target, programs, within);

/// Reads the last lines of a machine's console. May block.
pub type Console = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What a machine of this role can't do without. Balancers that have a virtual address, even a single one, hold it by
/// keepalived.
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

/// Names the programs that are not there.
const MISSING: &str = r#"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for program in "$@"; do
  command -v "$program" >/dev/null || echo "$program"
done
"#;

/// Waits for all machines side by side, telling of each; what became of each, in their order. None waits for another one to
/// boot; only so many are logged in on at the same time.
pub async fn all_ready(
    machines: Vec<Machine>,
    patience: Patience,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Vec<Result<Ready, Error>> {
    let logins = &Semaphore::new(AT_ONCE);
    let waits = machines.into_iter().map(|machine| async move {
        let what = format!("wait for {}", machine.target.machine);
        on_event(Event::Started { what: what.clone() });
        let waits = |why: &str| {
            on_event(Event::Waiting {
                what: what.clone(),
                why: why.to_owned(),
            });
        };
        let result = ready_among(machine, patience, logins, &waits).await;
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
pub async fn ready(machine: Machine, patience: Patience) -> Result<Ready, Error> {
    ready_among(machine, patience, &Semaphore::new(1), &|_| {}).await
}

/// The same among others, telling what is waited for whenever that changes.
async fn ready_among(
    machine: Machine,
    patience: Patience,
    logins: &Semaphore,
    waits: &(dyn Fn(&str) + Send + Sync),
) -> Result<Ready, Error> {
    let total = machine.within.unwrap_or(patience.total);
    let wait = Wait {
        logins,
        patience: Patience { total, ..patience },
        waits,
        started: Instant::now(),
        console: machine.console,
    };
    let session = wait.login(&machine.target).await?;
    wait.cloud_init(&session).await?;
    // Also what is ready at the last moment is asked.
    let limit = patience.attempt.max(wait.left());
    let warnings = match tokio::time::timeout(limit, wait.judge(&session, &machine.programs)).await
    {
        Ok(warnings) => warnings?,
        Err(_) => {
            let what = format!("{} answer whether it is usable", machine.target.machine);
            return Err(wait.timeout(what, Vec::new()).await);
        }
    };
    Ok(Ready { session, warnings })
}

struct Wait<'a> {
    /// How many may be logged in on at the same time.
    logins: &'a Semaphore,
    patience: Patience,
    waits: &'a (dyn Fn(&str) + Send + Sync),
    started: Instant,
    console: Console,
}

impl Wait<'_> {
    fn left(&self) -> Duration {
        self.patience.total.saturating_sub(self.started.elapsed())
    }

    async fn login(&self, target: &Target) -> Result<Session, Error> {
        let most = humane(self.patience.total);
        (self.waits)(&format!("SSH does not answer yet (at most {most})"));
        loop {
            let turn = tokio::time::timeout(self.left(), self.logins.acquire()).await;
            let attempt = self.patience.attempt.min(self.left());
            let connected = Session::connect(target.clone(), attempt).await;
            drop(turn);
            let error = match connected {
                Ok(session) => return Ok(session),
                // Time does not mend this.
                Err(error @ (Error::HostKey { .. } | Error::Jump { .. })) => return Err(error),
                Err(error) => told(&error),
            };
            tokio::time::sleep(self.patience.pause.min(self.left())).await;
            if self.left().is_zero() {
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
        (self.waits)(&stages::told(&stage));
        loop {
            // The machine's own wait ends before this one.
            let seconds = self.left().as_secs().saturating_sub(1).min(20);
            let deadline = Duration::from_secs(seconds) + self.patience.attempt;
            let given = seconds.to_string();
            let argv = ["sh", "-c", stages::DONE, "sh", &given, &stage];
            match session.run(&argv, deadline.min(self.left())).await {
                Ok(output) if output.success() => return Ok(()),
                Ok(output) => {
                    let is = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                    let told = stages::told(&is);
                    if told != stages::told(&stage) {
                        (self.waits)(&told);
                    }
                    stage = is.chars().take(40).collect();
                    error = None;
                }
                Err(error @ Error::HostKey { .. }) => return Err(error),
                // The end of the time has cut it off.
                Err(_) if self.left().is_zero() => {}
                // The machine may reboot, or be too busy to answer.
                Err(failed) => error = Some(told(&failed)),
            }
            if error.is_some() || seconds == 0 {
                tokio::time::sleep(self.patience.pause.min(self.left())).await;
            }
            if self.left().is_zero() {
                let error = error.map(|error| format!("last attempt: {error}"));
                return Err(self.cloud_init_late(session, error).await);
            }
        }
    }

    /// That cloud-init has not ended, with what it says itself.
    async fn cloud_init_late(&self, session: &Session, error: Option<String>) -> Error {
        let (status, log) = tokio::join!(self.status(session), self.log(session));
        let evidence = error.into_iter().chain(status).chain(log);
        let what = format!("cloud-init end on {}", session.target().machine);
        self.timeout(what, evidence.collect()).await
    }

    /// Whether the machine is usable; if it is, what cloud-init complained about.
    async fn judge(&self, session: &Session, programs: &[&str]) -> Result<Vec<String>, Error> {
        let result = session
            .run_ok(
                &["cat", "/run/cloud-init/result.json"],
                self.patience.attempt,
            )
            .await?;
        let status = session
            .run(
                &["cat", "/run/cloud-init/status.json"],
                self.patience.attempt,
            )
            .await?;
        let complaints = complaints(&result, &status.stdout);
        let why = match self.missing(session, programs).await? {
            missing if !missing.is_empty() => format!("{} is missing", missing.join(", ")),
            _ if !self.ask(session, &["sudo", "-n", "true"]).await?.success() => {
                format!(
                    "{} may not use sudo without a password",
                    session.target().user
                )
            }
            _ => return Ok(complaints),
        };
        let mut evidence: Vec<String> = complaints
            .iter()
            .map(|c| format!("cloud-init: {c}"))
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
        let missing = session.run_ok(&argv, self.patience.attempt).await?;
        Ok(String::from_utf8_lossy(&missing)
            .lines()
            .take(programs.len())
            .map(text::line)
            .collect())
    }

    async fn ask(&self, session: &Session, argv: &[&str]) -> Result<Output, Error> {
        session.run(argv, self.patience.attempt).await
    }

    /// cloud-init's own words on how far it is; nothing if it can't be asked.
    async fn status(&self, session: &Session) -> Vec<String> {
        let status = ["cloud-init", "status", "--long"];
        match session
            .run(&status, EVIDENCE.min(self.patience.attempt))
            .await
        {
            Ok(output) => labelled("cloud-init", last_lines(&output.stdout, 10)),
            Err(error) => vec![format!("cloud-init: {}", told(&error))],
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
            .run(&tail, EVIDENCE.min(self.patience.attempt))
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
        // It may block, and others are waited for in this task.
        let console = tokio::task::spawn_blocking(move || console()).await;
        evidence.extend(labelled("console", console.unwrap_or_default()));
        Error::Timeout {
            what,
            after: self.patience.total,
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
