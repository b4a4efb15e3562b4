//! [`Stage`] and [`Task`]: what is done to Kubernetes; and [`Seen`], what it follows from.

use std::fmt;

use kubitect_config::cluster::Node;
use kubitect_config::release::Hop;
use kubitect_config::value::Label;

use super::note::Note;

/// One thing that is done to Kubernetes. Each is complete, and noted, before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The whole cluster is set up.
    Create,
    /// Nodes leave Kubernetes: one master, or any number of workers.
    Leave {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether they answer, and so can be drained and cleaned.
        reachable: bool,
    },
    /// A master joins.
    JoinMaster(Label),
    /// Every API server that stays uses exactly the etcd members that stay.
    Members,
    /// Workers join.
    JoinWorkers(Vec<Label>),
    /// A node's labels and taints are changed.
    Describe(Label),
    /// etcd's data is saved on this machine.
    Snapshot,
    /// A node gets another release.
    Upgrade {
        /// The node.
        node: Label,
        /// Its release.
        to: Hop,
        /// Whether etcd takes no changes while it restarts on this node: there are two members, and both are needed.
        pauses: bool,
    },
    /// Addons are installed or changed.
    Addons,
    /// A node that an interrupted run kept pods or connections away from takes them again.
    Release(Label),
}

/// What is done, in a few words.
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
            Self::Describe(name) => write!(f, "change labels and taints of {name}"),
            Self::Snapshot => f.write_str("save a snapshot of etcd"),
            Self::Upgrade { node, to, .. } => write!(f, "upgrade {node} to {to}"),
            Self::Addons => f.write_str("install the addons"),
            Self::Release(name) => write!(f, "have {name} take pods again"),
        }
    }
}

/// A stage, and the release that the inventory names while it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What is done.
    pub stage: Stage,
    /// The Kubernetes that the nodes have, or get, and the Kubespray that does it.
    pub at: Hop,
}

/// What is seen of one machine that is wanted or still there.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The node.
    pub node: Node,
    /// Whether the configuration has it.
    pub wanted: bool,
    /// What is noted of a master or a worker; nothing of a machine that is recreated.
    pub note: Option<Note>,
    /// Whether it answers, once machines that are off are started.
    pub answers: bool,
}

impl Seen {
    /// The note, if Kubernetes is set up.
    pub fn finished(&self) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.finished)
    }

    /// Whether Kubernetes is set up, and no run left anything kept away from it.
    pub fn is_settled(&self) -> bool {
        self.finished().is_some_and(|note| !note.is_held())
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished().is_some()
    }
}
