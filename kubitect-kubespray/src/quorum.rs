//! The order in which masters leave etcd and join it: etcd never loses its majority, and no API server its last member.
//!
//! - **Dead members leave first, new members join one by one, healthy members leave last.** etcd accepts a write, and a change of
//!   its membership, only with a majority of all *members*, not of those that answer. Each dead member that is removed makes that
//!   majority smaller. A request that can't be met in this order is refused as a whole, before the first step.
//! - **Masters that an earlier run left half-way come before new ones:** those that leave are removed, those that stay join to the
//!   end. A new member starts only with a list of exactly the members that etcd has, and Kubespray's list contains only masters
//!   that have joined.
//! - **Between the last join and the first leave, every API server that stays gets the list of exactly the members that stay.** An
//!   API server reaches etcd through the members in its manifest, and a joining master copies the list of the masters before it.
//!   If all members in its list left, it would be lost although etcd is healthy. At this point all members of the list exist, so no
//!   list has to be written again after the others have left.
//!
//! Only one state has no spare member: a cluster of one that gets a second member. Both are needed from the moment at which the
//! second is announced until it has started. etcd permits this one case, and the API pauses for those seconds.

use kubitect_config::value::Label;
use kubitect_config::{Refusal, RefusalKind};

/// A master that is a member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: Label,
    /// Whether it answers, or will once its machine, which is only off, is started.
    pub healthy: bool,
    /// Whether its join is finished, and no run has begun to remove it.
    pub joined: bool,
}

/// One change of the membership. Each step is complete before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member that does not answer is removed from etcd, without its machine.
    RemoveDead(Label),
    /// A master that an earlier run left half-way, joining or leaving, joins to the end.
    Finish(Label),
    /// A master joins.
    Add(Label),
    /// Every API server that stays lists exactly the members that stay.
    ApiServers,
    /// A member that answers is removed.
    RemoveHealthy(Label),
}

/// The steps from the present members to the masters that are wanted, in this order: dead members leave; half-way members that are
/// not wanted leave; half-way members that are wanted join to the end; new masters join; the API servers get the list of members;
/// healthy members leave. Empty, if nothing changes.
///
/// `replaced` are masters whose machines are recreated. Their data are lost, so they count as dead, and join again if they are
/// wanted. At least one of the members that answer has joined: without one there is no cluster to change.
pub fn plan(
    members: &[Member],
    wanted: &[Label],
    replaced: &[Label],
) -> Result<Vec<Step>, Box<Refusal>> {
    if wanted.len().is_multiple_of(2) {
        return Err(even(wanted.len()).into());
    }
    let (healthy, dead): (Vec<_>, Vec<_>) = members
        .iter()
        .partition(|member| member.healthy && !replaced.contains(&member.name));
    let needed = members.len() / 2 + 1;
    if healthy.len() < needed {
        let is_replaced = |name: &&Label| replaced.contains(name);
        let replaced: Vec<_> = names(&dead).iter().filter(is_replaced).cloned().collect();
        return Err(majority_lost(members.len(), healthy.len(), &names(&dead), &replaced).into());
    }
    let leaves =
        |member: &Member| !wanted.contains(&member.name) || replaced.contains(&member.name);
    let (removed, dead_wanted): (Vec<_>, Vec<_>) = dead.into_iter().partition(|own| leaves(own));
    let is_removed = |name: &Label| removed.iter().any(|member| member.name == *name);
    let new = wanted
        .iter()
        .filter(|name| is_removed(name) || members.iter().all(|member| member.name != **name));
    let (leaving, staying): (Vec<_>, Vec<_>) = healthy.into_iter().partition(|own| leaves(own));
    let (joined, half_way): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|own| own.joined);
    let unfinished: Vec<_> = staying.into_iter().filter(|own| !own.joined).collect();
    let mut steps: Vec<_> = names(&removed).into_iter().map(Step::RemoveDead).collect();
    steps.extend(names(&half_way).into_iter().map(Step::RemoveHealthy));
    // Members leave in the order of their names. So of several that were leaving, only the last can still be a member of etcd: it
    // joins first, while etcd lists no member that Kubespray's list lacks.
    steps.extend(names(&unfinished).into_iter().rev().map(Step::Finish));
    steps.extend(new.cloned().map(Step::Add));
    if !steps.is_empty() || !joined.is_empty() {
        steps.push(Step::ApiServers);
    }
    steps.extend(names(&joined).into_iter().map(Step::RemoveHealthy));
    if steps.is_empty() || dead_wanted.is_empty() {
        Ok(steps)
    } else {
        Err(dead_stays(&names(&dead_wanted)).into())
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

/// What a person can do if the disks of a majority of the members are gone.
const RECOVERY: &str = "the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is \
                        left (docs/repairing.md, \"The majority of etcd is lost\")";

/// The refusal because too few members would answer for etcd to accept any change. The `missing` ones do not answer; of these, the
/// `replaced` ones would be recreated.
fn majority_lost(members: usize, healthy: usize, missing: &[Label], replaced: &[Label]) -> Refusal {
    let why = format!(
        "of {members} etcd members only {healthy} would answer, and {} have to: without {} etcd takes no change, and nothing in \
         Kubernetes could be changed",
        members / 2 + 1,
        listed(missing)
    );
    let first = "start or mend what does not answer, and apply again";
    let instead = match replaced.is_empty() {
        true => format!("{first}; if their disks are lost for good, {RECOVERY}"),
        false => format!(
            "{first} (the machines of {} would be recreated, with empty disks: give them their disks back, or as many others \
             as are needed); if the disks are lost for good, {RECOVERY}",
            listed(replaced)
        ),
    };
    let refusal = Refusal::new(RefusalKind::Quorum, why, instead);
    missing.iter().fold(refusal, Refusal::on)
}

/// The refusal because members that do not answer are wanted, while others are to join or leave. Kubespray's playbooks wait for all
/// members to be healthy, and would fail half-way.
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

/// The refusal because an even number of masters, or none, is wanted.
fn even(masters: usize) -> Refusal {
    let why = format!(
        "{masters} masters are wanted, and etcd wants an odd number: with an even one it bears no more failures than with one less"
    );
    Refusal::new(RefusalKind::EvenMasters, why, "")
}

#[cfg(test)]
mod tests;
