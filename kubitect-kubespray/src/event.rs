//! [`Event`]: what is reported while Kubernetes is prepared, set up or changed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something that happened. `Display` is one line for people, `Serialize` is the same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// This run waits for another one that is preparing the same.
    Waiting {
        /// What is prepared.
        what: String,
    },
    /// Kubespray is being fetched.
    Fetching {
        /// The tag.
        tag: String,
        /// The repository.
        url: String,
    },
    /// Kubespray's checkout exists.
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
    /// The Python environment exists.
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
        /// The tags of the tasks that are run; empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// The file with Ansible's whole output.
        log: PathBuf,
    },
    /// A play starts.
    PlayStarted {
        /// Its name.
        play: String,
    },
    /// A task starts. Ansible does not know how many tasks the playbook has.
    TaskStarted {
        /// Its number in the playbook, from 1.
        number: usize,
        /// Its name.
        task: String,
    },
    /// A task has ended on a host, or is tried again there.
    HostDone {
        /// The host.
        host: String,
        /// The task.
        task: String,
        /// How it ended.
        outcome: Outcome,
        /// The message of a failure or a retry.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A playbook has ended without a failure.
    PlaybookFinished {
        /// Its file name.
        playbook: String,
        /// How many tasks were started.
        tasks: usize,
        /// How many results are changes of a host.
        changed: usize,
    },
    /// Something that is waited for is not yet true.
    Waits {
        /// What is waited for, as "wait until demo-worker-1 is Ready".
        what: String,
        /// What is still missing.
        why: String,
    },
    /// The wait has ended.
    Waited {
        /// What was waited for, as in [`Event::Waits`].
        what: String,
    },
    /// Kubernetes was changed, or a step failed without which the run goes on.
    Said {
        /// The line for people.
        line: String,
    },
}

/// How a task ended on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It succeeded without a change.
    Ok,
    /// It succeeded and changed the host.
    Changed,
    /// Its condition did not hold for this host.
    Skipped,
    /// It failed.
    Failed,
    /// It failed, and the playbook ignores that.
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
            Self::PlaybookStarted {
                playbook,
                tags,
                log,
            } => {
                write!(f, "running {playbook} (")?;
                if !tags.is_empty() {
                    write!(f, "tags: {}; ", tags.join(", "))?;
                }
                write!(f, "log: {})", log.display())
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
