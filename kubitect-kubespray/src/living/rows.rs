//! The rows of a plan's tasks, and what work on a node disrupts: its pods, and what only this node serves.

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::cluster::{Effect, Node, Role};
use kubitect_config::edit::edits;
use kubitect_config::policy::TAKES_PODS;
use kubitect_config::release::Hop;
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Problem, Refusal, RefusalKind, Site};

use super::plan;
use super::stage::{ObservedNode, Stage, Task};
use crate::joining;

/// The remark on every plan that drains a node.
const DRAIN_REMARK: &str = "draining a node deletes pods that no controller makes again, and what is in the emptyDir volumes of all its \
     pods; a pod that a disruption budget keeps is waited for, and stops the run when that has taken as long as a drain may \
     (`--drain-timeout`)";

/// The remark on every plan in which a master joins.
const JOIN_REMARK: &str = "when a master joins, Kubespray goes over all masters: variables of addons.kubespray, and a proxy, that were \
     changed since their last upgrade come to all of them, and what these restart (the container runtime, the kubelet, from v2.28 on \
     the API server) restarts on all of them at once";

/// The refusals for the intermediate hops of an upgrade: each is set up with the same file, and its release may not accept all of
/// it.
pub fn hop_refusals<'a>(
    text: &str,
    site: &Site,
    tasks: impl Iterator<Item = &'a Task>,
    cluster: &Cluster,
) -> Vec<Refusal> {
    let last = cluster.kubernetes.hop();
    let hops = tasks.filter_map(|task| match &task.stage {
        Stage::Upgrade { to, .. } if *to != last => Some(to),
        _ => None,
    });
    let hops: BTreeSet<_> = hops.collect();
    let stops = hops.into_iter().flat_map(|hop| {
        let problems = kubitect_config::problems_at_hop(text, site, hop).into_iter();
        problems.map(move |problem| {
            let Problem {
                path,
                message,
                help,
                ..
            } = problem;
            let instead = match path.as_str() {
                // Another file with these versions would have the same problem.
                "kubernetes.version" => help,
                _ => format!("{help}. Apply a file of these versions first"),
            };
            let refusal = Refusal::new(RefusalKind::OnTheWay, message, instead).at(path);
            refusal.of(format!(
                "the upgrade goes over {hop}, where the file would stop it"
            ))
        })
    });
    stops.collect()
}

/// What the rows of tasks are made from.
pub struct RowContext<'a> {
    /// The desired cluster.
    pub cluster: &'a Cluster,
    /// The cluster as it was applied last.
    pub applied: Option<&'a Cluster>,
    /// The machines.
    pub nodes: &'a [ObservedNode],
    /// The release of each node that has joined before the next task.
    pub releases: BTreeMap<Label, Hop>,
    /// Returns the name of a machine's host.
    pub host: &'a dyn Fn(&Label) -> String,
}

kubitect_config::debug_fields!(RowContext<'_>, cluster.name, releases);

impl<'a> RowContext<'a> {
    /// How many masters have joined before the next task; each has a member of etcd.
    fn joined_masters(&self) -> usize {
        let masters = self
            .nodes
            .iter()
            .filter(|own| own.node.role == Role::Master);
        masters
            .filter(|own| self.releases.contains_key(&own.node.name))
            .count()
    }

    /// The context of the first task.
    pub fn new(
        cluster: &'a Cluster,
        applied: Option<&'a Cluster>,
        nodes: &'a [ObservedNode],
        host: &'a dyn Fn(&Label) -> String,
    ) -> Self {
        let releases = nodes.iter().filter_map(|node| {
            let note = node.finished()?;
            Some((node.node.name.clone(), note.release.clone()))
        });
        Self {
            cluster,
            applied,
            nodes,
            releases: releases.collect(),
            host,
        }
    }

    /// The changed variables of addons, each with its former and its new value. Secrets are not shown.
    fn addons(&self) -> String {
        let edits = self.applied.map(|applied| edits(applied, self.cluster));
        let changed = edits.iter().flatten().filter_map(|edit| {
            let path = edit.path.strip_prefix("addons.kubespray.")?;
            let text = edit.to_string();
            Some(format!("{path}{}", text.strip_prefix(&edit.path)?))
        });
        let changed: Vec<_> = changed.collect();
        match changed.is_empty() {
            true => "installed or changed".to_owned(),
            false => changed.join("; "),
        }
    }

    /// The changed labels and taints of a node, each with its former and its new value.
    fn label_changes(&self, name: &Label) -> String {
        let observed = self.nodes.iter().find(|node| node.node.name == *name);
        let both = observed.and_then(|own| Some((&own.node, own.finished()?)));
        let Some((node, note)) = both else {
            return "labels and taints".to_owned();
        };
        let mut changes = Vec::new();
        let keys: BTreeSet<_> = note.labels.keys().chain(node.labels.keys()).collect();
        for key in keys {
            let nothing = "(nothing)";
            let value = |labels: &BTreeMap<String, String>| match labels.get(key) {
                Some(value) => value.clone(),
                None => nothing.to_owned(),
            };
            let (was, is) = (value(&note.labels), value(&node.labels));
            if was != is {
                changes.push(format!("label {key}: {was} -> {is}"));
            }
        }
        let taints = plan::taints(node);
        let new = taints.difference(&note.taints);
        changes.extend(new.map(|taint| format!("+ taint {taint}")));
        let removed = note.taints.difference(&taints);
        changes.extend(removed.map(|taint| format!("- taint {taint}")));
        changes.join("; ")
    }
}

/// The versions before and after an upgrade, in words.
fn from_to(from: Option<&Hop>, to: &Hop) -> String {
    let Hop {
        kubernetes,
        kubespray,
    } = to;
    match from {
        None => format!("to {kubernetes} (Kubespray {kubespray})"),
        Some(from) if from.kubernetes == *kubernetes => {
            format!("{kubernetes} (Kubespray {} -> {kubespray})", from.kubespray)
        }
        Some(from) => format!(
            "{} -> {kubernetes} (Kubespray {kubespray})",
            from.kubernetes
        ),
    }
}

/// Whether another node takes this node's pods, by roles and taints alone. If not, the pods stay on it, unless each of them tolerates
/// the taints of another node: the run asks for that. Masters take pods only in a cluster without workers.
pub(super) fn pods_move(cluster: &Cluster, name: &str) -> bool {
    let role = match cluster.role(Role::Worker).next() {
        Some(_) => Role::Worker,
        None => Role::Master,
    };
    let keeps_out = |node: &Node| {
        let mut taints = node.taints.iter();
        taints.any(|taint| taint.effect != Effect::PreferNoSchedule)
    };
    let mut others = cluster
        .role(role)
        .filter(|node| node.name.as_str() != name && !keeps_out(node));
    others.next().is_some()
}

/// What happens to the API while the only member of etcd restarts, or one of two.
const API_PAUSES: &str = "etcd and the API restart, and don't answer meanwhile";

/// What does not serve while this node is down, because it is the only one of its role; none, if there are others.
fn outage(cluster: &Cluster, name: &str) -> Option<&'static str> {
    let is_only = |role| {
        let names: Vec<_> = cluster.role(role).map(|node| node.name.as_str()).collect();
        names == [name]
    };
    if is_only(Role::Master) {
        Some(API_PAUSES)
    } else if is_only(Role::LoadBalancer) {
        Some("nothing leads to the API meanwhile")
    } else {
        None
    }
}

/// The row of work on a node, with what the work disrupts.
fn with_disruption(mut row: Row, is_drained: bool, cluster: &Cluster, drain: Disruption) -> Row {
    if is_drained {
        row = match pods_move(cluster, &row.name) {
            true => row.disturbing(drain),
            false => row.with("its pods stay on it, unless other nodes take all of them"),
        };
    }
    match outage(cluster, &row.name) {
        Some(outage) => row.disturbing(Disruption::Outage).with(outage),
        None => row,
    }
}

/// The row of a restart, with what it disrupts. A node of Kubernetes is drained before it.
pub fn restart(row: Row, is_drained: bool, cluster: &Cluster) -> Row {
    let row = match is_drained && pods_move(cluster, &row.name) {
        true => row.with("drained before"),
        false => row,
    };
    with_disruption(row, is_drained, cluster, Disruption::Reboot)
}

fn upgrade(row: Row, to: &Hop, pauses: bool, cluster: &Cluster) -> Row {
    let drained = match pods_move(cluster, &row.name) {
        true => "drained, then ",
        false => "",
    };
    let row = row.with(&format!("{drained}{to}"));
    let row = with_disruption(row, true, cluster, Disruption::Drain);
    match pauses && outage(cluster, &row.name).is_none() {
        true => row.disturbing(Disruption::Outage).with(API_PAUSES),
        false => row,
    }
}

/// The remarks on a plan with these tasks and these restarts of nodes: what a person should know and no row shows.
pub fn remarks<'a>(
    cluster: &Cluster,
    tasks: impl IntoIterator<Item = &'a Task>,
    restarts: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = &'static str> {
    let mut drains = restarts.into_iter().any(|name| pods_move(cluster, name));
    let mut joins = false;
    for task in tasks {
        drains |= task.drains(cluster);
        joins |= matches!(task.stage, Stage::JoinMaster(_));
    }
    let remarks = [drains.then_some(DRAIN_REMARK), joins.then_some(JOIN_REMARK)];
    remarks.into_iter().flatten()
}

impl Task {
    /// Whether the task drains a node that has pods to move.
    fn drains(&self, cluster: &Cluster) -> bool {
        match &self.stage {
            Stage::Upgrade { node, .. } => pods_move(cluster, node.as_str()),
            Stage::Leave { .. } => true,
            _ => false,
        }
    }

    /// The rows of the task, one for each node. The context then holds who has joined, and by which release, for the rows of later
    /// tasks.
    pub fn rows(&self, context: &mut RowContext<'_>) -> Vec<Row> {
        let rows = self.rows_of(context);
        let releases = &mut context.releases;
        match &self.stage {
            Stage::Upgrade { node, to, .. } => drop(releases.insert(node.clone(), to.clone())),
            Stage::JoinMaster(name) => drop(releases.insert(name.clone(), self.release.clone())),
            Stage::Leave { nodes, .. } => releases.retain(|name, _| !nodes.contains(name)),
            _ => {}
        }
        rows
    }

    fn rows_of(&self, context: &RowContext<'_>) -> Vec<Row> {
        let (cluster, host, release) = (context.cluster, context.host, self.release.to_string());
        let row = |action: Action, name: &Label, details: &str| {
            Row::new(action, Kind::Node, name.as_str(), host(name)).with(details)
        };
        let on_masters = |kind: Kind, details: &str| -> Vec<_> {
            let first = cluster.role(Role::Master).next().into_iter();
            let rows = first.map(|node| {
                Row::new(
                    Action::Update,
                    kind,
                    cluster.name.as_str(),
                    host(&node.name),
                )
                .with(details)
            });
            rows.collect()
        };
        match &self.stage {
            Stage::Create => {
                let nodes = cluster.nodes.iter();
                let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
                nodes
                    .map(|node| row(Action::Create, &node.name, &release))
                    .collect()
            }
            Stage::Leave { nodes, reachable } => {
                let details = match reachable {
                    true => "drained, then it leaves Kubernetes",
                    false => "it does not answer, and leaves Kubernetes without being asked",
                };
                let worker = format!("{}-worker-", cluster.name);
                let is_last = |name: &Label| {
                    name.as_str().starts_with(&worker)
                        && cluster.role(Role::Worker).next().is_none()
                };
                let leave = |name| {
                    let row = row(Action::Delete, name, details).disturbing(Disruption::Drain);
                    let row = match is_last(name) {
                        true => row.with("no worker stays, and the masters take pods from now on"),
                        false => row,
                    };
                    Row {
                        destructive: true,
                        ..row
                    }
                };
                nodes.iter().map(leave).collect()
            }
            Stage::JoinMaster(name) => {
                let is_second = context.joined_masters() == 1;
                let pauses = match is_second {
                    true => joining::SECOND_MEMBER,
                    false => joining::interruption(&self.release.kubespray),
                };
                let details = format!("joins: {release}; {pauses}");
                let row = row(Action::Create, name, &details);
                vec![match is_second {
                    true => row.disturbing(Disruption::Outage),
                    false => row,
                }]
            }
            Stage::JoinWorkers(names) => {
                let joins = format!("joins: {release}");
                names
                    .iter()
                    .map(|name| row(Action::Create, name, &joins))
                    .collect()
            }
            Stage::Members => {
                // Masters that leave after this serve meanwhile, where balancers lead to them.
                let is_only = cluster.role(Role::Master).count() == 1
                    && (context.joined_masters() == 1
                        || cluster.role(Role::LoadBalancer).next().is_none());
                let disruption = match is_only {
                    true => Disruption::Outage,
                    false => Disruption::Reload,
                };
                let details = "the API servers use the members that stay, one after another";
                let rows = on_masters(Kind::Etcd, details).into_iter();
                rows.map(|row| row.disturbing(disruption)).collect()
            }
            Stage::Snapshot => on_masters(Kind::Etcd, "a snapshot is saved on this machine"),
            Stage::Addons => on_masters(Kind::Addons, &context.addons()),
            Stage::LabelsAndTaints(name) => {
                vec![row(Action::Update, name, &context.label_changes(name))]
            }
            Stage::ReturnToService(name) => vec![row(Action::Update, name, TAKES_PODS)],
            Stage::Upgrade { node, to, pauses } => {
                let row = upgrade(row(Action::Update, node, ""), to, *pauses, cluster);
                let hop = from_to(context.releases.get(node), to);
                vec![Row {
                    upgrade: Some(hop),
                    ..row
                }]
            }
        }
    }
}
