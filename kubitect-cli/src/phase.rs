//! [`Phase`]: one part of a run, with all that is decided of it. A plan is a list of them: shown, printed as JSON and
//! carried out.

use std::collections::BTreeSet;
use std::fmt;

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::{Label, Version};
use kubitect_kubespray::living::{Seen, Stage, Task};
use kubitect_provision::change::{Change, Kind, Part, Step};
use kubitect_provision::gather::Leaving;
use kubitect_provision::plan::Plan as Machines;

/// One part of a run. Each is complete before the next begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Networks, disks and machines are made, started and grown, on all hosts side by side; then machines are waited for.
    /// Kubespray is prepared meanwhile. Always the first.
    Make(Make),
    /// A machine's system takes into use what it was given while it runs.
    Use {
        /// What it was given.
        change: Change,
        /// Whether a kubelet runs on it, which reads the machine's size when it starts.
        kubelet: bool,
    },
    /// Balancers that leave give up the virtual address.
    GiveUpAddress(Vec<Label>),
    /// The balancers' files are rolled out.
    Balance {
        /// The balancers, and whether each serves already.
        balancers: Vec<(Label, bool)>,
        /// Masters that leave, to which the balancers go on leading meanwhile: no other API serves yet, and those that join
        /// do it through a balancer. It is rolled out once more after the tasks then, and noted only then.
        besides: Vec<Label>,
        /// Balancers that leave, which give up the virtual address as soon as those that stay serve.
        give_up: Vec<Label>,
    },
    /// A machine is switched off and on again.
    Restart {
        /// Why, and with which definition.
        change: Change,
        /// Only if libvirt refused to give it processors while it runs.
        if_refused: bool,
        /// Whether Kubernetes runs on it: then its pods and connections go elsewhere first.
        has_kubelet: bool,
    },
    /// Balancers are switched off and on again, one after another: the one that holds the virtual address last, and each only
    /// when the one before serves. Who holds it is known only then.
    RestartBalancers(Vec<RestartBalancer>),
    /// Something is done to Kubernetes.
    Kubernetes(Task),
    /// Machines and disks that are no longer wanted go.
    Remove(Vec<Change>),
}

/// A balancer that is switched off and on again.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartBalancer {
    /// Why, and with which definition.
    pub change: Change,
    /// Only if libvirt refused to give it processors while it runs.
    pub if_refused: bool,
}

/// How machines come to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Make {
    /// What is done on the hosts; often nothing.
    pub changes: Vec<Change>,
    /// The machines that are waited for.
    pub awaited: BTreeSet<Label>,
    /// The Kubespray releases that the plan's tasks need.
    pub releases: BTreeSet<Version>,
}

/// What phases follow from.
pub struct Parts<'a> {
    /// What is wanted.
    pub cluster: &'a Cluster,
    /// What is done on the hosts.
    pub machines: &'a Machines,
    /// What is done to Kubernetes.
    pub tasks: Vec<Task>,
    /// The machines that are wanted or still exist.
    pub seen: &'a [Seen],
    /// The machines that still exist and are not wanted.
    pub leaving: &'a [Leaving],
    /// The balancers whose files differ, and whether each serves already.
    pub balancers: Vec<(Label, bool)>,
    /// Whether a balancer that is wanted serves already.
    pub one_stays: bool,
}

/// All phases, in their order.
///
/// - Machines first: everything else needs them.
/// - Balancers before tasks: nodes join through them. A balancer that is set up takes the virtual address as soon as those that
///   leave give it up; where none is set up yet, they keep it until the new ones serve.
/// - A machine on which Kubernetes is not set up yet is restarted before the tasks, which may need its new size; the others
///   after them, one by one.
/// - Removals last: nothing leads to what goes by then.
pub fn phases(parts: Parts<'_>) -> Vec<Phase> {
    let part = |part: Part| {
        let changes = parts.machines.changes.iter();
        changes.filter(move |change| change.part == part).cloned()
    };
    let mut phases = vec![Phase::Make(Make {
        changes: part(Part::Make).collect(),
        awaited: parts.awaited(),
        releases: releases(&parts.tasks),
    })];
    phases.extend(part(Part::Use).map(|change| Phase::Use {
        kubelet: parts.has_kubelet(&change.name),
        change,
    }));
    let again = parts.balance(&mut phases);
    let (last, first): (Vec<_>, Vec<_>) = parts.restarts().partition(
        |phase| matches!(phase, Phase::Restart { change, .. } if !parts.sets_up(change)),
    );
    phases.extend(first);
    phases.extend(parts.tasks.iter().cloned().map(Phase::Kubernetes));
    phases.extend(again);
    phases.extend(parts.restart_balancers());
    phases.extend(last);
    let removed: Vec<_> = part(Part::Remove).collect();
    if !removed.is_empty() {
        phases.push(Phase::Remove(removed));
    }
    phases
}

impl Parts<'_> {
    /// The machines to wait for: all that are not known to be set up, that are started, or that a run that stopped may have
    /// restarted. Whoever needs one of the others logs in on it then.
    fn awaited(&self) -> BTreeSet<Label> {
        let nodes = self.cluster.nodes.iter();
        let awaited = nodes.filter(|node| self.is_touched(node) || !self.is_settled(node));
        awaited.map(|node| node.name.clone()).collect()
    }

    fn is_touched(&self, node: &Node) -> bool {
        self.machines.changes.iter().any(|change| {
            change.part == Part::Make
                && change.kind == Kind::Domain
                && change.name == node.name.as_str()
        })
    }

    fn is_settled(&self, node: &Node) -> bool {
        match node.role {
            Role::LoadBalancer => !self.balancers.contains(&(node.name.clone(), false)),
            _ => {
                let own = self.seen.iter().find(|seen| seen.node.name == node.name);
                own.is_some_and(Seen::is_settled)
            }
        }
    }

    fn has_kubelet(&self, name: &str) -> bool {
        let mut seen = self.seen.iter();
        seen.any(|seen| seen.node.name.as_str() == name && seen.finished().is_some())
    }

    /// Whether a change is one of a machine on which Kubernetes has yet to be set up.
    fn sets_up(&self, change: &Change) -> bool {
        self.seen.iter().any(|seen| {
            seen.node.name.as_str() == change.name
                && seen.node.role != Role::LoadBalancer
                && seen.finished().is_none()
        })
    }

    /// Adds the phases of balancers before the tasks, and gives the one after them, if there is one.
    fn balance(&self, phases: &mut Vec<Phase>) -> Option<Phase> {
        let leave = |leaving: &&Leaving| leaving.role == Role::LoadBalancer;
        let give_up: Vec<_> = match self.cluster.balancing.vip {
            Some(_) => self.leaving.iter().filter(leave).collect(),
            None => Vec::new(),
        };
        let mut give_up: Vec<_> = give_up.iter().map(|own| own.name.clone()).collect();
        if !give_up.is_empty() && (self.one_stays || self.balancers.is_empty()) {
            phases.push(Phase::GiveUpAddress(std::mem::take(&mut give_up)));
        }
        if self.balancers.is_empty() {
            return None;
        }
        let besides = self.besides();
        let balance = |besides, give_up| Phase::Balance {
            balancers: self.balancers.clone(),
            besides,
            give_up,
        };
        let again = (!besides.is_empty()).then(|| balance(Vec::new(), Vec::new()));
        phases.push(balance(besides, give_up));
        again
    }

    /// The masters that leave, if of all masters only these have joined.
    fn besides(&self) -> Vec<Label> {
        let masters = self
            .seen
            .iter()
            .filter(|seen| seen.node.role == Role::Master && seen.finished().is_some());
        let (wanted, leave): (Vec<_>, Vec<_>) = masters.partition(|seen| seen.wanted);
        if !wanted.is_empty() {
            return Vec::new();
        }
        let has_address = |name: &Label| {
            let mut leaving = self.leaving.iter();
            leaving.any(|leaving| leaving.name == *name && leaving.ip.is_some())
        };
        let names = leave.iter().map(|seen| seen.node.name.clone());
        names.filter(has_address).collect()
    }

    /// The restarts of masters and workers.
    fn restarts(&self) -> impl Iterator<Item = Phase> {
        let nodes = self.all_restarts();
        let nodes = nodes.filter(|(change, _)| !self.is_balancer(change));
        nodes.map(|(change, if_refused)| Phase::Restart {
            has_kubelet: self.has_kubelet(&change.name),
            change,
            if_refused,
        })
    }

    fn restart_balancers(&self) -> Option<Phase> {
        let balancers = self.all_restarts();
        let balancers = balancers.filter(|(change, _)| self.is_balancer(change));
        let balancers: Vec<_> = balancers
            .map(|(change, if_refused)| RestartBalancer { change, if_refused })
            .collect();
        (!balancers.is_empty()).then_some(Phase::RestartBalancers(balancers))
    }

    fn is_balancer(&self, change: &Change) -> bool {
        let mut balancers = self.cluster.role(Role::LoadBalancer);
        balancers.any(|node| node.name.as_str() == change.name)
    }

    /// The restarts, and those of machines that libvirt may refuse to give processors while they run (true).
    fn all_restarts(&self) -> impl Iterator<Item = (Change, bool)> {
        let changes = self.machines.changes.iter();
        changes.filter_map(|change| match &change.step {
            _ if change.part == Part::Restart => Some((change.clone(), false)),
            Step::SetVcpus(_) => Some((change.if_refused()?, true)),
            _ => None,
        })
    }
}

/// The Kubespray releases that tasks run playbooks of.
fn releases(tasks: &[Task]) -> BTreeSet<Version> {
    let plays = |task: &&Task| {
        !matches!(
            task.stage,
            Stage::Snapshot | Stage::Describe(_) | Stage::Release(_)
        )
    };
    let tags = tasks.iter().filter(plays);
    tags.map(|task| task.at.kubespray.clone()).collect()
}

/// What the phase is, in a few words.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(_) => f.write_str("make machines"),
            Self::Use { change, .. } => write!(f, "take into use what {} was given", change.name),
            Self::GiveUpAddress(_) => f.write_str("give up the virtual address"),
            Self::Balance { besides, .. } if !besides.is_empty() => {
                f.write_str("set up balancers, for the masters that leave, too")
            }
            Self::Balance { .. } => f.write_str("set up balancers"),
            Self::Restart { change, .. } => write!(f, "restart {}", change.name),
            Self::RestartBalancers(balancers) => {
                let names = balancers.iter().map(|own| own.change.name.as_str());
                let names: Vec<_> = names.collect();
                write!(f, "restart {}", names.join(", "))?;
                match names.len() {
                    1 => Ok(()),
                    _ => f.write_str(", one after another"),
                }
            }
            Self::Kubernetes(task) => task.stage.fmt(f),
            Self::Remove(_) => f.write_str("remove what is not wanted"),
        }
    }
}
