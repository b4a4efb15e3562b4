//! Whether a cluster's etcd can be restored from a snapshot: the masters are asked, and every reason against it is a refusal.
//! Changes nothing.

use std::collections::BTreeSet;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::Machines;
use kubitect_config::value::{Label, Version};
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Refusal, RefusalKind, chain};

use super::content::Content;
use super::plan::{Master, Restore};
use crate::Error;
use crate::control::{self, LocalMember};
use crate::living::{Note, ObservedNode};

/// How much of a master's disk has to stay free, in bytes: etcd begins with a log of 64 MiB, and writes more.
const RESERVE: u64 = 512 << 20;

impl Restore {
    /// The plan to restore the etcd of a cluster with these nodes from a snapshot; or all reasons against it.
    pub async fn plan(
        cluster: &Label,
        content: Content,
        observed: &[ObservedNode],
        machines: &dyn Machines,
    ) -> Result<Self, Error> {
        let failed = |reasons: Vec<Refusal>| {
            let file = content.file.display();
            Error::Refused {
                what: format!("bring the etcd of {cluster} back to {file}"),
                reasons,
            }
        };
        let members = members(observed).map_err(failed)?;
        let asked = members.iter().map(|(node, note)| ask(node, note, machines));
        let (masters, reasons) = split(side_by_side(asked).await);
        if !reasons.is_empty() {
            return Err(failed(reasons));
        }
        let workers = workers(observed);
        let names = masters.iter().map(|master| &master.node.name);
        let names: BTreeSet<_> = names.chain(&workers).map(Label::as_str).collect();
        let mut notes = remarks(&masters);
        let room = masters.iter().filter_map(|master| room(&content, master));
        let mut reasons: Vec<_> = room.collect();
        reasons.extend(other_cluster(&content, &masters, &names, &mut notes));
        reasons.extend(versions(&content, &masters, &mut notes));
        match reasons.is_empty() {
            false => Err(failed(reasons)),
            true => Ok(Self {
                cluster: cluster.clone(),
                bumps_revision: masters.iter().all(|master| master.member.bumps_revision),
                content,
                masters,
                workers,
                notes,
            }),
        }
    }
}

/// The masters that answered, and why the others did not.
fn split(answers: Vec<Result<Master, Refusal>>) -> (Vec<Master>, Vec<Refusal>) {
    let (mut masters, mut reasons) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(master) => masters.push(master),
            Err(reason) => reasons.push(reason),
        }
    }
    (masters, reasons)
}

/// The workers that have joined and answer.
fn workers(observed: &[ObservedNode]) -> Vec<Label> {
    let workers = observed.iter();
    let workers = workers.filter(|worker| worker.node.role == Role::Worker);
    let joined = workers.filter(|worker| worker.answers && worker.finished().is_some());
    joined.map(|worker| worker.node.name.clone()).collect()
}

/// What a person should know about these masters.
fn remarks(masters: &[Master]) -> Vec<String> {
    let cannot = "the etcd here can't raise the numbers of its revisions: programs that watch Kubernetes, such as operators, may go by \
                  what they saw before, until they are restarted";
    let begun = "an earlier restoration was interrupted: it is started over";
    let bumps = masters.iter().all(|master| master.member.bumps_revision);
    let restoring = masters.iter().any(|master| master.note.restoring);
    let remarks = [(!bumps, cannot), (restoring, begun)].into_iter();
    let remarks = remarks.filter(|(applies, _)| *applies);
    remarks.map(|(_, text)| text.to_owned()).collect()
}

/// The masters, each a member of etcd; or a reason for each that may not be one. All masters are restored together, so a master
/// that has not joined, or that leaves, stops the restoration.
fn members(observed: &[ObservedNode]) -> Result<Vec<(Node, Note)>, Vec<Refusal>> {
    let masters = observed.iter();
    let masters = masters.filter(|master| master.node.role == Role::Master);
    let (mut members, mut reasons) = (Vec::new(), Vec::new());
    for master in masters {
        let name = &master.node.name;
        match (&master.note, master.wanted) {
            (Some(note), true) if note.finished => {
                members.push((master.node.clone(), note.clone()));
            }
            (None, false) => {}
            (_, true) => reasons.push(of(
                RefusalKind::Members,
                name,
                "it has not joined Kubernetes, or is recreated, and all masters have to be members of etcd",
                "`kubitect apply` has it join, or take it out of the file and apply",
            )),
            (_, false) => reasons.push(of(
                RefusalKind::Members,
                name,
                "it leaves the cluster, and may be a member of etcd still",
                "`kubitect apply` first",
            )),
        }
    }
    if members.is_empty() {
        let (why, instead) = ("Kubernetes is not set up", "`kubitect apply` sets it up");
        reasons.push(Refusal::new(RefusalKind::Members, why, instead));
    }
    match reasons.is_empty() {
        true => Ok(members),
        false => Err(reasons),
    }
}

/// A refusal because of one master.
fn of(kind: RefusalKind, name: &Label, why: impl Into<String>, instead: &str) -> Refusal {
    Refusal::new(kind, why, instead).of(name).on(name)
}

/// A master with what its machine says of its etcd member; or why it can't be asked.
async fn ask(node: &Node, note: &Note, machines: &dyn Machines) -> Result<Master, Refusal> {
    let unreachable = |why, instead| of(RefusalKind::Away, &node.name, why, instead);
    let session = machines.connect(&node.name).await.map_err(|e| {
        let why = format!("failed to log in on it: {}", chain(&*e));
        unreachable(why, "all masters have to be on")
    })?;
    let member = control::local_member(&session).await;
    Ok(Master {
        node: node.clone(),
        note: note.clone(),
        member: member.map_err(|e| unreachable(format!("failed to {}", chain(&e)), ""))?,
    })
}

/// Why a master has no room for the snapshot. It is stored there twice for a time: as it was copied, and unpacked.
fn room(content: &Content, master: &Master) -> Option<Refusal> {
    let LocalMember { free, folder, .. } = &master.member;
    let needed = 2 * content.bytes + RESERVE;
    (*free < needed).then(|| {
        let why = format!(
            "there are {} MiB free where {folder} lies, and {} MiB are needed to unpack the snapshot beside etcd's data",
            free >> 20,
            needed >> 20
        );
        of(RefusalKind::Room, &master.node.name, why, "make room")
    })
}

/// Why the snapshot is of another cluster: its certificate authority is not the one of the masters. If the snapshot does not show
/// its authority, one common node is enough.
fn other_cluster(
    content: &Content,
    masters: &[Master],
    names: &BTreeSet<&str>,
    notes: &mut Vec<String>,
) -> Option<Refusal> {
    let refusal = |why: String| Some(Refusal::new(RefusalKind::Snapshot, why, ""));
    let Some(authority) = &content.authority else {
        if !content
            .nodes
            .iter()
            .any(|node| names.contains(node.as_str()))
        {
            return refusal("nothing in the snapshot tells that it is of this cluster: none of its nodes is in it".to_owned());
        }
        notes.push(
            "the snapshot does not show its cluster's authority (it is encrypted, or of an old Kubernetes); by its nodes it is of this \
             cluster"
                .to_owned(),
        );
        return None;
    };
    let is_ours = |master: &Master| master.member.authority == *authority;
    if masters.iter().all(is_ours) {
        return None;
    }
    let nodes: Vec<_> = content.nodes.iter().map(String::as_str).take(5).collect();
    refusal(format!(
        "the snapshot is of another cluster (its nodes are {}): its authority is not the one in /etc/kubernetes/ssl/ca.crt of the masters. \
         What it holds could not be used here: accounts and certificates of it are signed by that one",
        nodes.join(", ")
    ))
}

/// The refusals because of versions. A program can't be expected to read what a newer version of it wrote, so a snapshot of a newer
/// Kubernetes or etcd is refused, and one of a Kubernetes more than one minor version older.
fn versions(content: &Content, masters: &[Master], notes: &mut Vec<String>) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let refusal = |was: &Version, is: &Version, why: String| {
        Refusal::new(RefusalKind::Versions, why, "").from_to(is, was)
    };
    let running = masters.iter().map(|master| &master.note.release.kubernetes);
    if let (Some(was), Some(is)) = (&content.kubernetes, running.min()) {
        let minor = |version: &Version| version.minor().1;
        match minor(is).checked_sub(minor(was)) {
            Some(0) => {}
            Some(1) => notes.push(format!(
                "the snapshot is of Kubernetes {was}, and {is} runs: what the upgrade changed in Kubernetes itself is undone, as kubeadm's \
                 settings; the next upgrade writes it again"
            )),
            _ => {
                let why = format!(
                    "the snapshot is of Kubernetes {was}, and {is} runs: an API server reads what its own minor version wrote, or the \
                     one before it"
                );
                reasons.push(refusal(was, is, why));
            }
        }
    }
    let etcd = masters
        .iter()
        .filter_map(|master| master.member.version.as_ref());
    if let (Some(was), Some(is)) = (&content.etcd, etcd.min())
        && was.minor() > is.minor()
    {
        let (own, here) = (was.bare(), is.bare());
        let why = format!("the snapshot is of etcd {own}, and {here} runs, which does not read it");
        reasons.push(refusal(was, is, why));
    }
    reasons
}
