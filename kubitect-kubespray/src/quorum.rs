//! Which masters leave etcd and which join it, in an order in which etcd never loses its majority and no API server its
//! last member.
//!
//! etcd needs a majority of its *members*, not of those that answer, to take a write, a change of its membership
//! included. So dead members are taken out first, which moves the majority down to those that answer; then new ones come
//! one by one; healthy ones leave last. A plan that cannot keep to this is refused as a whole, before anything is done.
//!
//! A new member starts only with a list of exactly the members that etcd has, and Kubespray's list has only masters that have
//! joined. So masters with which a run had begun and not finished come before those that are new: they leave first of all, or
//! join to the end.
//!
//! An API server reaches etcd through the members that its manifest lists, and a joining master copies the list of those
//! before it. If all listed members leave, that API server is lost although etcd is well. So between the last that joins
//! and the first that leaves, every API server that stays gets the list of exactly the members that stay: by then all of
//! them are members, and no list has to be written again after the others have left.
//!
//! One state has no spare: a cluster of one that gets a second member. Both are needed from the moment at which the second
//! is announced until it has started; etcd itself makes an exception there, and the API pauses for those seconds.

use kubitect_config::value::Label;
use kubitect_config::{Refusal, RefusalKind};

/// A master that is a member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: Label,
    /// Whether it answers, or will as soon as its machine, which is only switched off, is started.
    pub healthy: bool,
    /// Whether it has joined to the end, and has not begun to leave.
    pub joined: bool,
}

/// One change of the membership. Each is complete before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member that does not answer is taken out, without asking its machine.
    RemoveDead(Label),
    /// A master that had begun to join, or to leave, joins to the end.
    Finish(Label),
    /// A master joins.
    Add(Label),
    /// Every API server that stays lists exactly the members that stay.
    ApiServers,
    /// A member that answers is taken out.
    RemoveHealthy(Label),
}

/// The steps from the members that are there to the masters that are wanted: dead members leave, those that are half-way
/// leave or join to the end, masters join, the API servers get the list of members, healthy members leave. None where nothing
/// changes.
///
/// `replaced` are masters whose machines are recreated: they lose their data, so that they count as dead from the start
/// and join again if they are wanted. Of those that answer at least one has joined.
pub fn plan(
    members: &[Member],
    wanted: &[Label],
    replaced: &[Label],
) -> Result<Vec<Step>, Box<Refusal>> {
    if wanted.len().is_multiple_of(2) {
        return Err(even(wanted.len()).into());
    }
    let (living, dead): (Vec<_>, Vec<_>) = members
        .iter()
        .partition(|member| member.healthy && !replaced.contains(&member.name));
    let needed = members.len() / 2 + 1;
    if living.len() < needed {
        let is_replaced = |name: &&Label| replaced.contains(name);
        let replaced: Vec<_> = names(&dead).iter().filter(is_replaced).cloned().collect();
        return Err(lost(members.len(), living.len(), &names(&dead), &replaced).into());
    }
    let goes = |member: &Member| !wanted.contains(&member.name) || replaced.contains(&member.name);
    let (out, stuck): (Vec<_>, Vec<_>) = dead.into_iter().partition(|member| goes(member));
    let gone = |name: &Label| out.iter().any(|member| member.name == *name);
    let comes = wanted
        .iter()
        .filter(|name| gone(name) || members.iter().all(|member| member.name != **name));
    let (leaves, stays): (Vec<_>, Vec<_>) = living.into_iter().partition(|member| goes(member));
    let (joined, begun): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|member| member.joined);
    let finishes: Vec<_> = stays.into_iter().filter(|member| !member.joined).collect();
    let mut steps: Vec<_> = names(&out).into_iter().map(Step::RemoveDead).collect();
    steps.extend(names(&begun).into_iter().map(Step::RemoveHealthy));
    // Of several that had begun to leave, in this order, the others have left but for their machines.
    steps.extend(names(&finishes).into_iter().rev().map(Step::Finish));
    steps.extend(comes.cloned().map(Step::Add));
    if !steps.is_empty() || !joined.is_empty() {
        steps.push(Step::ApiServers);
    }
    steps.extend(names(&joined).into_iter().map(Step::RemoveHealthy));
    if steps.is_empty() || stuck.is_empty() {
        Ok(steps)
    } else {
        Err(dead_stays(&names(&stuck)).into())
    }
}

fn names(members: &[&Member]) -> Vec<Label> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn listed(names: &[Label]) -> String {
    let names: Vec<_> = names.iter().map(Label::as_str).collect();
    names.join(", ")
}

fn does(names: &[Label]) -> String {
    let verb = if names.len() == 1 { "does" } else { "do" };
    format!("{} {verb}", listed(names))
}

fn is(names: &[Label]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

/// What is left where a majority of the members' disks is gone.
const RECOVERY: &str = "the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is \
                        left (docs/repairing.md, \"The majority of etcd is lost\")";

/// Too few would answer for etcd to take any change: those that are missing do not, and the machines of some would be recreated.
fn lost(members: usize, healthy: usize, missing: &[Label], replaced: &[Label]) -> Refusal {
    let why = format!(
        "of {members} etcd members only {healthy} would answer, and {} have to: without {} etcd takes no change, and nothing in \
         Kubernetes could be changed",
        members / 2 + 1,
        listed(missing)
    );
    let begin = "start or mend what does not answer, and apply again";
    let instead = match replaced.is_empty() {
        true => format!("{begin}; if their disks are lost for good, {RECOVERY}"),
        false => format!(
            "{begin} (the machines of {} would be recreated, with empty disks: give them their disks back, or as many others \
             as are needed); if the disks are lost for good, {RECOVERY}",
            listed(replaced)
        ),
    };
    let refusal = Refusal::new(RefusalKind::Quorum, why, instead);
    missing.iter().fold(refusal, Refusal::on)
}

/// Members that do not answer are to stay, and others are to change.
fn dead_stays(names: &[Label]) -> Refusal {
    let why = format!(
        "{} not answer as etcd member and {} to stay, so that no other master can join or leave: Kubespray waits until all members \
         are healthy",
        does(names),
        is(names)
    );
    let instead = format!(
        "start or mend {}, or take it out of the configuration; then apply again",
        listed(names)
    );
    let refusal = Refusal::new(RefusalKind::MemberDown, why, instead);
    names.iter().fold(refusal, Refusal::on)
}

/// An even number of masters, or none, is wanted.
fn even(masters: usize) -> Refusal {
    let why = format!(
        "{masters} masters are wanted, and etcd wants an odd number: with an even one it bears no more failures than with one less"
    );
    Refusal::new(RefusalKind::EvenMasters, why, "")
}

#[cfg(test)]
mod tests;
