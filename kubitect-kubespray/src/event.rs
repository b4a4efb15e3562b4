//! [`Event`]: what is told while Kubernetes is prepared and set up.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One thing that happened. `Display` is one line for people, `Serialize` the same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// Another run is preparing the same thing; this one waits for it.
    Waiting {
        /// For what.
        what: String,
    },
    /// Kubespray is being fetched.
    Fetching {
        /// The tag.
        tag: String,
        /// From where.
        url: String,
    },
    /// Kubespray's checkout is there.
    SourceReady {
        /// The tag.
        tag: String,
        /// Whether it had to be fetched.
        fetched: bool,
    },
    /// Python packages are being installed.
    Installing {
        /// The interpreter's version.
        python: String,
    },
    /// The Python environment is there.
    PythonReady {
        /// The interpreter's version.
        python: String,
        /// Whether it had to be made.
        made: bool,
    },
    /// A playbook starts.
    PlaybookStarted {
        /// Its file name.
        playbook: String,
        /// Where Ansible's whole output goes.
        log: PathBuf,
    },
    /// A play starts.
    PlayStarted {
        /// Its name.
        play: String,
    },
    /// A task starts: the `number`th of the playbook (how many there will be, Ansible does not know).
    TaskStarted {
        /// From 1.
        number: usize,
        /// Its name.
        task: String,
    },
    /// A host is done with a task.
    HostDone {
        /// The host.
        host: String,
        /// The task.
        task: String,
        /// How it ended.
        outcome: Outcome,
        /// What the task said, where that is worth a line.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A playbook has ended well.
    PlaybookFinished {
        /// Its file name.
        playbook: String,
        /// How many tasks were started.
        tasks: usize,
        /// How many results changed a host.
        changed: usize,
    },
    /// Something is not yet as it is waited for.
    Waits {
        /// What is waited for, as "wait until demo-worker-1 is Ready".
        what: String,
        /// Why it is not yet so.
        why: String,
    },
    /// It is waited for no longer.
    Waited {
        /// What was waited for, as in [`Event::Waits`].
        what: String,
    },
    /// Something was done to Kubernetes, or failed and is gone on without.
    Said {
        /// What, in a line.
        line: String,
    },
}

/// How a task ended on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing was to be done.
    Ok,
    /// Something was done.
    Changed,
    /// It did not concern this host.
    Skipped,
    /// It failed.
    Failed,
    /// It failed, which the playbook does not mind.
    Ignored,
    /// It failed and is tried again.
    Retried,
    /// The host did not answer.
    Unreachable,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { what } => write!(f, "waiting for another run: {what}"),
            Self::Fetching { tag, url } => write!(f, "fetching Kubespray {tag} from {url}"),
            Self::SourceReady { tag, fetched: true } => write!(f, "Kubespray {tag} fetched"),
            Self::SourceReady { tag, .. } => write!(f, "Kubespray {tag} is there already"),
            Self::Installing { python } => {
                write!(
                    f,
                    "installing Kubespray's Python packages (Python {python})"
                )
            }
            Self::PythonReady { python, made: true } => {
                write!(f, "Python {python} environment made")
            }
            Self::PythonReady { python, .. } => {
                write!(f, "Python {python} environment is there already")
            }
            Self::PlaybookStarted { playbook, log } => {
                write!(f, "running {playbook} (log: {})", log.display())
            }
            Self::PlayStarted { play } => write!(f, "play: {play}"),
            Self::TaskStarted { number, task } => write!(f, "task {number}: {task}"),
            Self::HostDone {
                host,
                task,
                outcome,
                message,
            } => {
                let outcome = match outcome {
                    Outcome::Ok => "ok",
                    Outcome::Changed => "changed",
                    Outcome::Skipped => "skipped",
                    Outcome::Failed => "FAILED",
                    Outcome::Ignored => "failed, ignored",
                    Outcome::Retried => "failed, tried again",
                    Outcome::Unreachable => "UNREACHABLE",
                };
                write!(f, "{host}: {task}: {outcome}")?;
                match message.as_deref().and_then(|m| m.lines().next()) {
                    Some(line) => write!(f, ": {line}"),
                    None => Ok(()),
                }
            }
            Self::PlaybookFinished {
                playbook,
                tasks,
                changed,
            } => {
                write!(f, "{playbook} finished: {tasks} tasks, {changed} changes")
            }
            Self::Waits { what, why } => write!(f, "{what}: {why}"),
            Self::Waited { what } => write!(f, "{what}: waited for no longer"),
            Self::Said { line } => f.write_str(line),
        }
    }
}
