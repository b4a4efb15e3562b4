//! [`Plan`]: all that a run will do, from disks to Kubernetes, as a person sees it and as programs do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kubitect_config::cluster::Role;
use kubitect_config::row::{Fold, Row, Table};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal};
use kubitect_kubespray::living::{Found, Nodes, Seen, Stage, Task, rows};
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
    refused: Vec<Refusal>,
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
        noted: &BTreeMap<Label, Option<String>>,
        files: &BTreeMap<Label, String>,
        applied: Option<&Cluster>,
    ) -> Result<Self, Failure> {
        let made: Vec<_> = machines.makes().cloned().collect();
        let gone = leaving.iter().map(|own| (own.node(), own.answers()));
        let nodes = Nodes::look(&Found {
            cluster,
            applied,
            noted,
            made: &made,
            brought_back: &machines.brings_back().cloned().collect::<Vec<_>>(),
            leaving: &gone.collect::<Vec<_>>(),
        })?;
        for (name, note) in &nodes.recalled {
            machines.remember(name, note);
        }
        let noted = |name: &Label| match made.contains(name) {
            true => None,
            false => noted.get(name).cloned().flatten(),
        };
        let mut balancers = cluster.role(Role::LoadBalancer);
        let phases = phases(Parts {
            cluster,
            machines: &machines,
            tasks: nodes.tasks,
            seen: &nodes.seen,
            leaving: &leaving,
            one_stays: balancers.any(|node| noted(&node.name).is_some()),
            balancers: kubitect_lb::outdated(cluster, files, noted),
        });
        let refused = machines.refused().cloned();
        let mut plan = Self {
            refused: refused.chain(nodes.refused).collect(),
            machines,
            phases,
            seen: nodes.seen,
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

    /// What is done to Kubernetes.
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
        let one = self.phases.len() <= 1 && self.refused.is_empty();
        one && self.machines.changes.iter().all(starts)
    }

    /// Whether the cluster has yet to be made, or an interrupted run has yet to make it.
    pub fn creates(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| matches!(phase, Phase::Kubernetes(task) if task.stage == Stage::Create))
    }

    /// Why nothing is done, if so.
    pub fn refused(&self) -> &[Refusal] {
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

    /// All steps, a line each.
    pub fn table(&self) -> String {
        Table(&self.rows).to_string()
    }

    /// Whose data is lost by it: of a machine that goes with its disks, it alone.
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
        // Without a change none is carried out.
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
            let node = self.seen.iter().find(|seen| seen.node.name == *name);
            node.map(|seen| seen.node.host.to_string())
                .unwrap_or_default()
        };
        let mut given = rows::Given::new(cluster, applied, &self.seen, &host);
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

/// What is done to a cluster, for programs: one object, which `docs/output/plan.json` describes.
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
