//! The tasks of a plan as rows, and what work on a node disturbs: its pods, and what it alone serves.

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::cluster::{Effect, Node, Role};
use kubitect_config::edit::edits;
use kubitect_config::policy::TAKES_PODS;
use kubitect_config::release::Hop;
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Problem, Refusal, RefusalKind, Site};

use super::plan;
use super::stage::{Seen, Stage, Task};
use crate::joining;

/// What is true of every drain.
const DRAINING: &str = "draining a node deletes pods that no controller makes again, and what is in the emptyDir volumes of all its \
     pods; a pod that a disruption budget keeps is waited for, and stops the run when that has taken as long as a drain may \
     (`--drain-timeout`)";

/// What is true of every master that joins.
const JOINING: &str = "when a master joins, Kubespray goes over all masters: variables of addons.kubespray, and a proxy, that were \
     changed since their last upgrade come to all of them, and what these restart (the container runtime, the kubelet, from v2.28 on \
     the API server) restarts on all of them at once";

/// What an upgrade would stop at on its way: what of the file the releases between do not take.
pub fn stops<'a>(
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
        let problems = kubitect_config::on_the_way(text, site, hop).into_iter();
        problems.map(move |problem| {
            let Problem {
                path,
                message,
                help,
                ..
            } = problem;
            let instead = match path.as_str() {
                // No file of these versions is any better.
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

/// What the rows of tasks are made with.
pub struct Given<'a> {
    /// The cluster that is wanted.
    pub cluster: &'a Cluster,
    /// The one that was applied last.
    pub applied: Option<&'a Cluster>,
    /// The machines.
    pub seen: &'a [Seen],
    /// What nodes have when a task begins.
    pub releases: BTreeMap<Label, Hop>,
    /// Tells which host carries a machine.
    pub host: &'a dyn Fn(&Label) -> String,
}

kubitect_config::shown_by!(Given<'_>, cluster.name, releases);

impl<'a> Given<'a> {
    /// Before the first task.
    pub fn new(
        cluster: &'a Cluster,
        applied: Option<&'a Cluster>,
        seen: &'a [Seen],
        host: &'a dyn Fn(&Label) -> String,
    ) -> Self {
        let releases = seen.iter().filter_map(|seen| {
            let note = seen.finished()?;
            Some((seen.node.name.clone(), note.release.clone()))
        });
        Self {
            cluster,
            applied,
            seen,
            releases: releases.collect(),
            host,
        }
    }

    /// Which variables of addons change, from what to what. Secrets are not shown.
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

    /// Which labels and taints of a node change, from what to what.
    fn description(&self, name: &Label) -> String {
        let own = self.seen.iter().find(|seen| seen.node.name == *name);
        let Some((node, note)) = own.and_then(|own| Some((&own.node, own.finished()?))) else {
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
        let gone = note.taints.difference(&taints);
        changes.extend(gone.map(|taint| format!("- taint {taint}")));
        changes.join("; ")
    }
}

/// What an upgrade changes, in words.
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

/// Whether another node takes pods of this one, as far as roles and taints say: pods stay on the only one. Masters take pods
/// only where there are no workers.
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

/// What becomes of the API while the only member of etcd restarts, or one of two.
const PAUSES: &str = "etcd and the API restart, and don't answer meanwhile";

/// What stops serving while this node is away, because there is no second one; none: nothing.
fn outage(cluster: &Cluster, name: &str) -> Option<&'static str> {
    let is_only = |role| {
        let names: Vec<_> = cluster.role(role).map(|node| node.name.as_str()).collect();
        names == [name]
    };
    if is_only(Role::Master) {
        Some(PAUSES)
    } else if is_only(Role::LoadBalancer) {
        Some("nothing leads to the API meanwhile")
    } else {
        None
    }
}

/// A row with what work on a node disturbs.
fn disturbing(mut row: Row, is_drained: bool, cluster: &Cluster, drain: Disruption) -> Row {
    if is_drained {
        row = match pods_move(cluster, &row.name) {
            true => row.disturbing(drain),
            false => row.with("its pods stay on it, no other node takes them"),
        };
    }
    match outage(cluster, &row.name) {
        Some(outage) => row.disturbing(Disruption::Outage).with(outage),
        None => row,
    }
}

/// The row of a restart, with what it disturbs. A node of Kubernetes is drained for it.
pub fn restart(row: Row, is_drained: bool, cluster: &Cluster) -> Row {
    let row = match is_drained && pods_move(cluster, &row.name) {
        true => row.with("drained before"),
        false => row,
    };
    disturbing(row, is_drained, cluster, Disruption::Reboot)
}

fn upgrade(row: Row, to: &Hop, pauses: bool, cluster: &Cluster) -> Row {
    let drained = match pods_move(cluster, &row.name) {
        true => "drained, then ",
        false => "",
    };
    let row = row.with(&format!("{drained}{to}"));
    let row = disturbing(row, true, cluster, Disruption::Drain);
    match pauses && outage(cluster, &row.name).is_none() {
        true => row.disturbing(Disruption::Outage).with(PAUSES),
        false => row,
    }
}

/// What a person should know of a plan with these tasks and these restarts of nodes, which no row shows.
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
    let said = [drains.then_some(DRAINING), joins.then_some(JOINING)];
    said.into_iter().flatten()
}

impl Task {
    /// Whether pods are moved away from a node.
    fn drains(&self, cluster: &Cluster) -> bool {
        match &self.stage {
            Stage::Upgrade { node, .. } => pods_move(cluster, node.as_str()),
            Stage::Leave { .. } => true,
            _ => false,
        }
    }

    /// What the task does, a row for each node. What nodes have after it is noted in what is given.
    pub fn rows(&self, given: &mut Given<'_>) -> Vec<Row> {
        let rows = self.rows_of(given);
        if let Stage::Upgrade { node, to, .. } = &self.stage {
            given.releases.insert(node.clone(), to.clone());
        }
        rows
    }

    fn rows_of(&self, given: &Given<'_>) -> Vec<Row> {
        let (cluster, host, at) = (given.cluster, given.host, self.at.to_string());
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
                    .map(|node| row(Action::Create, &node.name, &at))
                    .collect()
            }
            Stage::Leave { nodes, reachable } => {
                let how = match reachable {
                    true => "drained, then it leaves Kubernetes",
                    false => "it does not answer, and leaves Kubernetes without being asked",
                };
                let worker = format!("{}-worker-", cluster.name);
                let is_last = |name: &Label| {
                    name.as_str().starts_with(&worker)
                        && cluster.role(Role::Worker).next().is_none()
                };
                let leave = |name| {
                    let row = row(Action::Delete, name, how).disturbing(Disruption::Drain);
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
                let pauses = joining::pauses(&self.at.kubespray);
                vec![row(Action::Create, name, &format!("joins: {at}; {pauses}"))]
            }
            Stage::JoinWorkers(names) => {
                let joins = format!("joins: {at}");
                names
                    .iter()
                    .map(|name| row(Action::Create, name, &joins))
                    .collect()
            }
            Stage::Members => {
                let disruption = match cluster.role(Role::Master).count() {
                    1 => Disruption::Outage,
                    _ => Disruption::Reload,
                };
                let how = "the API servers use the members that stay, one after another";
                let rows = on_masters(Kind::Etcd, how).into_iter();
                rows.map(|row| row.disturbing(disruption)).collect()
            }
            Stage::Snapshot => on_masters(Kind::Etcd, "a snapshot is saved on this machine"),
            Stage::Addons => on_masters(Kind::Addons, &given.addons()),
            Stage::Describe(name) => vec![row(Action::Update, name, &given.description(name))],
            Stage::Release(name) => vec![row(Action::Update, name, TAKES_PODS)],
            Stage::Upgrade { node, to, pauses } => {
                let row = upgrade(row(Action::Update, node, ""), to, *pauses, cluster);
                let hop = from_to(given.releases.get(node), to);
                vec![Row {
                    upgrade: Some(hop),
                    ..row
                }]
            }
        }
    }
}
