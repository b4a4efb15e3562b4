//! [`Plan`]: all that a run will do, from disks to Kubernetes, as a person sees it and as programs do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, chain};
use kubitect_kubespray::living::plan::settings_differ;
use kubitect_kubespray::living::{Note, Seen, Stage, recall, recall_applied, tasks};
use kubitect_provision::change::{self, Disruption};
use kubitect_provision::gather::Leaving;
use kubitect_provision::observe::PowerState;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::preflight::Finding;
use serde_json::json;

use crate::failure::Failure;
use crate::phase::{Parts, Phase, phases};

mod edits;
mod rows;

use rows::{Row, phase_rows, pods_move};

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
            balancers: kubitect_lb::outdated(cluster, files, noted),
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

/// What is true of every drain.
const DRAINING: &str = "draining a node deletes pods that no controller makes again, and what is in the emptyDir volumes of all its \
     pods; a pod that a disruption budget keeps is waited for, and stops the run after 5 minutes";

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
