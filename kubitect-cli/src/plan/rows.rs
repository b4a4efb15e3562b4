//! The steps of a plan, a row each: what is done to what, and what that disturbs.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Effect, Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_kubespray::joining;
use kubitect_kubespray::living::{Stage, Task};
use kubitect_provision::change::{self, Disruption, Step};
use serde::Serialize;

use crate::phase::{Make, Phase};

/// A step in the form that programs get, and people read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) action: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) disruption: Disruption,
    pub(super) details: String,
    pub(super) destructive: bool,
    /// The number of its phase, from 1.
    pub(super) phase: usize,
}

/// What a phase does, a row for each thing.
pub(super) fn phase_rows(
    phase: &Phase,
    cluster: &Cluster,
    host: &dyn Fn(&Label) -> String,
) -> Vec<Row> {
    match phase {
        Phase::Make(Make { changes, .. }) | Phase::Remove(changes) => {
            changes.iter().map(Row::from).collect()
        }
        Phase::Use { change, .. } => vec![Row::from(change)],
        Phase::Restart {
            change, drained, ..
        } => vec![restart_row(change, *drained, cluster)],
        Phase::RestartBalancers(balancers) => balancers
            .iter()
            .map(|own| restart_row(&own.change, false, cluster))
            .collect(),
        // Its row is the one of the machine that goes.
        Phase::GiveUpAddress(_) => Vec::new(),
        Phase::Balance { balancers, .. } => balancers
            .iter()
            .map(|(name, serves)| balancer_row(name, *serves, cluster, host))
            .collect(),
        Phase::Kubernetes(task) => task_rows(task, cluster, host),
    }
}

fn balancer_row(
    name: &Label,
    serves: bool,
    cluster: &Cluster,
    host: &dyn Fn(&Label) -> String,
) -> Row {
    Row {
        action: if serves { "update" } else { "create" }.to_owned(),
        kind: "balancer".to_owned(),
        name: name.to_string(),
        host: host(name),
        disruption: match serves {
            true => Disruption::Reload,
            false => Disruption::None,
        },
        details: match cluster.role(Role::Master).count() {
            1 => "port 6443 to 1 master".to_owned(),
            masters => format!("port 6443 to {masters} masters"),
        },
        destructive: false,
        phase: 0,
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
        node.taints
            .iter()
            .any(|t| t.effect != Effect::PreferNoSchedule)
    };
    let mut others = cluster
        .role(role)
        .filter(|node| node.name.as_str() != name && !keeps_out(node));
    others.next().is_some()
}

/// What stops serving while this node is away, because there is no second one; none: nothing.
fn outage(cluster: &Cluster, name: &str) -> Option<&'static str> {
    let is_only = |role| {
        let names: Vec<_> = cluster.role(role).map(|node| node.name.as_str()).collect();
        names == [name]
    };
    if is_only(Role::Master) {
        Some("etcd and the API restart, and don't answer meanwhile")
    } else if is_only(Role::LoadBalancer) {
        Some("nothing leads to the API meanwhile")
    } else {
        None
    }
}

/// A row with what work on a node disturbs: its pods, and what it alone serves.
fn disturbing(mut row: Row, drained: bool, cluster: &Cluster, drain: Disruption) -> Row {
    let mut details = Vec::new();
    if drained {
        match pods_move(cluster, &row.name) {
            true => row.disruption = row.disruption.max(drain),
            false => details.push("its pods stay on it, no other node takes them"),
        }
    }
    if let Some(outage) = outage(cluster, &row.name) {
        row.disruption = row.disruption.max(Disruption::Outage);
        details.push(outage);
    }
    for detail in details {
        let semicolon = if row.details.is_empty() { "" } else { "; " };
        row.details.push_str(&format!("{semicolon}{detail}"));
    }
    row
}

fn restart_row(change: &change::Change, drained: bool, cluster: &Cluster) -> Row {
    let mut row = Row::from(change);
    if drained && pods_move(cluster, &row.name) {
        let semicolon = if row.details.is_empty() { "" } else { "; " };
        row.details.push_str(&format!("{semicolon}drained before"));
    }
    disturbing(row, drained, cluster, Disruption::Reboot)
}

fn upgrade_row(row: Row, to: &Hop, cluster: &Cluster) -> Row {
    let drained = if pods_move(cluster, &row.name) {
        "drained, then "
    } else {
        ""
    };
    let details = format!("{drained}{to}");
    disturbing(Row { details, ..row }, true, cluster, Disruption::Drain)
}

/// What a task does, a row for each node.
fn task_rows(task: &Task, cluster: &Cluster, host: &dyn Fn(&Label) -> String) -> Vec<Row> {
    let row = |action: &str, name: &Label, details: String| Row {
        action: action.to_owned(),
        kind: "node".to_owned(),
        name: name.to_string(),
        host: host(name),
        disruption: Disruption::None,
        details,
        destructive: false,
        phase: 0,
    };
    let on_masters = |kind: &str, details: &str| {
        let first = cluster.role(Role::Master).next();
        let mut rows: Vec<_> = first
            .map(|node| row("update", &node.name, details.to_owned()))
            .into_iter()
            .collect();
        for row in &mut rows {
            row.kind = kind.to_owned();
            row.name = cluster.name.to_string();
        }
        rows
    };
    match &task.stage {
        Stage::Create => cluster
            .nodes
            .iter()
            .filter(|node: &&Node| node.role != Role::LoadBalancer)
            .map(|node| row("create", &node.name, task.at.to_string()))
            .collect(),
        Stage::Leave { nodes, reachable } => nodes
            .iter()
            .map(|name| Row {
                destructive: true,
                disruption: Disruption::Drain,
                ..row(
                    "delete",
                    name,
                    match reachable {
                        true => "drained, then it leaves Kubernetes".to_owned(),
                        false => "it does not answer, and leaves Kubernetes without being asked"
                            .to_owned(),
                    },
                )
            })
            .collect(),
        Stage::JoinMaster(name) => {
            let pauses = joining::pauses(&task.at.kubespray);
            vec![row("create", name, format!("joins: {}; {pauses}", task.at))]
        }
        Stage::JoinWorkers(names) => names
            .iter()
            .map(|name| row("create", name, format!("joins: {}", task.at)))
            .collect(),
        Stage::Members => {
            let mut rows = on_masters(
                "etcd",
                "the API servers use the members that stay, one after another",
            );
            let disruption = match cluster.role(Role::Master).count() {
                1 => Disruption::Outage,
                _ => Disruption::Reload,
            };
            rows.iter_mut().for_each(|row| row.disruption = disruption);
            rows
        }
        Stage::Snapshot => on_masters("etcd", "a snapshot is brought home"),
        Stage::Addons => on_masters("addons", "installed or changed"),
        Stage::Describe(name) => vec![row("update", name, "labels and taints".to_owned())],
        Stage::Release(name) => vec![row("update", name, "takes pods again".to_owned())],
        Stage::Upgrade { node, to } => {
            vec![upgrade_row(row("update", node, String::new()), to, cluster)]
        }
    }
}

impl From<&change::Change> for Row {
    fn from(change: &change::Change) -> Self {
        let refused = match change.step {
            Step::Refused => "NOT POSSIBLE ",
            _ => "",
        };
        Self {
            action: change.action.to_string(),
            kind: change.kind.to_string(),
            name: change.name.clone(),
            host: change.host.to_string(),
            disruption: change.disruption,
            details: format!("{refused}{}", change.details),
            destructive: change.is_destructive(),
            phase: 0,
        }
    }
}
