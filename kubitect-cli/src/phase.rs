//! [`Phase`]: one part of a run, with every decision of it. A plan is a list of phases: what is shown, printed as JSON and carried
//! out. Their order, and the reason for it: [`phases`].

use std::collections::BTreeSet;
use std::fmt;

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::{Label, Version};
use kubitect_kubespray::living::{ObservedNode, Stage, Task};
use kubitect_provision::change::{Change, Kind, Part, Step};
use kubitect_provision::gather::Leaving;
use kubitect_provision::plan::Plan as Machines;

/// One part of a run. A phase is complete before the next one begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Networks, disks and machines are created, started and grown, on all hosts side by side; then machines are waited for.
    /// Kubespray is prepared meanwhile. Always the first phase.
    Make(Make),
    /// A machine's guest takes into use what libvirt has hot-plugged or grown.
    Use {
        /// What was added or grown.
        change: Change,
        /// Whether a kubelet runs on it. It is restarted then: it reads the machine's size only when it starts.
        kubelet: bool,
    },
    /// keepalived stops on these balancers, which leave, so that another one takes the virtual address.
    GiveUpAddress(Vec<Label>),
    /// The balancers' files are rolled out.
    Balance {
        /// The balancers, and whether each serves already.
        balancers: Vec<(Label, bool)>,
        /// Masters that leave and stay behind the balancers for now, because fewer than two wanted masters serve yet: so one serves
        /// all the time. The files are rolled out once more before they stop, and noted only then.
        leaving: Vec<Label>,
        /// Balancers that leave. They give up the virtual address as soon as the wanted ones serve.
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
    /// Balancers are switched off and on again, one after another, each only when the one before serves. The holder of the virtual
    /// address is the last one; which one that is, is observed when the phase begins.
    RestartBalancers(Vec<RestartBalancer>),
    /// Something is done to Kubernetes.
    Kubernetes(Task),
    /// Machines and disks that are no longer wanted are removed.
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

/// What the first phase does.
#[derive(Debug, Clone, PartialEq)]
pub struct Make {
    /// What is done on the hosts; often nothing.
    pub changes: Vec<Change>,
    /// The machines that are waited for.
    pub awaited: BTreeSet<Label>,
    /// The Kubespray releases that the plan's tasks need.
    pub releases: BTreeSet<Version>,
}

/// What the phases are decided from.
pub struct Parts<'a> {
    /// The wanted cluster.
    pub cluster: &'a Cluster,
    /// The changes on the hosts.
    pub machines: &'a Machines,
    /// The work on Kubernetes, in its order.
    pub tasks: Vec<Task>,
    /// The machines that are wanted or still exist, with their notes.
    pub nodes: &'a [ObservedNode],
    /// The machines that still exist and are not wanted.
    pub leaving: &'a [Leaving],
    /// The balancers whose files differ, and whether each serves already.
    pub balancers: Vec<(Label, bool)>,
    /// Whether a balancer that is wanted serves already.
    pub any_serves: bool,
}

/// All phases, in their order:
///
/// 1. Machines are created: everything else needs them.
/// 2. Balancers are rolled out before the tasks, because nodes join through them. Balancers that leave give up the virtual address
///    first where a wanted one serves already and can take it. Where none does, they keep it until the new ones serve, so that the
///    API is reachable all the time.
/// 3. Machines on which Kubernetes is not set up yet are restarted: the tasks may need their new size, and no pod runs on them.
/// 4. Tasks: nodes join, leave and are upgraded. Balancers that had to lead to masters that leave are rolled out once more between
///    the last join and the first of these that leaves.
/// 5. Balancers, then the other machines are restarted after the tasks, one by one: connections and pods move elsewhere meanwhile,
///    and the tasks may just have added the nodes that take them.
/// 6. Removals are last: by then no balancer leads to the machine, it is no node of Kubernetes, and etcd does not list it.
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
    let mut second_roll_out = parts.balance(&mut phases);
    let (late, early): (Vec<_>, Vec<_>) = parts.restarts().partition(
        |phase| matches!(phase, Phase::Restart { change, .. } if !parts.lacks_kubernetes(change)),
    );
    phases.extend(early);
    for task in &parts.tasks {
        phases.push(Phase::Kubernetes(task.clone()));
        // All wanted masters serve then, and those that leave come next.
        phases.extend(second_roll_out.take_if(|_| task.stage == Stage::Members));
    }
    phases.extend(second_roll_out);
    phases.extend(parts.restart_balancers());
    phases.extend(late);
    let removed: Vec<_> = part(Part::Remove).collect();
    if !removed.is_empty() {
        phases.push(Phase::Remove(removed));
    }
    phases
}

impl Parts<'_> {
    /// The machines that the first phase waits for: those that it creates, starts or changes, and those whose set-up is not noted
    /// as finished, which a killed run may just have restarted. The others run; a phase that needs one logs in on it then.
    fn awaited(&self) -> BTreeSet<Label> {
        let nodes = self.cluster.nodes.iter();
        let awaited = nodes.filter(|node| self.is_changed(node) || !self.is_settled(node));
        awaited.map(|node| node.name.clone()).collect()
    }

    fn is_changed(&self, node: &Node) -> bool {
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
                let own = self.nodes.iter().find(|own| own.node.name == node.name);
                own.is_some_and(ObservedNode::is_settled)
            }
        }
    }

    fn has_kubelet(&self, name: &str) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|own| own.node.name.as_str() == name && own.finished().is_some())
    }

    /// Whether a change is one of a master or worker on which Kubernetes is not set up yet.
    fn lacks_kubernetes(&self, change: &Change) -> bool {
        self.nodes.iter().any(|own| {
            own.node.name.as_str() == change.name
                && own.node.role != Role::LoadBalancer
                && own.finished().is_none()
        })
    }

    /// Adds the phases of balancers before the tasks. Returns the roll-out among the tasks, if one is necessary.
    fn balance(&self, phases: &mut Vec<Phase>) -> Option<Phase> {
        let is_balancer = |leaving: &&Leaving| leaving.role == Role::LoadBalancer;
        let leaving: Vec<_> = match self.cluster.balancing.vip {
            Some(_) => self.leaving.iter().filter(is_balancer).collect(),
            None => Vec::new(),
        };
        let mut give_up: Vec<_> = leaving.iter().map(|own| own.name.clone()).collect();
        if !give_up.is_empty() && (self.any_serves || self.balancers.is_empty()) {
            phases.push(Phase::GiveUpAddress(std::mem::take(&mut give_up)));
        }
        if self.balancers.is_empty() {
            return None;
        }
        let masters = self.leaving_masters();
        let balance = |leaving, give_up| Phase::Balance {
            balancers: self.balancers.clone(),
            leaving,
            give_up,
        };
        let second = (!masters.is_empty()).then(|| balance(Vec::new(), Vec::new()));
        phases.push(balance(masters, give_up));
        second
    }

    /// The masters that leave, where fewer than two wanted ones have joined. Where none has, the new masters join through the APIs
    /// of those that leave; where one has, theirs answer while its API server restarts with other members of etcd.
    fn leaving_masters(&self) -> Vec<Label> {
        let has_joined = |name: &Label| self.has_kubelet(name.as_str());
        let wanted = self.cluster.role(Role::Master);
        if wanted.filter(|node| has_joined(&node.name)).count() > 1 {
            return Vec::new();
        }
        let masters = self.leaving.iter().filter(|own| own.role == Role::Master);
        let reached = masters.filter(|own| own.ip.is_some());
        let names = reached.map(|own| own.name.clone());
        names.filter(has_joined).collect()
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

    /// All restarts; true for one that is necessary only if libvirt refuses to hot-plug processors.
    fn all_restarts(&self) -> impl Iterator<Item = (Change, bool)> {
        let changes = self.machines.changes.iter();
        changes.filter_map(|change| match &change.step {
            _ if change.part == Part::Restart => Some((change.clone(), false)),
            Step::SetVcpus(_) => Some((change.if_refused()?, true)),
            _ => None,
        })
    }
}

/// The Kubespray releases whose playbooks the tasks run.
fn releases(tasks: &[Task]) -> BTreeSet<Version> {
    let runs_playbook = |task: &&Task| {
        !matches!(
            task.stage,
            Stage::Snapshot | Stage::LabelsAndTaints(_) | Stage::ReturnToService(_)
        )
    };
    let tags = tasks.iter().filter(runs_playbook);
    tags.map(|task| task.release.kubespray.clone()).collect()
}

/// What the phase is, in a few words.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(_) => f.write_str("make machines"),
            Self::Use { change, .. } => write!(f, "take into use what {} was given", change.name),
            Self::GiveUpAddress(_) => f.write_str("give up the virtual address"),
            Self::Balance { leaving, .. } if !leaving.is_empty() => {
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
