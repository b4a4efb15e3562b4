//! Waits until a machine can be worked with: SSH answers with the pinned key, and cloud-init is done.
//!
//! cloud-init's errors are warnings where the machine is usable, which is found out by looking: an update that found no
//! mirror harms nobody. Its files are read rather than its command, whose exit codes and options differ between
//! versions, and which takes seconds on a slow machine.

use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use kubitect_config::remote::Output;
use kubitect_config::text;
use kubitect_config::waiting::{AT_ONCE, at_most};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::error::{headline, humane, told};
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

/// A machine that can be worked with.
pub struct Ready {
    /// A connection to it.
    pub session: Session,
    /// What cloud-init complained about.
    pub warnings: Vec<String>,
}

/// A machine to wait for.
pub struct Machine<'a> {
    /// How it is reached.
    pub target: Target,
    /// Programs that it must have; see [`programs`].
    pub programs: Vec<&'static str>,
    /// How long it may take, if not as long as others.
    pub within: Option<Duration>,
    /// The last lines of its console, asked for when waiting was in vain.
    pub console: &'a (dyn Fn() -> Vec<String> + Send + Sync),
}

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
    machines: Vec<Machine<'_>>,
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
pub async fn ready(machine: Machine<'_>, patience: Patience) -> Result<Ready, Error> {
    ready_among(machine, patience, &Semaphore::new(1), &|_| {}).await
}

/// The same among others, telling what is waited for whenever that changes.
async fn ready_among(
    machine: Machine<'_>,
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
    let warnings = wait.judge(&session, &machine.programs).await?;
    Ok(Ready { session, warnings })
}

struct Wait<'a> {
    /// How many may be logged in on at the same time.
    logins: &'a Semaphore,
    patience: Patience,
    waits: &'a (dyn Fn(&str) + Send + Sync),
    started: Instant,
    console: &'a (dyn Fn() -> Vec<String> + Send + Sync),
}

impl Wait<'_> {
    fn left(&self) -> Duration {
        self.patience.total.saturating_sub(self.started.elapsed())
    }

    async fn login(&self, target: &Target) -> Result<Session, Error> {
        let most = humane(self.patience.total);
        (self.waits)(&format!("SSH does not answer yet (at most {most})"));
        loop {
            let turn = self.logins.acquire().await;
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
                return Err(self.timeout(what, vec![format!("last attempt: {error}")]));
            }
        }
    }

    async fn cloud_init(&self, session: &Session) -> Result<(), Error> {
        let mut stage = String::new();
        (self.waits)(&stages::told(&stage));
        loop {
            let seconds = self.left().min(Duration::from_secs(20)).as_secs().max(1);
            let deadline = Duration::from_secs(seconds) + self.patience.attempt;
            let error = match session
                .run(
                    &["sh", "-c", stages::DONE, "sh", &seconds.to_string(), &stage],
                    deadline,
                )
                .await
            {
                Ok(output) if output.success() => return Ok(()),
                Ok(output) => {
                    let is = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                    let told = stages::told(&is);
                    if told != stages::told(&stage) {
                        (self.waits)(&told);
                    }
                    stage = is.chars().take(40).collect();
                    None
                }
                Err(error @ Error::HostKey { .. }) => return Err(error),
                // The machine may reboot, or be too busy to answer.
                Err(error) => Some(told(&error)),
            };
            if self.left().is_zero() {
                let mut evidence = Vec::new();
                evidence.extend(error.map(|error| format!("last attempt: {error}")));
                evidence.extend(self.status(session).await);
                evidence.extend(self.log(session).await);
                return Err(self.timeout(
                    format!("cloud-init end on {}", session.target().machine),
                    evidence,
                ));
            }
            if error.is_some() {
                tokio::time::sleep(self.patience.pause.min(self.left())).await;
            }
        }
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
        match self.ask(session, &["cloud-init", "status", "--long"]).await {
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
        match self.ask(session, &tail).await {
            Ok(output) if output.success() => {
                labelled("cloud-init's log", last_lines(&output.stdout, 15))
            }
            _ => Vec::new(),
        }
    }

    fn timeout(&self, what: String, mut evidence: Vec<String>) -> Error {
        evidence.extend(labelled("console", (self.console)()));
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

/// How many complaints of cloud-init are shown.
const COMPLAINTS: usize = 20;

/// The errors of cloud-init's `result.json` and the recoverable ones of `status.json`, which new versions keep apart.
fn complaints(result: &[u8], status: &[u8]) -> Vec<String> {
    let parse = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap_or(Value::Null);
    let (result, status) = (parse(result), parse(status));
    let mut complaints = Vec::new();
    let mut add = |list: &Value| {
        for item in list.as_array().into_iter().flatten() {
            let text = item
                .as_str()
                .map_or_else(|| text::line(&item.to_string()), text::line);
            if complaints.len() < COMPLAINTS && !complaints.contains(&text) {
                complaints.push(text);
            }
        }
    };
    if result["v1"]["errors"].is_array() {
        add(&result["v1"]["errors"]);
    } else {
        add(&Value::from(vec!["its result.json is not understood"]));
    }
    for stage in status["v1"]
        .as_object()
        .into_iter()
        .flat_map(|stages| stages.values())
    {
        for list in stage["recoverable_errors"]
            .as_object()
            .into_iter()
            .flat_map(|kinds| kinds.values())
        {
            add(list);
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_old_and_new_versions_are_found() {
        let result =
            br#"{"v1": {"datasource": "DataSourceNoCloud", "errors": ["('package-update', 1)"]}}"#;
        // 22.4 knows no recoverable errors.
        let old = br#"{"v1": {"datasource": "x", "init": {"errors": [], "finished": 1.5}, "stage": null}}"#;
        assert_eq!(complaints(result, old), ["('package-update', 1)"]);
        let new = br#"{"v1": {"modules-final": {"errors": [],
            "recoverable_errors": {"WARNING": ["no mirror", "no mirror"], "ERROR": ["no package"]}}}}"#;
        let found = complaints(br#"{"v1": {"errors": []}}"#, new);
        assert_eq!(found, ["no mirror", "no package"]);
        let many: Vec<_> = (0..1000).map(|n| format!("\u{1b}[2J{n}\nforged")).collect();
        let many = serde_json::json!({"v1": {"errors": many}}).to_string();
        let found = complaints(many.as_bytes(), b"");
        assert_eq!(found.len(), COMPLAINTS);
        assert_eq!(found[0], "\\u{1b}[2J0\\nforged");
    }

    #[test]
    fn a_clean_end_has_no_complaints_and_nonsense_is_one() {
        assert!(complaints(br#"{"v1": {"errors": []}}"#, b"").is_empty());
        assert_eq!(complaints(b"", b""), ["its result.json is not understood"]);
    }
}
