//! What stands in the way of bringing a cluster back to a snapshot: asked of the masters, and judged. Changes nothing.

use std::collections::BTreeSet;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::Machines;
use kubitect_config::value::{Label, Version};
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Refusal, RefusalKind, chain};

use super::content::Content;
use super::plan::{Master, Restore};
use crate::Error;
use crate::control::{self, Member};
use crate::living::{Note, Seen};

/// How much of a master's disk is left free, in bytes: etcd writes a log of 64 MiB at once, and goes on.
const RESERVE: u64 = 512 << 20;

impl Restore {
    /// What is done to bring a cluster, of which this was seen, back to a snapshot; or all reasons why it is not.
    pub async fn look(
        cluster: &Label,
        content: Content,
        seen: &[Seen],
        machines: &dyn Machines,
    ) -> Result<Self, Error> {
        let failed = |reasons: Vec<Refusal>| {
            let file = content.file.display();
            Error::Refused {
                what: format!("bring the etcd of {cluster} back to {file}"),
                reasons,
            }
        };
        let members = members(seen).map_err(failed)?;
        let asked = members.iter().map(|(node, note)| ask(node, note, machines));
        let (masters, reasons) = parted(side_by_side(asked).await);
        if !reasons.is_empty() {
            return Err(failed(reasons));
        }
        let workers = workers(seen);
        let known = masters.iter().map(|master| &master.node.name);
        let known: BTreeSet<_> = known.chain(&workers).map(Label::as_str).collect();
        let mut notes = remarks(&masters);
        let room = masters.iter().filter_map(|master| room(&content, master));
        let mut reasons: Vec<_> = room.collect();
        reasons.extend(foreign(&content, &masters, &known, &mut notes));
        reasons.extend(versions(&content, &masters, &mut notes));
        match reasons.is_empty() {
            false => Err(failed(reasons)),
            true => Ok(Self {
                cluster: cluster.clone(),
                bumps: masters.iter().all(|master| master.member.bumps),
                content,
                masters,
                workers,
                notes,
            }),
        }
    }
}

/// Those that answered, and why the others did not.
fn parted(answers: Vec<Result<Master, Refusal>>) -> (Vec<Master>, Vec<Refusal>) {
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
fn workers(seen: &[Seen]) -> Vec<Label> {
    let workers = seen.iter().filter(|seen| seen.node.role == Role::Worker);
    let joined = workers.filter(|seen| seen.answers && seen.finished().is_some());
    joined.map(|seen| seen.node.name.clone()).collect()
}

/// What a person should know of these masters.
fn remarks(masters: &[Master]) -> Vec<String> {
    let cannot = "the etcd here can't raise the numbers of its revisions: programs that watch Kubernetes, such as operators, may go by \
                  what they saw before, until they are restarted";
    let begun = "a restoration was begun and has not ended: it begins anew";
    let bumps = masters.iter().all(|master| master.member.bumps);
    let restoring = masters.iter().any(|master| master.note.restoring);
    let remarks = [(!bumps, cannot), (restoring, begun)].into_iter();
    let remarks = remarks.filter(|(is_so, _)| *is_so);
    remarks.map(|(_, text)| text.to_owned()).collect()
}

/// The masters whose etcd members there are; or why they are not as many as they should be.
fn members(seen: &[Seen]) -> Result<Vec<(Node, Note)>, Vec<Refusal>> {
    let masters = seen.iter().filter(|seen| seen.node.role == Role::Master);
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

/// A reason that is a master's.
fn of(kind: RefusalKind, name: &Label, why: impl Into<String>, instead: &str) -> Refusal {
    Refusal::new(kind, why, instead).of(name).on(name)
}

/// A master as its own machine tells of it; or why it can't.
async fn ask(node: &Node, note: &Note, machines: &dyn Machines) -> Result<Master, Refusal> {
    let away = |why, instead| of(RefusalKind::Away, &node.name, why, instead);
    let session = machines.connect(&node.name).await.map_err(|e| {
        let why = format!("failed to log in on it: {}", chain(&*e));
        away(why, "all masters have to be on")
    })?;
    let member = control::member(&session).await;
    Ok(Master {
        node: node.clone(),
        note: note.clone(),
        member: member.map_err(|e| away(format!("failed to {}", chain(&e)), ""))?,
    })
}

/// Why there is no room for the snapshot on a master.
fn room(content: &Content, master: &Master) -> Option<Refusal> {
    let Member { free, folder, .. } = &master.member;
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

/// Why the snapshot is not one of this cluster.
fn foreign(
    content: &Content,
    masters: &[Master],
    known: &BTreeSet<&str>,
    notes: &mut Vec<String>,
) -> Option<Refusal> {
    let refusal = |why: String| Some(Refusal::new(RefusalKind::Snapshot, why, ""));
    let Some(authority) = &content.authority else {
        if !content
            .nodes
            .iter()
            .any(|node| known.contains(node.as_str()))
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

/// What does not fit of versions: a program never reads what a newer one wrote.
fn versions(content: &Content, masters: &[Master], notes: &mut Vec<String>) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let refusal = |was: &Version, is: &Version, why: String| {
        Refusal::new(RefusalKind::Versions, why, "").from_to(is, was)
    };
    let oldest = masters.iter().map(|master| &master.note.release.kubernetes);
    if let (Some(was), Some(is)) = (&content.kubernetes, oldest.min()) {
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
