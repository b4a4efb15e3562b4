//! [`Error`]: what can go wrong between a cluster's description and its running machines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubitect_config::Refusal;
use kubitect_config::error::Kind;
use kubitect_config::value::Name;

/// The cause behind an [`Error`].
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. The text fits after "failed to" or is a sentence of its own; the cause is in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host's libvirt could not be reached.
    #[error("connect to libvirt on host {host} ({uri}): {help}")]
    Connect {
        /// The host, as configured.
        host: String,
        /// Where its libvirt was looked for.
        uri: String,
        /// What to do about it.
        help: String,
        /// What libvirt said.
        source: Source,
    },
    /// Hosts of a cluster can't be reached.
    #[error("{}", .0.iter().map(chain).collect::<Vec<_>>().join("\n"))]
    Hosts(Vec<Error>),
    /// One error that several machines share.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    /// A call of a host's libvirt failed.
    #[error("{action} on host {host}")]
    Hypervisor {
        /// The host, as configured.
        host: String,
        /// What was tried on what, as "define network demo-network".
        action: String,
        /// What libvirt said.
        source: Source,
    },
    /// A resource in libvirt has a name of this cluster's and belongs to something else.
    #[error(
        "touch {kind} {name} on host {host}: it is not this cluster's ({why}); rename or remove it, or rename the cluster"
    )]
    Foreign {
        /// The host, as configured.
        host: String,
        /// What it is: `network`, `pool`, `volume` or `domain`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why it is not this cluster's.
        why: String,
    },
    /// The cluster's address range is used already.
    #[error(
        "use address range {cidr} on host {host}: it overlaps {other}; choose another cluster.network.cidr"
    )]
    RangeTaken {
        /// The host, as configured.
        host: String,
        /// The cluster's range.
        cidr: String,
        /// Who uses it, as "network default (192.168.122.0/24)".
        other: String,
    },
    /// The plan holds changes that can't be done.
    #[error("apply the plan: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    /// The plan needs something that the caller did not supply.
    #[error("apply the plan: {missing}")]
    MissingInput {
        /// What is missing.
        missing: String,
    },
    /// A main disk can't hold the base image.
    #[error(
        "make {volume} of {gib} GiB: the image needs {needed} GiB; raise the node's mainDiskSize"
    )]
    DiskTooSmall {
        /// The disk.
        volume: String,
        /// How large it is to be.
        gib: u64,
        /// How large the image is.
        needed: u64,
    },
    /// A wait took longer than its limit.
    #[error("see {what} within {}{}", human_duration(*after), indented(evidence))]
    Timeout {
        /// What was waited for.
        what: String,
        /// The limit.
        after: Duration,
        /// The last state that was seen, line by line; may be empty.
        evidence: Vec<String>,
    },
    /// A file of this machine could not be used.
    #[error("{action} {}", path.display())]
    File {
        /// The action, as "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The image's bytes are not those that were asked for.
    #[error("use image {image}: its {kind} is {found}, not {wanted}")]
    Checksum {
        /// The image.
        image: String,
        /// `sha256` or `sha512`.
        kind: &'static str,
        /// What it hashes to.
        found: String,
        /// What it should hash to.
        wanted: String,
    },
    /// A private key of this machine can't be used.
    #[error("use the private key {}: {help}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong and what to do about it.
        help: String,
        /// The error of reading it, if that was the reason.
        source: Option<Source>,
    },
    /// A machine showed a host key that is not the pinned one; nothing was sent to it.
    #[error(
        "trust {machine} at {address}: its SSH host key is {found}, but {wanted} is pinned. Another machine may answer \
         at this address, or its disk was replaced behind our back: find out which, then destroy and apply again, \
         or give the machine its key from .ssh/hosts/{machine} of the cluster's folder back"
    )]
    HostKey {
        /// The machine.
        machine: String,
        /// Where it answered.
        address: String,
        /// The pinned key's fingerprint.
        wanted: String,
        /// The fingerprint of the key that was shown, or the kinds of keys that were offered.
        found: String,
    },
    /// A machine can't be reached through its host, for a reason that a retry does not cure.
    #[error("reach {machine} through its host {host}: {help} (ssh says: {said})")]
    Jump {
        /// The machine.
        machine: String,
        /// The host, as `user@address`.
        host: String,
        /// What to do about it.
        help: String,
        /// What OpenSSH's client printed.
        said: String,
    },
    /// Two machines claim one address.
    #[error(
        "distinguish {first} from {second}: both claim the address {ip}, so one of the claims is wrong; look at both \
         (`virsh domifaddr --source agent`), and give each an `ip` of its own"
    )]
    AddressTaken {
        /// The address.
        ip: std::net::Ipv4Addr,
        /// A machine that claims it.
        first: String,
        /// Another one.
        second: String,
    },
    /// An SSH connection to a machine, or a command over it, failed.
    #[error("{action} (machine {machine})")]
    Ssh {
        /// The machine.
        machine: String,
        /// What was tried, as "connect to 192.168.113.10:22".
        action: String,
        /// The error of SSH or of the network.
        source: Source,
    },
    /// A command on a machine failed.
    #[error("{command} on {machine}: exit status {status}: {said}")]
    RemoteCommand {
        /// The machine.
        machine: String,
        /// The command, or what it was for.
        command: String,
        /// Its exit status.
        status: u32,
        /// The last lines of its standard error.
        said: String,
    },
    /// A machine runs and lacks something that Kubitect needs there.
    #[error("use {machine}: {why}{}", indented(evidence))]
    Unusable {
        /// The machine.
        machine: String,
        /// What is missing.
        why: String,
        /// What cloud-init says of it, line by line.
        evidence: Vec<String>,
    },
    /// More than one machine failed.
    #[error("bring up {} machines: {}", .0.len(), .0.iter().map(chain).collect::<Vec<_>>().join("\n"))]
    Machines(Vec<Error>),
    /// More than one machine did not shut down.
    #[error("shut down {} machines: {}", .0.len(), .0.iter().map(chain).collect::<Vec<_>>().join("\n"))]
    StillOn(Vec<Error>),
    /// An image can't be fetched, or can't be a machine's disk.
    #[error("use image {image}: {why}")]
    Image {
        /// The image.
        image: String,
        /// What is wrong and what to do about it.
        why: String,
        /// The error of the network, if that was the reason.
        source: Option<Source>,
    },
    /// A machine's address is not known.
    #[error("reach {machine}: its address is not known")]
    NoAddress {
        /// The machine.
        machine: String,
    },
    /// A machine's host key is not known.
    #[error(
        "reach {machine}: its host key is not in the cluster's folder; `kubitect apply` with the cluster's file brings it back"
    )]
    NoHostKey {
        /// The machine.
        machine: String,
    },
    /// A file or folder may have been written by an untrusted user.
    #[error("trust {}: {why}; {cure}", path.display())]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// Why it is not trusted.
        why: String,
        /// What to do about it.
        cure: String,
    },
    /// Another run of this machine has locked the cluster.
    #[error(
        "take the cluster `{cluster}`: another run is at work on it (process {holder}); wait for it to end"
    )]
    Busy {
        /// The cluster.
        cluster: String,
        /// The number of the run's process.
        holder: String,
    },
    /// A lock on a host says that another run, from another folder, works on the cluster, or may still do so.
    #[error("take the cluster `{cluster}` on host {host}: {}", locked(by, *at_work))]
    Locked {
        /// The cluster.
        cluster: String,
        /// The host, as configured.
        host: String,
        /// The other run.
        by: String,
        /// Whether it certainly still runs.
        at_work: bool,
    },
    /// Another run has replaced this run's lock on a host (`--take-over`).
    #[error(
        "go on with the cluster `{cluster}`: it was taken over on host {host} meanwhile, by {by}; nothing more is changed by this run"
    )]
    TakenOver {
        /// The cluster.
        cluster: String,
        /// The host, as configured.
        host: String,
        /// The other run.
        by: String,
    },
    /// A configuration or site file can't be used.
    #[error(transparent)]
    Config(kubitect_config::Error),
    /// The site file of `--local` sets what only the person's own site file may set.
    #[error("{0}")]
    Site(Box<Refusal>),
    /// One step of the work failed.
    #[error("{what}")]
    Step {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Option<Source>,
    },
    /// The user asked to stop.
    #[error("finish: cancelled between two steps; run the same command again to go on")]
    Cancelled,
}

impl Error {
    /// The kind of the error, where the variant alone decides it.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::HostKey { .. } | Self::Untrusted { .. } | Self::Checksum { .. } => {
                Some(Kind::Untrusted)
            }
            Self::Connect { .. } | Self::Jump { .. } => Some(Kind::HostAway),
            Self::Timeout { .. } => Some(Kind::TimedOut),
            Self::Refused(_) | Self::Site(_) => Some(Kind::Refused),
            Self::Busy { .. } | Self::Locked { at_work: true, .. } | Self::TakenOver { .. } => {
                Some(Kind::Busy)
            }
            Self::Hosts(errors) | Self::Machines(errors) | Self::StillOn(errors) => {
                errors.iter().find_map(Self::kind)
            }
            Self::Shared(error) => error.kind(),
            _ => None,
        }
    }

    /// A failure without a cause below it.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        let (what, source) = (what.into(), None);
        Self::Step { what, source }
    }

    /// A failure of `what`, for the reason `source`.
    pub(crate) fn because(what: impl Into<String>, source: impl Into<Source>) -> Self {
        let (what, source) = (what.into(), Some(source.into()));
        Self::Step { what, source }
    }

    /// There is no connection to this host.
    pub(crate) fn not_connected(host: &Name) -> Self {
        let missing = format!("there is no connection to host {host}");
        Self::MissingInput { missing }
    }

    /// No error: `Ok`; one: that error; several: [`Error::Machines`].
    pub(crate) fn of_machines(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 | 1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Machines(errors)),
        }
    }

    /// The failure of an action on a file.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        Self::File {
            action,
            path,
            source,
        }
    }
}

/// Why a cluster that another run has locked is not changed, and what to do.
fn locked(by: &str, at_work: bool) -> String {
    match at_work {
        true => format!("another run is at work on it ({by}); wait for it to end"),
        false => format!(
            "another run holds it ({by}), and whether that one is still at work can't be seen from here; wait for it to end, or, if \
             it has ended for sure, take its place: --take-over"
        ),
    }
}

/// Evidence below an error, a line each.
fn indented(evidence: &[String]) -> String {
    evidence.iter().map(|line| format!("\n  {line}")).collect()
}

/// The first line of [`chain`]: the error without its evidence.
pub(crate) fn headline(error: &Error) -> String {
    chain(error).lines().next().unwrap_or_default().to_owned()
}

/// An error with its causes, separated by colons.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A duration for people: `90 s`, `5 min`.
pub(crate) fn human_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
