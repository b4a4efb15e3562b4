//! [`Plan`]: all that a run will do, from disks to Kubernetes, as a person sees it and as programs do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kubitect_config::cluster::{Effect, Node, Role};
use kubitect_config::edit::{Change, Edit};
use kubitect_config::policy::{Disturbs, Policy, policy};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, chain};
use kubitect_kubespray::joining;
use kubitect_kubespray::living::plan::settings_differ;
use kubitect_kubespray::living::{Note, Seen, Stage, Task, recall, recall_applied, tasks};
use kubitect_provision::change::{self, Disruption, Step};
use kubitect_provision::gather::Leaving;
use kubitect_provision::observe::PowerState;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::preflight::Finding;
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::phase::{Make, Parts, Phase, phases};
use crate::services;

/// All that a run will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Networks, disks, machines.
    pub machines: Machines,
    /// What is done, in this order.
    pub phases: Vec<Phase>,
    /// All machines that are wanted or still there.
    pub seen: Vec<Seen>,
    /// Machines that are still there and not wanted any more.
    pub leaving: Vec<Leaving>,
    /// What becomes of the person's own files.
    pub personal: Personal,
    /// What is doubtful on the hosts, or stands in the way: errors first.
    pub findings: Vec<Finding>,
    /// Who made it.
    pub(crate) made_by: Option<Arc<()>>,
    refused: Vec<String>,
    /// How it is said that the settings differ from what is set up.
    settings_differ: String,
    notes: Vec<String>,
    rows: Vec<Row>,
}

/// What becomes of the person's own files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Personal {
    /// The kubeconfig that gets the cluster's context, or another form of it.
    pub merges: Option<PathBuf>,
    /// The kubeconfig that loses it, because `mergeKubeconfig` was switched off.
    pub unmerges: Option<PathBuf>,
    /// The known hosts that get keys of machines.
    pub adds: Option<PathBuf>,
    /// Those that lose them, because `addToKnownHosts` was switched off.
    pub forgets: Option<PathBuf>,
}

impl Personal {
    fn notes(&self, cluster: &Label) -> Vec<String> {
        let lines = [
            (
                &self.merges,
                format!("gets the cluster, context and user {cluster}"),
            ),
            (
                &self.unmerges,
                format!("loses the cluster, context and user {cluster}"),
            ),
            (
                &self.adds,
                format!("gets the keys of machines of {cluster}"),
            ),
            (
                &self.forgets,
                format!("loses the keys of the machines of {cluster}"),
            ),
        ];
        let lines = lines.into_iter();
        let lines =
            lines.filter_map(|(path, what)| Some(format!("{} {what}", path.as_ref()?.display())));
        lines.collect()
    }
}

/// A step in the form that programs get, and people read.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    action: String,
    kind: String,
    name: String,
    host: String,
    disruption: Disruption,
    details: String,
    destructive: bool,
    /// The number of its phase, from 1.
    phase: usize,
}

impl Plan {
    /// What leads from the machines and the notes that were found to what the cluster wants.
    ///
    /// `files` are the digests of the balancers' files, as far as they are known; `applied` is the configuration that was applied
    /// last.
    pub fn new(
        cluster: &Cluster,
        mut machines: Machines,
        leaving: Vec<Leaving>,
        vanished: Vec<Seen>,
        noted: &BTreeMap<Label, Option<String>>,
        files: &BTreeMap<Label, String>,
        applied: Option<&Cluster>,
    ) -> Result<Self, Failure> {
        let made: Vec<_> = machines.makes().cloned().collect();
        let noted = |name: &Label| match made.contains(name) {
            true => None,
            false => noted.get(name).cloned().flatten(),
        };
        let (notes, unreadable) = read_notes(cluster, &leaving, noted);
        let note = |name: &Label| notes.get(name).cloned();
        let brought_back: Vec<_> = machines.brings_back().cloned().collect();
        let recalled = match applied {
            // Where no machine is left that tells, what was applied does.
            Some(applied) if !notes.values().any(|note| note.finished) => {
                recall_applied(applied, &brought_back)?
            }
            _ => recall(cluster, &brought_back, &notes),
        };
        for (name, note) in &recalled {
            machines.remember(name, &note.text()?);
        }
        let wanted = cluster.nodes.iter().map(|node| Seen {
            node: node.clone(),
            wanted: true,
            note: note(&node.name).or_else(|| recalled.get(&node.name).cloned()),
            answers: !made.contains(&node.name),
        });
        let gone = leaving.iter().map(|leaving| Seen {
            node: leaving.node(),
            wanted: false,
            note: note(&leaving.name),
            answers: leaving.power == PowerState::Running && leaving.ip.is_some(),
        });
        let seen: Vec<_> = wanted.chain(gone).chain(vanished).collect();
        let mut refused: Vec<_> = machines.refused().map(refusal).collect();
        let is_strange = |node: &&Node| {
            node.role != Role::LoadBalancer
                && brought_back.contains(&node.name)
                && !recalled.contains_key(&node.name)
        };
        let mut nodes = cluster
            .nodes
            .iter()
            .filter(|node| node.role != Role::LoadBalancer);
        // Nothing is set up over disks of which nothing tells what is on them.
        if notes.values().any(|note| note.finished)
            || nodes.all(|node| brought_back.contains(&node.name))
        {
            let strange = cluster.nodes.iter().filter(is_strange);
            refused.extend(strange.map(|node| not_known(&node.name)));
        }
        // What is set up on a machine whose note can't be read is not known, so nothing follows from it.
        let tasks = match unreadable.is_empty() {
            true => tasks(cluster, &seen),
            false => Err(unreadable),
        };
        let tasks = tasks.unwrap_or_else(|reasons| {
            refused.extend(reasons);
            Vec::new()
        });
        let mut balancers = cluster.role(Role::LoadBalancer);
        let phases = phases(Parts {
            cluster,
            machines: &machines,
            tasks,
            seen: &seen,
            leaving: &leaving,
            one_stays: balancers.any(|node| noted(&node.name).is_some()),
            balancers: services::outdated(cluster, files, noted),
        });
        let mut plan = Self {
            machines,
            phases,
            seen,
            leaving,
            personal: Personal::default(),
            findings: Vec::new(),
            made_by: None,
            refused,
            settings_differ: settings_differ(cluster),
            notes: Vec::new(),
            rows: Vec::new(),
        };
        plan.rows = plan.rows(cluster);
        if plan.drains(cluster) {
            plan.notes.push(DRAINING.to_owned());
        }
        Ok(plan)
    }

    /// The same, refused if one of the edits that it carries out can't be had.
    pub fn with(mut self, edits: &[Edit]) -> Self {
        let made: Vec<_> = self.machines.makes().collect();
        let lives = !self.creates();
        let brought_back = self.machines.brings_back().filter(|_| lives);
        let brought_back: Vec<_> = brought_back.collect();
        let refused = edits
            .iter()
            .filter_map(|edit| match (policy(edit), &edit.change) {
                (Policy::Refused { why, instead }, _) => {
                    Some((edit, format!("{why}; {instead}")))
                }
                (Policy::InPlace(_), Change::HostConnection { carries, .. })
                    if !carries.is_empty() && carries.iter().all(|name| made.contains(&name)) =>
                {
                    Some((
                        edit,
                        "none of the machines that this host carries is behind the new connection, where they would be made a \
                         second time; check the connection, or bring them back"
                            .to_owned(),
                    ))
                }
                (Policy::InPlace(_), Change::NodeAdded { role, node })
                    if *role != Role::LoadBalancer && brought_back.contains(&node) =>
                {
                    Some((edit, not_known(node)))
                }
                (Policy::InPlace(_), _) => None,
            })
            .collect::<Vec<_>>();
        let others = self
            .refused
            .iter()
            .filter(|reason| !self.follows(edits, reason));
        self.refused = alike(refused).into_iter().chain(others.cloned()).collect();
        self.notes.splice(0..0, edits.iter().filter_map(remark));
        self
    }

    /// Whether a refusal only says again what the refusal of an edit says.
    fn follows(&self, edits: &[Edit], reason: &str) -> bool {
        let mut refused = edits
            .iter()
            .filter(|edit| matches!(policy(edit), Policy::Refused { .. }));
        refused.any(|edit| match &edit.change {
            Change::NetworkPlugin
            | Change::DnsMode
            | Change::ContainerManager
            | Change::CertificateRenewal
            | Change::Vip
            | Change::Endpoint => reason == self.settings_differ,
            Change::MainDisk { node, .. }
            | Change::DataDisk { node, .. }
            | Change::DataDiskPool { node, .. } => self.machines.refused().any(|change| {
                change.name.starts_with(&format!("{node}-")) && reason == refusal(change)
            }),
            _ => false,
        })
    }

    /// Whether pods are moved away from a node.
    fn drains(&self, cluster: &Cluster) -> bool {
        self.phases.iter().any(|phase| match phase {
            Phase::Restart {
                drained, change, ..
            } => *drained && pods_move(cluster, &change.name),
            Phase::Kubernetes(task) => match &task.stage {
                Stage::Upgrade { node, .. } => pods_move(cluster, node.as_str()),
                Stage::Leave { .. } => true,
                _ => false,
            },
            _ => false,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.refused.is_empty()
    }

    /// Whether the cluster has yet to be made, or an interrupted run has yet to make it.
    pub fn creates(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| matches!(phase, Phase::Kubernetes(task) if task.stage == Stage::Create))
    }

    /// What can't be done, each with its reason; then nothing is.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The same, with what becomes of the person's own files of a cluster that is set up; one that is yet to be is not in them.
    pub fn and_for(mut self, personal: Personal) -> Self {
        if !self.creates() {
            self.notes
                .splice(0..0, personal.notes(&self.machines.cluster));
            self.personal = personal;
        }
        self
    }

    /// What a person should know besides, a sentence each: what no step shows, and what all of a kind have in common.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// For programs: one object.
    pub fn json(&self) -> serde_json::Value {
        let phases: Vec<_> = self.phases.iter().map(Phase::to_string).collect();
        json!({
            "formatVersion": 1,
            "cluster": self.machines.cluster,
            "phases": phases,
            "changes": self.rows,
            "refused": self.refused,
            "notes": self.notes,
            "findings": self.findings,
        })
    }

    /// The steps of all phases.
    fn rows(&self, cluster: &Cluster) -> Vec<Row> {
        let host = |name: &Label| {
            let node = self.seen.iter().find(|seen| seen.node.name == *name);
            node.map(|seen| seen.node.host.to_string())
                .unwrap_or_default()
        };
        let rows = self.phases.iter().zip(1..).flat_map(|(phase, number)| {
            let rows = phase_rows(phase, cluster, &host).into_iter();
            rows.map(move |row| Row {
                phase: number,
                ..row
            })
        });
        rows.collect()
    }
}

/// What a phase does, a row for each thing.
fn phase_rows(phase: &Phase, cluster: &Cluster, host: &dyn Fn(&Label) -> String) -> Vec<Row> {
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

/// What is noted of masters and workers, and a reason for each note that can't be read. A balancer's note is a digest alone.
fn read_notes(
    cluster: &Cluster,
    leaving: &[Leaving],
    noted: impl Fn(&Label) -> Option<String>,
) -> (BTreeMap<Label, Note>, Vec<String>) {
    let nodes = cluster.nodes.iter().map(|node| (&node.name, node.role));
    let nodes = nodes.chain(leaving.iter().map(|own| (&own.name, own.role)));
    let (mut notes, mut unreadable) = (BTreeMap::new(), Vec::new());
    for (name, _) in nodes.filter(|(_, role)| *role != Role::LoadBalancer) {
        match noted(name).as_deref().map(Note::read) {
            Some(Ok(note)) => drop(notes.insert(name.clone(), note)),
            Some(Err(error)) => unreadable.push(format!("{name}: failed to {}", chain(&error))),
            None => {}
        }
    }
    (notes, unreadable)
}

/// Why a machine is not brought back that had not joined Kubernetes when it was last seen.
fn not_known(name: &Label) -> String {
    format!(
        "{name}: its definition is gone, its disk is there, and nothing tells that it had joined Kubernetes; remove the disk \
         {name}-main-disk (virsh vol-delete), and the machine is made anew"
    )
}

/// Why a change of machines can't be made.
fn refusal(change: &change::Change) -> String {
    format!("{}: {}", change.title(), change.details)
}

/// Refused edits, with one line for all that are refused for the same reason: what follows from one key of a file, as the kubespray
/// that goes with a Kubernetes, or a default for many machines, is one cause.
fn alike(refused: Vec<(&Edit, String)>) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut groups: Vec<(&Edit, String, Vec<&str>)> = Vec::new();
    for (edit, why) in refused {
        match groups.iter_mut().find(|(_, other, _)| *other == why) {
            Some((.., paths)) => paths.push(&edit.path),
            None => groups.push((edit, why, Vec::new())),
        }
    }
    let line = |(edit, why, others): (&Edit, String, Vec<&str>)| {
        let shown: Vec<_> = others.iter().take(SHOWN).copied().collect();
        match others.len().saturating_sub(SHOWN) {
            _ if others.is_empty() => format!("{edit}: {why}"),
            0 => format!("{edit} (and {}): {why}", shown.join(", ")),
            more => format!("{edit} (and {} and {more} more): {why}", shown.join(", ")),
        }
    };
    groups.into_iter().map(line).collect()
}

/// What is true of every drain.
const DRAINING: &str = "draining a node deletes pods that no controller makes again, and what is in the emptyDir volumes of all its \
     pods; a pod that a disruption budget keeps is waited for, and stops the run after 5 minutes";

/// What a person should know of an edit that no step of the plan shows.
fn remark(edit: &Edit) -> Option<String> {
    let why = match (policy(edit), &edit.change) {
        (Policy::Refused { .. }, _) => return None,
        (
            Policy::InPlace(
                disturbs
                @ (Disturbs::NewMachinesOnly | Disturbs::NextUpgrade | Disturbs::Leftovers),
            ),
            _,
        ) => disturbs.to_string(),
        (_, Change::KubespraySource) => "counts for Kubespray's next run".to_owned(),
        (
            _,
            Change::HostAdded { .. }
            | Change::HostRemoved { .. }
            | Change::HostConnection { .. }
            | Change::MainPoolPath { .. }
            | Change::DataPoolAdded { .. }
            | Change::DataPoolRemoved { .. }
            | Change::DataPoolPath { .. },
        ) => "nothing that exists is changed by it".to_owned(),
        _ => return None,
    };
    Some(format!("{edit}: {why}"))
}

/// Whether another node takes pods of this one, as far as roles and taints say: pods stay on the only one. Masters take pods
/// only where there are no workers.
fn pods_move(cluster: &Cluster, name: &str) -> bool {
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

/// What a person approves.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.machines.cluster;
        if self.is_empty() {
            writeln!(f, "{cluster}: no change")?;
            return self.write_notes(f);
        }
        let widest = |text: fn(&Row) -> &String| self.rows.iter().map(|row| text(row).len()).max();
        let (kind, name, host) = (
            widest(|row| &row.kind).unwrap_or(0),
            widest(|row| &row.name).unwrap_or(0),
            widest(|row| &row.host).unwrap_or(0),
        );
        for row in &self.rows {
            let remark = match row.disruption {
                Disruption::None => String::new(),
                disruption => format!("[{disruption}] "),
            };
            let line = format!(
                "{} {:7} {:kind$} {:name$}  on {:host$}  {remark}{}",
                if row.destructive { '!' } else { ' ' },
                row.action,
                row.kind,
                row.name,
                row.host,
                row.details
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let of = |test: fn(&Row) -> bool| self.rows.iter().filter(|row| test(row)).count();
        let all = self.rows.len();
        write!(
            f,
            "{cluster}: {all} change{}, {} of them to machines, {} to services",
            if all == 1 { "" } else { "s" },
            of(|row| row.kind == "domain"),
            of(|row| !["network", "pool", "image", "volume", "domain"]
                .contains(&row.kind.as_str())),
        )?;
        match of(|row| row.destructive) {
            0 => writeln!(f)?,
            marked => writeln!(f, "; {marked} marked ! remove something")?,
        }
        self.write_notes(f)
    }
}

impl Plan {
    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes = self.notes.iter();
        notes.try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// The failure of a plan that can't be carried out.
pub fn check(plan: &Plan) -> Result<(), Failure> {
    match plan.refused() {
        [] => Ok(()),
        reasons => Err(Failure::Refused(reasons.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use kubitect_config::Site;
    use kubitect_config::edit::edits;

    use super::*;

    fn cluster(change: impl Fn(String) -> String) -> Cluster {
        let text = include_str!("../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        let parsed = kubitect_config::parse(&change(text), "x", &Site::default());
        parsed.unwrap().cluster
    }

    #[test]
    fn edits_that_no_step_shows_are_named_with_when_they_count() {
        let addons =
            |addons: &str| cluster(|text| format!("{text}addons:\n  kubespray: {addons}\n"));
        let wanted = addons("{helm_enabled: true, kubelet_max_pods: 50}");
        let edits_of = edits(&addons("{}"), &wanted);
        assert_eq!(edits_of.len(), 2, "{edits_of:?}");
        let remarks: Vec<_> = edits_of.iter().filter_map(remark).collect();
        assert_eq!(
            remarks,
            [
                "addons.kubespray.kubelet_max_pods: (nothing) -> 50: counts for a node from its next upgrade on, and for nodes \
                 that are made from now on"
            ]
        );
        let off: Vec<_> = edits(&wanted, &addons("{kubelet_max_pods: 50}"))
            .iter()
            .filter_map(remark)
            .collect();
        assert!(
            off[0].contains("stays until it is removed by hand"),
            "{off:?}"
        );

        let applied = cluster(|text| text);
        let wanted = cluster(|text| {
            text.replace(
                "    os:",
                "    dns: [9.9.9.9]\n    updateOnBoot: false\n    os:",
            )
        });
        let remarks: Vec<_> = edits(&applied, &wanted).iter().filter_map(remark).collect();
        for (at, remark) in ["dns", "updateOnBoot"].into_iter().zip(&remarks) {
            assert!(
                remark.starts_with(&format!("cluster.nodeTemplate.{at}: ")),
                "{remark}"
            );
            assert!(
                remark.contains("machines that are made from now on"),
                "{remark}"
            );
        }
        assert_eq!(remarks.len(), 2, "{remarks:?}");
    }

    #[test]
    fn one_cause_is_refused_once() {
        let applied = cluster(|text| text);
        let refusals = |wanted: &Cluster| {
            let edits = edits(&applied, wanted);
            let machines = Machines {
                cluster: wanted.name.clone(),
                changes: Vec::new(),
            };
            let hop = Hop {
                kubernetes: applied.kubernetes.version.clone(),
                kubespray: applied.kubernetes.kubespray.version.clone(),
            };
            let masters = applied.role(Role::Master).map(|node| node.name.clone());
            let members = masters.collect();
            let noted = applied.nodes.iter().map(|node| {
                let note = Note::of(&applied, node, &hop, &members, true).unwrap();
                (node.name.clone(), Some(note.text().unwrap()))
            });
            let (noted, files) = (noted.collect(), BTreeMap::new());
            let plan = Plan::new(
                wanted,
                machines,
                Vec::new(),
                Vec::new(),
                &noted,
                &files,
                Some(&applied),
            );
            plan.unwrap().with(&edits).refused().to_vec()
        };
        // The edit, and what is set up on the machines.
        let plugin = refusals(&cluster(|text| {
            text.replace("kubernetes:\n", "kubernetes:\n  networkPlugin: flannel\n")
        }));
        assert_eq!(plugin.len(), 1, "{plugin:?}");
        assert!(
            plugin[0].starts_with("kubernetes.networkPlugin: "),
            "{plugin:?}"
        );
        // The range, and the gateway that follows from it.
        let mut network = applied.clone();
        network.network.cidr = "10.77.0.0/25".parse().unwrap();
        network.network.gateway = "10.77.0.2".parse().unwrap();
        let network = refusals(&network);
        assert_eq!(network.len(), 1, "{network:?}");
        assert!(
            network[0].contains(" (and cluster.network.gateway): "),
            "{network:?}"
        );
        // A default of many machines.
        let mut smaller = applied.clone();
        smaller
            .nodes
            .iter_mut()
            .for_each(|node| node.main_disk.0 -= 1);
        let smaller = refusals(&smaller);
        assert_eq!(smaller.len(), 1, "{smaller:?}");
    }
}
