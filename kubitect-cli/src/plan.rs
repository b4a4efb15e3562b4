//! [`Plan`]: all that a run will do, from disks to Kubernetes, shown to people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kubitect_config::cluster::Role;
use kubitect_config::row::{Fold, Row, Table};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal};
use kubitect_kubespray::living::{NodePlan, ObservedNode, PlanInput, Stage, Task, rows};
use kubitect_provision::change;
use kubitect_provision::gather::Leaving;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::preflight::Finding;
use serde_json::json;

use crate::failure::Failure;
use crate::phase::{Parts, Phase, phases};

mod edits;
mod look;
mod phase_rows;

use phase_rows::phase_rows;

/// All that a run will do.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "nothing is done until it is applied"]
pub struct Plan {
    /// The changes of networks, disks and machines.
    pub machines: Machines,
    /// The phases, in the order in which they are carried out.
    pub phases: Vec<Phase>,
    /// All machines that are wanted or still exist, with their notes.
    pub nodes: Vec<ObservedNode>,
    /// Machines that still exist and are no longer wanted.
    pub leaving: Vec<Leaving>,
    /// The changes of the person's own files.
    pub personal: Personal,
    /// What the hosts lack for the plan (errors, first), and what is doubtful on them (warnings).
    pub findings: Vec<Finding>,
    /// The [`View`](crate::View) that made it; no other run may carry it out.
    pub(crate) made_by: Option<Arc<()>>,
    refused: Vec<Refusal>,
    notes: Vec<String>,
    rows: Vec<Row>,
}

/// The changes of the person's own files; none of a file that stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Personal {
    /// The kubeconfig into which the cluster's context is merged, or changed.
    pub merges: Option<PathBuf>,
    /// The kubeconfig from which it is removed, because `mergeKubeconfig` was switched off.
    pub unmerges: Option<PathBuf>,
    /// The known hosts to which keys of machines are added.
    pub adds: Option<PathBuf>,
    /// The known hosts from which they are removed, because `addToKnownHosts` was switched off.
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
    /// The plan from the observed machines and notes to the wanted cluster.
    ///
    /// `noted`: the note of each machine that exists. `files`: the digests of the balancers' wanted files, as far as their
    /// addresses are known. `applied`: the configuration that was applied last.
    pub fn new(
        cluster: &Cluster,
        mut machines: Machines,
        leaving: Vec<Leaving>,
        noted: &BTreeMap<Label, Option<String>>,
        files: &BTreeMap<Label, String>,
        applied: Option<&Cluster>,
    ) -> Result<Self, Failure> {
        let created: Vec<_> = machines.created().cloned().collect();
        let departing = leaving.iter().map(|own| (own.node(), own.answers()));
        let nodes = NodePlan::new(&PlanInput {
            cluster,
            applied,
            note_texts: noted,
            recreated: &created,
            brought_back: &machines.recovered().cloned().collect::<Vec<_>>(),
            leaving: &departing.collect::<Vec<_>>(),
        })?;
        for (name, note) in &nodes.rebuilt_notes {
            machines.set_note(name, note);
        }
        // A machine that is created has no note any more: what its predecessor of the same name noted does not hold.
        let noted = |name: &Label| match created.contains(name) {
            true => None,
            false => noted.get(name).cloned().flatten(),
        };
        let mut balancers = cluster.role(Role::LoadBalancer);
        let phases = phases(Parts {
            cluster,
            machines: &machines,
            tasks: nodes.tasks,
            nodes: &nodes.observed,
            leaving: &leaving,
            any_serves: balancers.any(|node| noted(&node.name).is_some()),
            balancers: kubitect_lb::outdated(cluster, files, noted),
        });
        let refused = machines.refused().cloned();
        let mut plan = Self {
            refused: refused.chain(nodes.refusals).collect(),
            machines,
            phases,
            nodes: nodes.observed,
            leaving,
            personal: Personal::default(),
            findings: Vec::new(),
            made_by: None,
            notes: Vec::new(),
            rows: Vec::new(),
        };
        plan.rows = plan.rows(cluster, applied);
        let restarts = plan.restarted_nodes();
        let restarts = restarts.iter().map(Label::as_str);
        let remarks = rows::remarks(cluster, plan.tasks(), restarts);
        plan.notes = remarks.map(str::to_owned).collect();
        Ok(plan)
    }

    /// The nodes of Kubernetes whose machines are restarted.
    fn restarted_nodes(&self) -> Vec<Label> {
        let restarts = self.phases.iter().filter_map(|phase| match phase {
            Phase::Restart {
                change,
                has_kubelet: true,
                ..
            } => change.name.parse().ok(),
            _ => None,
        });
        restarts.collect()
    }

    /// The tasks on Kubernetes.
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.phases.iter().filter_map(|phase| match phase {
            Phase::Kubernetes(task) => Some(task),
            _ => None,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.refused.is_empty()
    }

    /// Whether it only starts machines that are off.
    pub fn only_starts(&self) -> bool {
        let starts = |change: &change::Change| matches!(change.step, change::Step::StartDomain(_));
        let only_machines = self.phases.len() <= 1 && self.refused.is_empty();
        only_machines && self.machines.changes.iter().all(starts)
    }

    /// Whether it creates the cluster, or completes a creation that was interrupted.
    pub fn creates(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| matches!(phase, Phase::Kubernetes(task) if task.stage == Stage::Create))
    }

    /// The reasons for which the plan can't be carried out; none: it can.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// The same, with the changes of the person's own files. A plan that creates the cluster has none: no file names it yet.
    pub fn with_personal(mut self, personal: Personal) -> Self {
        if !self.creates() {
            self.notes
                .splice(0..0, personal.notes(&self.machines.cluster));
            self.personal = personal;
        }
        self
    }

    /// Notes for people that no step shows, or that hold for all steps of a kind, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// All steps, a line each.
    pub fn table(&self) -> String {
        Table(&self.rows).to_string()
    }

    /// The machines and disks whose data is lost; of a machine that is removed with its disks, only the machine.
    pub fn data_lost(&self) -> Vec<String> {
        let fold = Fold::new(self.machines.cluster.as_str(), &self.rows);
        fold.data_lost().into_iter().map(str::to_owned).collect()
    }

    /// The steps of all phases, each with the number of its phase.
    pub fn steps(&self) -> &[Row] {
        &self.rows
    }

    /// For programs: one object.
    pub fn json(&self) -> serde_json::Value {
        // Without a change no phase is carried out.
        let phases = self.phases.iter().filter(|_| !self.is_empty());
        let phases: Vec<_> = phases.map(Phase::to_string).collect();
        let mut document = document(&self.machines.cluster, &phases, &self.rows, &self.notes);
        document["refused"] = json!(Refusal::sentences(&self.refused));
        document["refusals"] = json!(self.refused);
        document["findings"] = json!(self.findings);
        document
    }

    /// The steps of all phases.
    fn rows(&self, cluster: &Cluster, applied: Option<&Cluster>) -> Vec<Row> {
        let host = |name: &Label| {
            let node = self.nodes.iter().find(|own| own.node.name == *name);
            node.map(|own| own.node.host.to_string())
                .unwrap_or_default()
        };
        let mut given = rows::RowContext::new(cluster, applied, &self.nodes, &host);
        let rows = self.phases.iter().zip(1..).flat_map(|(phase, number)| {
            let rows = phase_rows(phase, &mut given).into_iter();
            rows.map(move |row| Row {
                phase: number,
                ..row
            })
        });
        rows.collect()
    }
}

/// The changes to a cluster, for programs: one object, which `docs/output/plan.json` describes.
pub(crate) fn document(
    cluster: &Label,
    phases: &[String],
    changes: &[Row],
    notes: &[String],
) -> serde_json::Value {
    json!({
        "formatVersion": 1,
        "cluster": cluster,
        "phases": phases,
        "changes": changes,
        "refused": [],
        "refusals": [],
        "notes": notes,
        "findings": [],
    })
}

/// What a person approves.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.machines.cluster;
        if self.is_empty() {
            writeln!(f, "{cluster}: no change")?;
            return self.write_notes(f);
        }
        write!(f, "{}", Fold::new(cluster.as_str(), &self.rows))?;
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
