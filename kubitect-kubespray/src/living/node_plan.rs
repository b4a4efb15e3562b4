//! [`NodePlan`]: the nodes of a cluster as their machines and notes show them, and the tasks that follow. Pure.

use std::collections::BTreeMap;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal, RefusalKind, chain};

use super::note::Note;
use super::plan::tasks;
use super::rebuilt_notes::{from_applied, from_other_notes};
use super::stage::{ObservedNode, Task};
use crate::Error;

/// What a plan is made from: the desired cluster, and what libvirt says of its machines.
#[derive(Debug)]
pub struct PlanInput<'a> {
    /// The desired cluster.
    pub cluster: &'a Cluster,
    /// The cluster as it was applied last; none, if it never was.
    pub applied: Option<&'a Cluster>,
    /// The text of each existing machine's note, or none.
    pub note_texts: &'a BTreeMap<Label, Option<String>>,
    /// The machines that are recreated, with empty disks: their notes do not count.
    pub recreated: &'a [Label],
    /// The machines whose definitions are gone, with their notes, and whose disks exist. They are defined again.
    pub brought_back: &'a [Label],
    /// The machines that exist and are not wanted, and whether each answers.
    pub leaving: &'a [(Node, bool)],
}

/// The nodes of a cluster, and the tasks that lead to what is desired.
#[derive(Debug)]
pub struct NodePlan {
    /// All machines that are wanted or still exist.
    pub observed: Vec<ObservedNode>,
    /// The notes to write for machines that are brought back.
    pub rebuilt_notes: BTreeMap<Label, String>,
    /// What is done, in this order.
    pub tasks: Vec<Task>,
    /// Why nothing is done, if so.
    pub refusals: Vec<Refusal>,
}

impl NodePlan {
    /// The plan that follows from the input. The same input gives the same plan.
    pub fn new(input: &PlanInput<'_>) -> Result<Self, Error> {
        let PlanInput {
            cluster,
            applied,
            recreated,
            brought_back,
            leaving,
            ..
        } = input;
        let (notes, unreadable) = input.read_notes();
        let note = |name: &Label| notes.get(name).cloned();
        let any_finished = notes.values().any(|note| note.finished);
        let rebuilt = match applied {
            // No finished note is left to rebuild the others from.
            Some(applied) if !any_finished => from_applied(applied, brought_back)?,
            _ => from_other_notes(cluster, brought_back, &notes),
        };
        let wanted = cluster.nodes.iter().map(|node| ObservedNode {
            node: node.clone(),
            wanted: true,
            note: note(&node.name).or_else(|| rebuilt.get(&node.name).cloned()),
            answers: !recreated.contains(&node.name),
        });
        let gone = leaving.iter().map(|(node, answers)| ObservedNode {
            node: node.clone(),
            wanted: false,
            note: note(&node.name),
            answers: *answers,
        });
        let observed: Vec<_> = wanted.chain(gone).chain(input.vanished()?).collect();
        let mut refusals = input.unknown_disks(any_finished, &rebuilt);
        refusals.extend(input.lost_disks(any_finished, &notes));
        // No task is planned with an unreadable note: what is set up on that machine is not known.
        let tasks = match unreadable.is_empty() {
            true => tasks(cluster, &observed),
            false => Err(unreadable),
        };
        let tasks = tasks.unwrap_or_else(|reasons| {
            refusals.extend(reasons);
            Vec::new()
        });
        let rebuilt = rebuilt.into_iter();
        let rebuilt = rebuilt.map(|(name, note)| Ok((name, note.text()?)));
        Ok(Self {
            observed,
            rebuilt_notes: rebuilt.collect::<Result<_, Error>>()?,
            tasks,
            refusals,
        })
    }
}

impl PlanInput<'_> {
    /// The notes of masters and workers, and a refusal for each note that can't be read. Balancers have notes of another form.
    fn read_notes(&self) -> (BTreeMap<Label, Note>, Vec<Refusal>) {
        let leaving = self.leaving.iter().map(|(node, _)| node);
        let nodes = self.cluster.nodes.iter().chain(leaving);
        let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
        let (mut notes, mut unreadable) = (BTreeMap::new(), Vec::new());
        for Node { name, .. } in nodes.filter(|node| !self.recreated.contains(&node.name)) {
            let text = self.note_texts.get(name).and_then(Option::as_deref);
            match text.map(Note::read) {
                Some(Ok(note)) => drop(notes.insert(name.clone(), note)),
                Some(Err(error)) => {
                    let why = format!("failed to {}", chain(&error));
                    let refusal = Refusal::new(RefusalKind::Note, why, "");
                    unreadable.push(refusal.of(name).on(name));
                }
                None => {}
            }
        }
        (notes, unreadable)
    }

    /// The refusals for machines that would be brought back without a rebuilt note. What is on their disks is unknown, and
    /// Kubespray is not run over it. In an unfinished cluster the creation goes on over it, unless all machines are brought back:
    /// then no note is left that says whether the cluster was finished.
    fn unknown_disks(&self, any_finished: bool, rebuilt: &BTreeMap<Label, Note>) -> Vec<Refusal> {
        let nodes = self.cluster.nodes.iter();
        let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
        let is_brought_back = |node: &&Node| self.brought_back.contains(&node.name);
        if !any_finished && !nodes.clone().all(|node| is_brought_back(&node)) {
            return Vec::new();
        }
        let unknown = nodes.filter(is_brought_back);
        let unknown = unknown.filter(|node| !rebuilt.contains_key(&node.name));
        unknown.map(|node| unknown_disk(&node.name)).collect()
    }

    /// The refusals for masters of an unfinished cluster whose disks were lost. Such a creation can't go on: etcd may list a member
    /// whose data is gone and accepts no other in its place, and the first master's disk held the certificate authority that the
    /// others trust.
    fn lost_disks(&self, any_finished: bool, notes: &BTreeMap<Label, Note>) -> Vec<Refusal> {
        let is_listed = |name: &&Label| notes.values().any(|note| note.members.contains(*name));
        let lost = self
            .recreated
            .iter()
            .filter(is_listed)
            .filter(|_| !any_finished);
        let instead = format!(
            "give it its disk back, or make the cluster again: `kubitect destroy {}`, and then apply",
            self.cluster.name
        );
        lost.map(|name| {
            let why = "its disk is lost, and a run that was not finished may have made it a member of etcd, which does not start again \
                       with an empty one";
            Refusal::new(RefusalKind::DiskLost, why, &instead).of(name).on(name)
        })
        .collect()
    }

    /// Workers that were applied last, and that neither the file nor any host has any more. Kubernetes may still list them, so
    /// they have to leave. Masters are not among them: the other masters' notes list those as members.
    fn vanished(&self) -> Result<Vec<ObservedNode>, Error> {
        let Some(applied) = self.applied else {
            return Ok(Vec::new());
        };
        let release = applied.kubernetes.hop();
        let is_present = |node: &&Node| {
            let mut wanted = self.cluster.nodes.iter();
            let mut leaving = self.leaving.iter();
            wanted.any(|own| own.name == node.name) || leaving.any(|(own, _)| own.name == node.name)
        };
        let gone = applied.role(Role::Worker).filter(|node| !is_present(node));
        gone.map(|node| {
            Ok(ObservedNode {
                node: node.clone(),
                wanted: false,
                // Only that there is a note matters: it makes the worker leave.
                note: Some(Note::of(
                    applied,
                    node,
                    &release,
                    &Default::default(),
                    false,
                )?),
                answers: false,
            })
        })
        .collect()
    }
}

/// The refusal for a machine whose definition is gone and whose disk may hold anything: no note says that it had joined.
pub fn unknown_disk(name: &Label) -> Refusal {
    let why = "its definition is gone, its disk is there; no note says that it joined Kubernetes";
    let instead = format!(
        "remove the disk {name}-main-disk (virsh vol-delete), and the machine is recreated"
    );
    Refusal::new(RefusalKind::Unknown, why, instead)
        .of(name)
        .on(name)
}
