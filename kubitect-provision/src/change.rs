//! [`Change`]: one step of a plan, as a person sees it and as it is carried out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kubitect_config::Refusal;
use kubitect_config::row::Row;
use kubitect_config::value::{Label, Name};
use serde::Serialize;

pub use kubitect_config::row::{Action, Disruption, Kind};

use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// To what kind of thing.
    pub kind: Kind,
    /// To which.
    pub name: String,
    /// Where.
    pub host: Name,
    /// What it disturbs.
    pub disruption: Disruption,
    /// What else a person should know; may be empty.
    pub details: String,
    /// Whether it takes something away besides what its action says; the details say what.
    #[serde(skip)]
    pub loses: bool,
    /// Which part of the run it belongs to.
    #[serde(skip)]
    pub part: Part,
    /// How it is carried out.
    #[serde(skip)]
    pub step: Step,
}

/// The parts of a run, in their order. Between them, whoever applies a plan does what belongs there: machines are waited
/// for, services move to the new ones and away from those that leave, nodes are drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What disturbs no machine that works: making, starting, growing.
    Make,
    /// Machines that were given something take it into use, see [`take_in_use`](crate::ssh::take_in_use); then it is noted
    /// that they have.
    Use,
    /// Machines that work are switched off and on again, one after another.
    Restart,
    /// What is no longer wanted goes.
    Remove,
}

/// How a change is carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Defines and starts a network.
    CreateNetwork(Network),
    /// Starts a network.
    StartNetwork(String),
    /// Keeps addresses for machines.
    Reserve(String, Vec<Reservation>),
    /// Keeps addresses for these machines no longer.
    Unreserve(String, Vec<Reservation>),
    /// Removes a network.
    RemoveNetwork(String),
    /// Defines, builds and starts a pool.
    EnsurePool(Pool),
    /// Starts a pool that holds disks of machines: its folder is never made, since without it its file system is not mounted.
    StartPool(Pool),
    /// Removes a pool with the consoles' logs in it, and its folder if nothing else lies in it.
    RemovePool {
        /// The pool.
        pool: String,
        /// Whether the cluster's disks that may lie in it are removed too, since they could not be seen.
        with_disks: bool,
        /// What stays in it.
        spare: Spared,
    },
    /// Removes the pool of base images if nothing is left in it that anybody needs, with these marks of use.
    RemoveBasePool(Uses),
    /// Uploads and verifies a base image.
    CreateImage(ImageSpec),
    /// Removes a base image, with these marks of its use, unless something has come to need it.
    RemoveImage(String, Uses),
    /// Removes these marks of use from a base image that others need.
    ReleaseImage(String, Uses),
    /// Makes a disk.
    CreateVolume {
        /// The machine that it belongs to.
        node: Label,
        /// The disk; without its backing, which is settled when the image is there.
        volume: Volume,
        /// Whether it lies over the base image.
        overlay: Option<ImageSpec>,
        /// Whether a half-made one is removed first.
        replace: bool,
    },
    /// Makes a disk larger, under its machine if that runs.
    GrowVolume {
        /// The machine that it belongs to.
        node: Label,
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
        /// What it is to its machine: `main`, or its serial number.
        disk: String,
        /// How large it is, in bytes.
        was: u64,
        /// How large it becomes, in bytes.
        capacity: u64,
    },
    /// Writes a machine's seed, over an older one if need be.
    WriteSeed {
        /// The machine.
        node: Label,
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
    },
    /// Removes a volume, unless a machine uses it.
    RemoveVolume {
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
    },
    /// Defines and starts a machine.
    CreateDomain(Domain),
    /// Defines and starts a machine whose definition is gone, with its disk that is there.
    BringBack(Domain),
    /// Defines a machine that runs and whose definition is gone.
    DefineDomain(Domain),
    /// Starts a machine.
    StartDomain(Label),
    /// Has a machine shut down by its own guest.
    ShutDownDomain(Label),
    /// Gives a machine a disk, at once if it runs.
    AttachDisk {
        /// The machine.
        node: Label,
        /// The disk, whose volume is there.
        disk: Disk,
    },
    /// Takes a disk from a machine, at once if it runs.
    DetachDisk {
        /// The machine.
        node: Label,
        /// The volume's path.
        path: PathBuf,
    },
    /// Gives a machine that runs more processors, as in this definition; where libvirt refuses that, it has them from its next
    /// start on, see [`Change::if_refused`].
    SetVcpus(Domain),
    /// Notes that a machine has taken into use what it was given; whoever applies the plan has seen to it.
    TakeInUse {
        /// The machine.
        node: Label,
        /// What it was given, and still has.
        given: Vec<String>,
    },
    /// Switches a machine off, if it is on, defines it anew and starts it.
    Redefine(Domain),
    /// Removes a machine.
    RemoveDomain(Label),
    /// Can't be done, and neither is anything else.
    Refused(Box<Refusal>),
}

impl Step {
    /// The machine whose hardware it changes.
    pub(crate) fn refits(&self) -> Option<&Label> {
        match self {
            Self::CreateVolume { node, .. }
            | Self::GrowVolume { node, .. }
            | Self::AttachDisk { node, .. }
            | Self::DetachDisk { node, .. } => Some(node),
            Self::Redefine(domain) => Some(&domain.name),
            _ => None,
        }
    }

    /// The machine that is given something by it, which its system must take into use, and what that is.
    pub(crate) fn gives(&self) -> Option<(&Label, &str)> {
        match self {
            Self::GrowVolume { node, disk, .. } => Some((node, disk)),
            Self::SetVcpus(domain) => Some((&domain.name, "cpus")),
            _ => None,
        }
    }
}

/// What lies in a host's pools and is not this host's to remove, since hosts may share a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spared {
    /// The names of volumes that machines on other hosts have or are to have.
    pub(crate) volumes: BTreeSet<String>,
    /// Machines on hosts that a removal leaves out: whatever is theirs.
    pub(crate) machines: BTreeSet<Label>,
}

impl Spared {
    /// Whether a volume of this name stays.
    pub(crate) fn has(&self, volume: &str) -> bool {
        let is_of = |machine: &Label| {
            let rest = volume.strip_prefix(machine.as_str());
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        self.volumes.contains(volume) || self.machines.iter().any(is_of)
    }
}

/// Which of the cluster's marks go that say on which hosts its disks lie over a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uses {
    /// Those of this host.
    Of(Name),
    /// Those of all hosts but these.
    AllBut(BTreeSet<Name>),
}

impl Uses {
    /// Whether the mark of a host of this name goes.
    pub(crate) fn go(&self, host: &str) -> bool {
        match self {
            Self::Of(own) => own.as_str() == host,
            Self::AllBut(others) => others.iter().all(|other| other.as_str() != host),
        }
    }
}

/// A base image as the plan knows it: its bytes are known only once it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// The cluster that needs it.
    pub cluster: Label,
    /// Its distro.
    pub distro: String,
    /// Where the pool of base images is made, if it is not there.
    pub pool: Pool,
}

impl Change {
    /// The change in a few words, as "create domain demo-master-1 on localhost".
    pub fn title(&self) -> String {
        format!(
            "{} {} {} on {}",
            self.action, self.kind, self.name, self.host
        )
    }

    /// Why it can't be done, if it can't.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.step {
            Step::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The restart that a machine needs which is given processors while it runs, if libvirt refuses that.
    pub fn if_refused(&self) -> Option<Self> {
        let Step::SetVcpus(domain) = &self.step else {
            return None;
        };
        Some(Self {
            disruption: Disruption::Reboot,
            details: "only if libvirt refuses it processors while it runs".to_owned(),
            part: Part::Restart,
            step: Step::Redefine(domain.clone()),
            ..self.clone()
        })
    }

    /// Whether it destroys something.
    pub fn is_destructive(&self) -> bool {
        let done = self.refusal().is_none();
        let loses = self.loses
            || matches!(self.action, Action::Delete | Action::Replace)
            || self.disruption == Disruption::DataLoss;
        done && loses
    }
}

impl From<&Change> for Row {
    fn from(change: &Change) -> Self {
        let refused = match change.step {
            Step::Refused(_) => "NOT POSSIBLE ",
            _ => "",
        };
        Self {
            disruption: change.disruption,
            details: format!("{refused}{}", change.details),
            destructive: change.is_destructive(),
            follows: matches!(change.step, Step::TakeInUse { .. } | Step::WriteSeed { .. }),
            ..Self::new(
                change.action,
                change.kind,
                &change.name,
                change.host.to_string(),
            )
        }
    }
}
