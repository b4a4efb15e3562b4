//! [`Stage`] and [`Task`]: what is done to Kubernetes; and [`ObservedNode`]: what a plan knows of a machine.

use std::fmt;

use kubitect_config::cluster::Node;
use kubitect_config::release::Hop;
use kubitect_config::value::Label;

use super::note::Note;

/// One change of Kubernetes. Each is complete, and noted on its machines, before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The whole cluster is set up.
    Create,
    /// Nodes leave Kubernetes: one master, or any number of workers.
    Leave {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether their machines answer. Only then can they be drained, and Kubernetes be removed from the machines.
        reachable: bool,
    },
    /// A master joins.
    JoinMaster(Label),
    /// Every API server that stays uses exactly the etcd members that stay.
    Members,
    /// Workers join.
    JoinWorkers(Vec<Label>),
    /// A node's labels and taints are changed.
    LabelsAndTaints(Label),
    /// etcd's data is saved on this machine.
    Snapshot,
    /// A node is upgraded to a newer release.
    Upgrade {
        /// The node.
        node: Label,
        /// The release that it gets.
        to: Hop,
        /// Whether etcd accepts no changes while it restarts on this node: of two members both are needed for a majority.
        pauses: bool,
    },
    /// Addons are installed or changed.
    Addons,
    /// A node that an interrupted run took out of service takes pods and connections again.
    ReturnToService(Label),
}

/// The change in a few words, for people.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[Label]| {
            let names: Vec<_> = names.iter().map(Label::as_str).collect();
            names.join(", ")
        };
        match self {
            Self::Create => f.write_str("set up Kubernetes"),
            Self::Leave { nodes, .. } => write!(f, "remove {} from Kubernetes", names(nodes)),
            Self::JoinMaster(name) => write!(f, "join {name}"),
            Self::Members => f.write_str("give every API server the members of etcd"),
            Self::JoinWorkers(nodes) => write!(f, "join {}", names(nodes)),
            Self::LabelsAndTaints(name) => write!(f, "change labels and taints of {name}"),
            Self::Snapshot => f.write_str("save a snapshot of etcd"),
            Self::Upgrade { node, to, .. } => write!(f, "upgrade {node} to {to}"),
            Self::Addons => f.write_str("install the addons"),
            Self::ReturnToService(name) => write!(f, "have {name} take pods again"),
        }
    }
}

/// A stage, and the release with which it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What is done.
    pub stage: Stage,
    /// The Kubernetes version in the inventory, which the nodes have or get, and the Kubespray whose playbooks run.
    pub release: Hop,
}

/// One machine that is wanted or still exists, with what libvirt says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedNode {
    /// The node.
    pub node: Node,
    /// Whether the file names it.
    pub wanted: bool,
    /// The note of a master or a worker. None for a machine that is recreated: its former note does not count.
    pub note: Option<Note>,
    /// Whether it answers, or will once it is started, if it is off.
    pub answers: bool,
}

impl ObservedNode {
    /// The note, if it says that Kubernetes is set up.
    pub fn finished(&self) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.finished)
    }

    /// Whether Kubernetes is set up, and no run left the node out of service.
    pub fn is_settled(&self) -> bool {
        self.finished().is_some_and(|note| !note.is_held())
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished().is_some()
    }
}
