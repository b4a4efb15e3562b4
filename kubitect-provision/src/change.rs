//! [`Change`]: one change of a plan, as a person sees it and as it is carried out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kubitect_config::Refusal;
use kubitect_config::row::Row;
use kubitect_config::value::{Label, Name};
use serde::Serialize;

pub use kubitect_config::row::{Action, Disruption, Kind};

use crate::resource::{Disk, Domain, Network, Pool, Reservation, Volume};

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// The kind of thing that it is done to.
    pub kind: Kind,
    /// The name of that thing.
    pub name: String,
    /// The host that has it.
    pub host: Name,
    /// What it disturbs.
    pub disruption: Disruption,
    /// What else a person should know; may be empty.
    pub details: String,
    /// Whether it removes something although its action does not say so; the details say what.
    #[serde(skip)]
    pub loses: bool,
    /// Which part of the run it belongs to.
    #[serde(skip)]
    pub part: Part,
    /// How it is carried out.
    #[serde(skip)]
    pub step: Step,
}

/// The parts of a run, in their order. Between them, the caller that applies a plan does what is not libvirt's: it waits for the
/// machines, sets up Kubernetes and balancers on the new ones, drains the nodes that are restarted or leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What disturbs no machine that runs: to create, to start, to enlarge.
    Make,
    /// The caller has the guests' systems take their new hardware into use, see [`take_in_use`](crate::ssh::take_in_use); then their
    /// note that this is due is removed.
    Use,
    /// Machines that run are switched off and on again, one after another.
    Restart,
    /// What is no longer desired is removed. This comes last, when what replaces it serves.
    Remove,
}

/// How a change is carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Defines and starts a network.
    CreateNetwork(Network),
    /// Starts a network.
    StartNetwork(String),
    /// Reserves addresses of a network for machines.
    Reserve(String, Vec<Reservation>),
    /// Removes reservations of a network.
    Unreserve(String, Vec<Reservation>),
    /// Removes a network.
    RemoveNetwork(String),
    /// Defines, builds and starts a pool.
    EnsurePool(Pool),
    /// Starts a pool that holds disks of machines. Its folder is never made: where it is missing, its file system is not mounted.
    StartPool(Pool),
    /// Removes a pool and the console logs in it, and its folder if nothing else lies there.
    RemovePool {
        /// The pool.
        pool: String,
        /// Whether the cluster's disks in it are removed, too: the pool was stopped, so that the plan could not list them.
        with_disks: bool,
        /// What stays in it, since it is another host's.
        protected: Protected,
    },
    /// Removes the pool of base images, with these use marks, if no cluster needs an image in it.
    RemoveBasePool(ReleasedUses),
    /// Uploads and verifies a base image.
    CreateImage(ImageSpec),
    /// Removes a base image, with these use marks, unless a disk has been made over it since the plan.
    RemoveImage(String, ReleasedUses),
    /// Removes these use marks of a base image that other clusters need.
    ReleaseImage(String, ReleasedUses),
    /// Makes a disk.
    CreateVolume {
        /// The machine that it belongs to.
        node: Label,
        /// The disk, without its backing image: that is known only once the image is on the host.
        volume: Volume,
        /// The base image, if the disk is an overlay on it.
        overlay: Option<ImageSpec>,
        /// Whether an existing volume of its name is removed first.
        replace: bool,
    },
    /// Makes a disk larger; where its machine runs, through QEMU, so that the guest sees the new size.
    GrowVolume {
        /// The machine that it belongs to.
        node: Label,
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
        /// Its name in the machine: `main`, or its serial number.
        disk: String,
        /// Its size before, in bytes.
        was: u64,
        /// Its new size, in bytes.
        capacity: u64,
    },
    /// Writes a machine's seed, in place of an older one.
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
    /// Defines and starts a machine whose definition is lost, with its existing main disk.
    RecoverDomain(Domain),
    /// Defines a machine that runs without a definition (libvirt calls it transient).
    DefineDomain(Domain),
    /// Starts a machine.
    StartDomain(Label),
    /// Has a machine's guest shut it down.
    ShutDownDomain(Label),
    /// Attaches a disk to a machine, by hot-plug if it runs.
    AttachDisk {
        /// The machine.
        node: Label,
        /// The disk, whose volume exists.
        disk: Disk,
    },
    /// Detaches a disk from a machine, by hot-unplug if it runs.
    DetachDisk {
        /// The machine.
        node: Label,
        /// The volume's path.
        path: PathBuf,
    },
    /// Hot-plugs processors until the machine has as many as this definition. Where libvirt refuses that, the machine has them from its
    /// next start on, see [`Change::if_refused`].
    SetVcpus(Domain),
    /// Removes the note that a machine has hardware that its system does not use yet. The caller that applies the plan has had the
    /// system take it into use before.
    TakeInUse {
        /// The machine.
        node: Label,
        /// The hardware: `cpus`, `main` (the main disk), serial numbers of data disks.
        given: Vec<String>,
    },
    /// Switches a machine off, if it is on, changes its definition and starts it.
    Redefine(Domain),
    /// Removes a machine.
    RemoveDomain(Label),
    /// Can't be made. A plan with such a change is not applied at all.
    Refused(Box<Refusal>),
}

impl Step {
    /// The machine whose hardware it changes.
    pub(crate) fn changes_hardware_of(&self) -> Option<&Label> {
        match self {
            Self::CreateVolume { node, .. }
            | Self::GrowVolume { node, .. }
            | Self::AttachDisk { node, .. }
            | Self::DetachDisk { node, .. } => Some(node),
            Self::Redefine(domain) => Some(&domain.name),
            _ => None,
        }
    }

    /// The machine that gets more of something it has, and what that is: its system must take the new part into use.
    pub(crate) fn gives(&self) -> Option<(&Label, &str)> {
        match self {
            Self::GrowVolume { node, disk, .. } => Some((node, disk)),
            Self::SetVcpus(domain) => Some((&domain.name, "cpus")),
            _ => None,
        }
    }
}

/// What a removal from one host must leave in its pools: hosts may share a folder, and then see each other's volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protected {
    /// The names of volumes that machines on other hosts have or are to have.
    pub(crate) volumes: BTreeSet<String>,
    /// Machines on hosts that a removal leaves out: all volumes with their names stay.
    pub(crate) machines: BTreeSet<Label>,
}

impl Protected {
    /// Whether the volume of this name stays.
    pub(crate) fn contains(&self, volume: &str) -> bool {
        let is_of = |machine: &Label| {
            let rest = volume.strip_prefix(machine.as_str());
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        self.volumes.contains(volume) || self.machines.iter().any(is_of)
    }
}

/// Which use marks of a base image are removed. A use mark says that disks of a cluster on a host are overlays on the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleasedUses {
    /// The cluster's mark of this host.
    OneHost(Name),
    /// The cluster's marks of all hosts but these.
    AllHostsBut(BTreeSet<Name>),
}

impl ReleasedUses {
    /// Whether the cluster's mark of the host of this name is removed.
    pub(crate) fn includes(&self, host: &str) -> bool {
        match self {
            Self::OneHost(own) => own.as_str() == host,
            Self::AllHostsBut(others) => others.iter().all(|other| other.as_str() != host),
        }
    }
}

/// A base image as far as a plan can name it: its digest and format are known only once it is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// The cluster that needs it.
    pub cluster: Label,
    /// Its distro.
    pub distro: String,
    /// The pool of base images, to be made if it does not exist.
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

    /// The restart that a machine needs if libvirt refuses to hot-plug its processors.
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

    /// Whether it removes something, and can be made.
    pub fn is_destructive(&self) -> bool {
        let is_possible = self.refusal().is_none();
        let loses = self.loses
            || matches!(self.action, Action::Delete | Action::Replace)
            || self.disruption == Disruption::DataLoss;
        is_possible && loses
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
