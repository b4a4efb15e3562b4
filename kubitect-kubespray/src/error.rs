//! [`Error`]: why Kubernetes could not be set up, changed or queried.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubitect_config::Refusal;
use kubitect_config::error::Kind;
use kubitect_config::remote::BoxError;
use kubitect_config::value::Version;

/// Why Kubernetes could not be set up, changed or queried. Each message fits after "failed to set up Kubernetes: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried, as "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A path has a character that SSH or Ansible would interpret.
    #[error("the path `{}` contains {character:?}, which SSH or Ansible would not take literally; \
             move Kubitect's folder (KUBITECT_HOME) or the key to a path without it", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The character.
        character: char,
    },
    /// Beside the inventory is a file of variables that Kubitect did not write.
    #[error("{}: Kubitect writes no such file, its folder may come from elsewhere, and Ansible's variables can run programs on this \
             machine; move it away, or write what it says under addons.kubespray of the cluster file", path.display())]
    Variables {
        /// The file.
        path: PathBuf,
    },
    /// A machine of the cluster is not among the facts.
    #[error(
        "nothing is known of the machine `{node}`; run apply again, which looks at the machines again"
    )]
    MissingFacts {
        /// Its name.
        node: String,
    },
    /// The user sets a variable that Kubitect sets itself.
    #[error("addons.kubespray.{key} cannot be set there: {instead}")]
    ManagedVariable {
        /// The variable.
        key: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The configuration asks for something that Kubitect can't do.
    #[error("{0}")]
    Unsupported(String),
    /// A document could not be written as YAML.
    #[error("write {what} as YAML")]
    Yaml {
        /// Which document.
        what: String,
        /// Why not.
        source: kubitect_config::yaml::Fault,
    },
    /// A kubeconfig can't be read, or holds something that is not accepted.
    #[error("{what} is not a kubeconfig that can be worked with: {reason}")]
    Kubeconfig {
        /// Which kubeconfig.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This Kubitect does not support the Kubespray release.
    #[error("Kubespray {release} is not known to this Kubitect; known are {supported}")]
    UnknownRelease {
        /// The release asked for.
        release: Version,
        /// The supported releases.
        supported: String,
    },
    /// Another run held a lock for too long.
    #[error("waited {} for another run that is preparing {}; if none is running, remove that file", readable(*.waited), path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// How long this run waited.
        waited: Duration,
    },
    /// A program could not be started.
    #[error("start `{program}`; is it installed and on PATH?")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program did not end in time.
    #[error("{what} took longer than {}{}", readable(*.limit), indented(.lines))]
    Slow {
        /// What the program should do.
        what: String,
        /// The limit.
        limit: Duration,
        /// Its last lines.
        lines: String,
    },
    /// A program failed.
    #[error("{what}{}", indented(.lines))]
    Program {
        /// What the program should do.
        what: String,
        /// Its last lines.
        lines: String,
    },
    /// The address of the repository contains a password or a token.
    #[error(
        "the address of Kubespray's repository holds a user name, token or password, which other users could see \
             while git runs; leave it out and let git find it (a credential helper, or an SSH address)"
    )]
    SourceSecret,
    /// The tag stands for another commit than in the public repository.
    #[error(
        "the tag {tag} of `{url}` stands for the commit {found}, and in the public repository for {expected}: somebody changed what \
         would run as root on every machine; if it is a repository with changes of your own, say so in the site file \
         (kubespray.anyCommit: true)"
    )]
    OtherCommit {
        /// The tag.
        tag: Version,
        /// The repository.
        url: String,
        /// Its commit there.
        found: String,
        /// Its commit in the public repository.
        expected: String,
    },
    /// The repository has no such tag.
    #[error("`{url}` has no tag {tag}; {}", similar_tags(.similar))]
    NoTag {
        /// The tag asked for.
        tag: Version,
        /// The repository.
        url: String,
        /// Similar tags that it has.
        similar: Vec<String>,
    },
    /// The shared checkout differs from its tag.
    #[error("the checkout {} has been changed by hand ({changes}); move it away to have it made again, or commit the \
             change to a repository of your own and name that in kubernetes.kubespray.url", path.display())]
    SourceChanged {
        /// The checkout.
        path: PathBuf,
        /// The first difference, and how many there are.
        changes: String,
    },
    /// The machine has no Python on which the release runs.
    #[error(
        "Kubespray {release} runs on Python {wanted}, but {found}; install one of these (with its venv module: \
             python3-venv on Debian and Ubuntu), or install uv, which fetches one, or name an interpreter as \
             kubespray.python in site.yaml"
    )]
    NoPython {
        /// Kubespray's release.
        release: Version,
        /// The minor versions on which it runs.
        wanted: String,
        /// Which interpreters there are.
        found: String,
    },
    /// pip could not install the requirements.
    #[error("install the Python packages of Kubespray {release}; if this machine has no internet, name a package index \
             (pip.indexUrl) or a folder of wheels (pip.findLinks) in site.yaml{}", indented(.lines))]
    Pip {
        /// Kubespray's release.
        release: Version,
        /// pip's last lines.
        lines: String,
    },
    /// A step of the work on a running cluster failed.
    #[error("{what}")]
    Step {
        /// What was tried.
        what: String,
        /// Why it failed, if there is a cause.
        source: Option<BoxError>,
    },
    /// The work is refused, for all of these reasons.
    #[error("{what}: it is refused{}", indented(&Refusal::sentences(.reasons).join("\n")))]
    Refused {
        /// What was asked for.
        what: String,
        /// The reasons.
        reasons: Vec<Refusal>,
    },
    /// The connection to a machine failed.
    #[error("{what}")]
    Remote {
        /// What should be done there.
        what: String,
        /// What the connection failed with.
        source: BoxError,
    },
    /// The output of a program on a machine could not be parsed.
    #[error("{what}: the answer is not what it should be")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
    /// Not all pods of a node could be evicted.
    #[error("drain {node}: {} after {}; end or move them (or relax the disruption budget that keeps them) and apply again{}",
            remaining_pods(.pods), readable(*.after), indented(.lines))]
    Drain {
        /// The node.
        node: String,
        /// When it ended: at its limit, or at an error before.
        after: Duration,
        /// The remaining pods, as `namespace/name: reason`.
        pods: Vec<String>,
        /// kubectl's last lines.
        lines: String,
    },
    /// A node did not become Ready.
    #[error("wait for {node} to be Ready: not within {}: {missing}", readable(*.limit))]
    NotReady {
        /// The node.
        node: String,
        /// The limit.
        limit: Duration,
        /// What was still missing at the end.
        missing: String,
    },
    /// An API server did not serve in time with the etcd members that it was given.
    #[error("wait for the API server with the etcd members {members}: not within {}: {missing}", readable(*.limit))]
    ApiServer {
        /// The members' endpoints.
        members: String,
        /// The limit.
        limit: Duration,
        /// What was still missing at the end.
        missing: String,
    },
    /// The API server of a master did not serve in time, or not in the right version.
    #[error("wait for the API server of {node}: not within {}: {missing}", readable(*.limit))]
    ApiNotReady {
        /// The master.
        node: String,
        /// The limit.
        limit: Duration,
        /// What was still missing at the end.
        missing: String,
    },
    /// Processes of an earlier run still run on a machine.
    #[error("wait for what an earlier run may have left running on {machine} to end: {running}, not within {}; apply again when it \
             has ended, or end it there", readable(*.limit))]
    Busy {
        /// The machine.
        machine: String,
        /// The limit.
        limit: Duration,
        /// The processes.
        running: String,
    },
    /// A playbook failed on a host.
    #[error("{playbook} failed on {host} at \"{task}\": {message}{}; the whole log is {}", other_hosts(*.others), log.display())]
    Playbook {
        /// The playbook.
        playbook: String,
        /// The host that failed first.
        host: String,
        /// The task that failed.
        task: String,
        /// What the task said.
        message: String,
        /// How many other hosts failed.
        others: usize,
        /// Ansible's whole output.
        log: Box<Path>,
    },
    /// Ansible ended with an error although no host failed: because of a syntax error, or a broken environment.
    #[error("{playbook} did not run ({status}); the whole log is {}{}", log.display(), indented(.lines))]
    Ansible {
        /// The playbook.
        playbook: String,
        /// How Ansible ended.
        status: String,
        /// The log's last lines.
        lines: String,
        /// Ansible's whole output.
        log: PathBuf,
    },
    /// No task ended within the limit, and Ansible was stopped.
    #[error("{playbook} was stopped: \"{task}\" has gone on for {} without a result; the whole log is {}", readable(*.limit), log.display())]
    Stalled {
        /// The playbook.
        playbook: String,
        /// The task that did not end.
        task: String,
        /// The limit.
        limit: Duration,
        /// Ansible's whole output.
        log: PathBuf,
    },
}

impl Error {
    /// Its kind, if it has one of its own.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Kubeconfig { .. }
            | Self::OtherCommit { .. }
            | Self::SourceChanged { .. }
            | Self::Variables { .. } => Some(Kind::Untrusted),
            Self::Refused { .. } => Some(Kind::Refused),
            Self::Playbook { .. } | Self::Ansible { .. } => Some(Kind::Playbook),
            Self::Slow { .. }
            | Self::Drain { .. }
            | Self::NotReady { .. }
            | Self::ApiServer { .. }
            | Self::ApiNotReady { .. }
            | Self::Locked { .. }
            | Self::Busy { .. }
            | Self::Stalled { .. } => Some(Kind::TimedOut),
            _ => None,
        }
    }

    /// A failure without a further cause.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Step {
            what: what.into(),
            source: None,
        }
    }

    /// A failure of `what`, with its cause.
    pub(crate) fn because(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Step {
            what: what.into(),
            source: Some(source.into()),
        }
    }

    /// For `map_err`: what was tried on which file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

pub(crate) fn readable(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn indented(lines: &str) -> String {
    lines
        .trim_end()
        .lines()
        .map(|line| format!("\n  {line}"))
        .collect()
}

fn remaining_pods(pods: &[String]) -> String {
    match pods {
        [] => "its pods had not all gone".to_owned(),
        [pod] => format!("one pod had not gone ({pod})"),
        _ => format!("{} pods had not gone ({})", pods.len(), pods.join("; ")),
    }
}

fn other_hosts(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and on 1 other host)".to_owned(),
        n => format!(" (and on {n} other hosts)"),
    }
}

fn similar_tags(tags: &[String]) -> String {
    if tags.is_empty() {
        "it has no tag of a release at all".to_owned()
    } else {
        format!("tags near it are {}", tags.join(", "))
    }
}
