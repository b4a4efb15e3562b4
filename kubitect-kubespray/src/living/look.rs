//! [`Nodes`]: what is known of a cluster's nodes from what is noted of their machines, and what follows from it. Pure.

use std::collections::BTreeMap;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Refusal, RefusalKind, chain};

use super::note::Note;
use super::plan::tasks;
use super::recall::{recall, recall_applied};
use super::stage::{Seen, Task};
use crate::Error;

/// What is there of a cluster, as whoever has its machines found it.
#[derive(Debug)]
pub struct Found<'a> {
    /// What is wanted.
    pub cluster: &'a Cluster,
    /// What was applied last; none, where nothing ever was.
    pub applied: Option<&'a Cluster>,
    /// What is noted of each machine that exists.
    pub noted: &'a BTreeMap<Label, Option<String>>,
    /// The machines that are recreated: what is noted of these does not count.
    pub made: &'a [Label],
    /// The machines whose definitions are gone, and their notes with them, and whose disks are there.
    pub brought_back: &'a [Label],
    /// The machines that are there and not wanted, and whether each answers.
    pub leaving: &'a [(Node, bool)],
}

/// The nodes of a cluster, and what is to be done to them.
#[derive(Debug)]
pub struct Nodes {
    /// All machines that are wanted or still there.
    pub seen: Vec<Seen>,
    /// What is to be noted of machines that are brought back.
    pub recalled: BTreeMap<Label, String>,
    /// What is done, in this order.
    pub tasks: Vec<Task>,
    /// Why nothing is done, if so.
    pub refused: Vec<Refusal>,
}

impl Nodes {
    /// What follows from what was found.
    pub fn look(found: &Found<'_>) -> Result<Self, Error> {
        let Found {
            cluster,
            applied,
            made,
            brought_back,
            leaving,
            ..
        } = found;
        let (notes, unreadable) = found.read_notes();
        let note = |name: &Label| notes.get(name).cloned();
        let any_finished = notes.values().any(|note| note.finished);
        let recalled = match applied {
            // Where no machine is left that tells, what was applied does.
            Some(applied) if !any_finished => recall_applied(applied, brought_back)?,
            _ => recall(cluster, brought_back, &notes),
        };
        let wanted = cluster.nodes.iter().map(|node| Seen {
            node: node.clone(),
            wanted: true,
            note: note(&node.name).or_else(|| recalled.get(&node.name).cloned()),
            answers: !made.contains(&node.name),
        });
        let gone = leaving.iter().map(|(node, answers)| Seen {
            node: node.clone(),
            wanted: false,
            note: note(&node.name),
            answers: *answers,
        });
        let seen: Vec<_> = wanted.chain(gone).chain(found.vanished()?).collect();
        let mut refused = found.strange(any_finished, &recalled);
        refused.extend(found.lost(any_finished, &notes));
        // What is set up on a machine whose note can't be read is not known, so nothing follows from it.
        let tasks = match unreadable.is_empty() {
            true => tasks(cluster, &seen),
            false => Err(unreadable),
        };
        let tasks = tasks.unwrap_or_else(|reasons| {
            refused.extend(reasons);
            Vec::new()
        });
        let recalled = recalled.into_iter();
        let recalled = recalled.map(|(name, note)| Ok((name, note.text()?)));
        Ok(Self {
            seen,
            recalled: recalled.collect::<Result<_, Error>>()?,
            tasks,
            refused,
        })
    }
}

impl Found<'_> {
    /// What is noted of masters and workers, and a reason for each note that can't be read. A balancer's is none of ours.
    fn read_notes(&self) -> (BTreeMap<Label, Note>, Vec<Refusal>) {
        let leaving = self.leaving.iter().map(|(node, _)| node);
        let nodes = self.cluster.nodes.iter().chain(leaving);
        let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
        let (mut notes, mut unreadable) = (BTreeMap::new(), Vec::new());
        for Node { name, .. } in nodes.filter(|node| !self.made.contains(&node.name)) {
            let noted = self.noted.get(name).and_then(Option::as_deref);
            match noted.map(Note::read) {
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

    /// Why machines are not brought back of which nothing tells what is on their disks: nothing is set up over these.
    fn strange(&self, any_finished: bool, recalled: &BTreeMap<Label, Note>) -> Vec<Refusal> {
        let nodes = self.cluster.nodes.iter();
        let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
        let is_back = |node: &&Node| self.brought_back.contains(&node.name);
        if !any_finished && !nodes.clone().all(|node| is_back(&node)) {
            return Vec::new();
        }
        let strange = nodes.filter(is_back);
        let strange = strange.filter(|node| !recalled.contains_key(&node.name));
        strange.map(|node| not_known(&node.name)).collect()
    }

    /// Why a cluster that is not finished does not go on where a master's disk was lost: etcd lists a member whose data is gone and
    /// takes no other one in its place, and the first master's disk had the authority that the others trust.
    fn lost(&self, any_finished: bool, notes: &BTreeMap<Label, Note>) -> Vec<Refusal> {
        let began = |name: &&Label| notes.values().any(|note| note.members.contains(*name));
        let lost = self.made.iter().filter(began).filter(|_| !any_finished);
        let instead = format!(
            "give it its disk back, or make the cluster again: `kubitect destroy {}`, and then apply",
            self.cluster.name
        );
        lost.map(|name| {
            let why = "its disk is lost, and a run that was not finished may have made it a member of etcd, which does not begin again \
                       with an empty one";
            Refusal::new(RefusalKind::DiskLost, why, &instead).of(name).on(name)
        })
        .collect()
    }

    /// Workers that were applied last and that neither the configuration nor any host has any more: only Kubernetes may
    /// still have them. Of masters the others' notes tell.
    fn vanished(&self) -> Result<Vec<Seen>, Error> {
        let Some(applied) = self.applied else {
            return Ok(Vec::new());
        };
        let release = applied.kubernetes.hop();
        let is_there = |node: &&Node| {
            let mut wanted = self.cluster.nodes.iter();
            let mut leaving = self.leaving.iter();
            wanted.any(|own| own.name == node.name) || leaving.any(|(own, _)| own.name == node.name)
        };
        let gone = applied.role(Role::Worker).filter(|node| !is_there(node));
        gone.map(|node| {
            Ok(Seen {
                node: node.clone(),
                wanted: false,
                // What was set up on it does not matter any more.
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

/// Why a machine is not brought back that had not joined Kubernetes when it was last seen.
pub fn not_known(name: &Label) -> Refusal {
    let why = "its definition is gone, its disk is there, and nothing tells that it had joined Kubernetes";
    let instead = format!(
        "remove the disk {name}-main-disk (virsh vol-delete), and the machine is recreated"
    );
    Refusal::new(RefusalKind::Unknown, why, instead)
        .of(name)
        .on(name)
}
