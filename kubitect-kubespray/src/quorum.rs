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

/// Why nothing may be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too few would answer for etcd to take any change.
    #[error(
        "of {members} etcd members only {healthy} would answer, and {needed} have to: without {} etcd takes no change, \
         and nothing in Kubernetes could be changed. {}", listed(.missing), advice(.replaced)
    )]
    Lost {
        /// How many members there are.
        members: usize,
        /// How many of them answer, those that are to be recreated not counted.
        healthy: usize,
        /// How many have to.
        needed: usize,
        /// Those that do not.
        missing: Vec<Label>,
        /// Those of them whose machines would be recreated.
        replaced: Vec<Label>,
    },
    /// A member that does not answer is to stay, and others are to change.
    #[error(
        "{} not answer as etcd member and {} to stay, so that no other master can join or leave: Kubespray waits until \
         all members are healthy. Start or mend {}, or take it out of the configuration; then apply again",
        does(.0), is(.0), listed(.0)
    )]
    DeadStays(Vec<Label>),
    /// An even number of masters, or none, is wanted.
    #[error(
        "{0} masters are wanted, and etcd wants an odd number: with an even one it bears no more failures than with one less"
    )]
    Even(usize),
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
) -> Result<Vec<Step>, Refusal> {
    if wanted.len().is_multiple_of(2) {
        return Err(Refusal::Even(wanted.len()));
    }
    let (living, dead): (Vec<_>, Vec<_>) = members
        .iter()
        .partition(|member| member.healthy && !replaced.contains(&member.name));
    let needed = members.len() / 2 + 1;
    if living.len() < needed {
        let missing = names(&dead);
        return Err(Refusal::Lost {
            members: members.len(),
            healthy: living.len(),
            needed,
            replaced: missing
                .iter()
                .filter(|name| replaced.contains(name))
                .cloned()
                .collect(),
            missing,
        });
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
        Err(Refusal::DeadStays(names(&stuck)))
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

fn advice(replaced: &[Label]) -> String {
    let begin = "Start or mend what does not answer, and apply again";
    if replaced.is_empty() {
        return format!("{begin}; if their disks are lost for good, {RECOVERY}");
    }
    format!(
        "{begin} (the machines of {} would be recreated, with empty disks: give them their disks back, or as many others \
         as are needed); if the disks are lost for good, {RECOVERY}",
        listed(replaced)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// What may be true of one member: (healthy, wanted, replaced, joined).
    const FATES: [(bool, bool, bool, bool); 8] = [
        (true, true, false, true),
        (false, true, false, true),
        (true, false, false, true),
        (false, false, false, true),
        (true, true, true, true),
        (false, true, true, true),
        (true, true, false, false),
        (true, false, false, false),
    ];

    fn label(kind: &str, number: usize) -> Label {
        format!("c-{kind}-{number}").parse().unwrap()
    }

    /// Members, wanted masters, masters to be recreated.
    type Request = (Vec<Member>, Vec<Label>, Vec<Label>);

    /// What may be true of the member at this place: of many only one is half-way.
    fn fates(count: usize, at: usize) -> &'static [(bool, bool, bool, bool)] {
        match count > 3 && at > 0 {
            true => &FATES[..6],
            false => &FATES,
        }
    }

    /// Every state of `count` members, with every set of them wanted, recreated, half-way or leaving, and up to four new ones.
    fn requests(count: usize) -> impl Iterator<Item = Request> {
        let all: usize = (0..count).map(|at| fates(count, at).len()).product();
        (0..all).flat_map(move |code| {
            let mut code = code;
            let fates: Vec<_> = (0..count)
                .map(|at| {
                    let fates = fates(count, at);
                    let fate = fates[code % fates.len()];
                    code /= fates.len();
                    fate
                })
                .collect();
            (0..=4).map(move |new| {
                let named = |test: fn(&(bool, bool, bool, bool)) -> bool| {
                    let chosen = fates.iter().enumerate().filter(move |(_, fate)| test(fate));
                    chosen.map(|(i, _)| label("old", i)).collect::<Vec<_>>()
                };
                let members = fates.iter().enumerate().map(|(i, fate)| Member {
                    name: label("old", i),
                    healthy: fate.0,
                    joined: fate.3,
                });
                let mut wanted = named(|fate| fate.1);
                wanted.extend((0..new).map(|i| label("new", i)));
                (members.collect(), wanted, named(|fate| fate.2))
            })
        })
    }

    /// etcd as far as it matters here: who is a member, who of them answers, and what the API servers list.
    struct Etcd {
        members: BTreeSet<Label>,
        answers: BTreeSet<Label>,
        /// Those that are half-way: Kubespray's list has none of them.
        begun: BTreeSet<Label>,
        /// The members that each master's API server lists.
        lists: BTreeMap<Label, BTreeSet<Label>>,
        /// The list that a master gets when it joins: the one that was written last, at creation or by a step.
        copied: BTreeSet<Label>,
    }

    impl Etcd {
        /// As it is once the machines that are recreated have lost their data.
        fn of(members: &[Member], replaced: &[Label]) -> Self {
            let lives = |member: &&Member| member.healthy && !replaced.contains(&member.name);
            let answers = members.iter().filter(lives).map(|member| &member.name);
            let answers: BTreeSet<_> = answers.cloned().collect();
            let begun = members.iter().filter(|member| !member.joined);
            let begun = begun.map(|member| member.name.clone()).collect();
            let members: BTreeSet<_> = members.iter().map(|member| member.name.clone()).collect();
            Self {
                lists: answers
                    .iter()
                    .map(|name| (name.clone(), members.clone()))
                    .collect(),
                copied: members.clone(),
                members,
                answers,
                begun,
            }
        }

        /// Whether this master's API server lists a member that answers.
        fn serves(&self, name: &Label) -> bool {
            !self.lists[name].is_disjoint(&self.answers)
        }

        fn has_quorum(&self) -> bool {
            2 * self.answers.len() > self.members.len()
        }

        fn take(&mut self, step: &Step, wanted: &BTreeSet<Label>) {
            assert!(
                self.has_quorum(),
                "{step:?} would not be taken without a quorum"
            );
            match step {
                Step::Finish(name) => {
                    assert!(self.begun.remove(name), "{name} is not half-way");
                }
                Step::Add(name) => {
                    assert!(self.begun.is_empty(), "{name} would not start");
                    let alone = self.members.len() == 1;
                    assert!(
                        self.members.insert(name.clone()),
                        "{name} is a member already"
                    );
                    // Announced and not started yet; only a cluster of one cannot have a majority then.
                    assert!(self.has_quorum() || alone, "{step:?} loses the quorum");
                    self.answers.insert(name.clone());
                    self.lists.insert(name.clone(), self.copied.clone());
                }
                Step::ApiServers => {
                    assert!(self.members.is_superset(wanted), "too early: {wanted:?}");
                    for list in self.lists.values_mut() {
                        list.clone_from(wanted);
                    }
                    self.copied.clone_from(wanted);
                }
                Step::RemoveDead(name) => {
                    assert!(!self.answers.contains(name), "{name} answers");
                    assert!(self.members.remove(name), "{name} is no member");
                }
                Step::RemoveHealthy(name) => {
                    self.begun.remove(name);
                    assert!(self.answers.remove(name), "{name} does not answer");
                    assert!(self.members.remove(name), "{name} is no member");
                    self.lists.remove(name);
                }
            }
            assert!(self.has_quorum(), "no quorum after {step:?}");
            for name in self.lists.keys() {
                assert!(self.serves(name), "{name} has no etcd after {step:?}");
            }
        }
    }

    /// How many requests were planned with steps, needed none, were refused for a lost quorum, and for a dead that stays.
    fn tally(count: usize) -> [usize; 4] {
        let mut tally = [0; 4];
        for (members, wanted, replaced) in requests(count) {
            let lives = |member: &&Member| member.healthy && !replaced.contains(&member.name);
            let mut living = members.iter().filter(lives).peekable();
            // Then there is no cluster yet.
            if living.peek().is_some() && !living.any(|member| member.joined) {
                continue;
            }
            let mut etcd = Etcd::of(&members, &replaced);
            let dead_stays = members.iter().any(|member| {
                !member.healthy && wanted.contains(&member.name) && !replaced.contains(&member.name)
            });
            let result = plan(&members, &wanted, &replaced);
            let told = format!("{members:?} -> {wanted:?}, anew {replaced:?}: {result:?}");
            match result {
                Err(Refusal::Even(_)) => assert!(wanted.len().is_multiple_of(2), "{told}"),
                Err(Refusal::Lost { .. }) => {
                    assert!(!etcd.has_quorum(), "{told}");
                    tally[2] += 1;
                }
                Err(Refusal::DeadStays(_)) => {
                    assert!(etcd.has_quorum() && dead_stays, "{told}");
                    tally[3] += 1;
                }
                Ok(steps) => {
                    assert!(etcd.has_quorum(), "{told}");
                    assert!(!wanted.len().is_multiple_of(2), "{told}");
                    assert!(steps.is_empty() || !dead_stays, "{told}");
                    let wanted = wanted.into_iter().collect();
                    steps.iter().for_each(|step| etcd.take(step, &wanted));
                    assert_eq!(etcd.members, wanted, "{told}");
                    assert!(etcd.begun.is_empty(), "{told}");
                    assert_eq!(etcd.members == etcd.answers, !dead_stays, "{told}");
                    let listed =
                        steps.is_empty() || etcd.lists.values().all(|list| *list == wanted);
                    assert!(listed, "{told}");
                    tally[usize::from(steps.is_empty())] += 1;
                }
            }
        }
        tally
    }

    #[test]
    fn over_all_states_of_one_three_and_five_members_no_step_loses_the_quorum() {
        // Of the 8, 8^3 and 8·6^4 sets of fates with 0 to 4 new masters each: those with an odd number wanted.
        assert_eq!(tally(1), [4, 1, 11, 0]);
        assert_eq!(tally(3), [409, 4, 404, 87]);
        assert_eq!(tally(5), [4119, 16, 17936, 2585]);
    }

    fn shown(members: &[(&str, bool)], wanted: &[&str], replaced: &[&str]) -> String {
        // One that is half-way is written so.
        let members: Vec<_> = members
            .iter()
            .map(|(name, healthy)| Member {
                name: name.trim_end_matches('~').parse().unwrap(),
                healthy: *healthy,
                joined: !name.ends_with('~'),
            })
            .collect();
        let labels = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>();
        match plan(&members, &labels(wanted), &labels(replaced)) {
            Ok(steps) => steps
                .iter()
                .map(|step| match step {
                    Step::RemoveDead(name) => format!("remove dead {name}"),
                    Step::Finish(name) => format!("finish {name}"),
                    Step::Add(name) => format!("add {name}"),
                    Step::ApiServers => "API servers".to_owned(),
                    Step::RemoveHealthy(name) => format!("remove {name}"),
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    #[test]
    fn the_first_is_replaced_by_another_and_a_dead_one_goes_first() {
        let three = [("m1", true), ("m2", true), ("m3", true)];
        assert_eq!(
            shown(&three, &["m2", "m3", "m4"], &[]),
            "add m4, API servers, remove m1"
        );
        assert_eq!(
            shown(&three, &["m1", "m2", "m3", "m4", "m5"], &[]),
            "add m4, add m5, API servers"
        );
        assert_eq!(
            shown(&three, &["m1"], &[]),
            "API servers, remove m2, remove m3"
        );
        let dead = [("m1", false), ("m2", true), ("m3", true)];
        assert_eq!(
            shown(&dead, &["m2", "m3", "m4"], &[]),
            "remove dead m1, add m4, API servers"
        );
        assert_eq!(
            shown(&three, &["m1", "m2", "m3"], &["m1"]),
            "remove dead m1, add m1, API servers"
        );
    }

    #[test]
    fn those_that_are_half_way_come_before_those_that_are_new() {
        let half = [("m1", true), ("m2~", true)];
        assert_eq!(
            shown(&half, &["m1", "m3", "m4"], &[]),
            "remove m2, add m3, add m4, API servers"
        );
        assert_eq!(shown(&half, &["m1"], &[]), "remove m2, API servers");
        assert_eq!(
            shown(&half, &["m1", "m2", "m3"], &[]),
            "finish m2, add m3, API servers"
        );
        let left = [("m1", true), ("m2~", true), ("m3~", true)];
        assert_eq!(
            shown(&left, &["m1", "m2", "m3"], &[]),
            "finish m3, finish m2, API servers"
        );
        let dead = [("m1", true), ("m2~", true), ("m3", false)];
        assert_eq!(
            shown(&dead, &["m4"], &[]),
            "remove dead m3, remove m2, add m4, API servers, remove m1"
        );
    }

    #[test]
    fn masters_that_are_all_exchanged_never_leave_an_api_server_without_a_member() {
        assert_eq!(
            shown(&[("m1", true)], &["m2"], &[]),
            "add m2, API servers, remove m1"
        );
        let three = [("m1", true), ("m2", true), ("m3", true)];
        assert_eq!(
            shown(&three, &["m4", "m5", "m6"], &[]),
            "add m4, add m5, add m6, API servers, remove m1, remove m2, remove m3"
        );
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let three = |first, second| [("m1", first), ("m2", second), ("m3", true)];
        let all = ["m1", "m2", "m3"];
        let refusals = [
            shown(&three(false, false), &["m3"], &[]),
            shown(&three(true, true), &all, &["m1", "m2"]),
            shown(&three(false, true), &["m1", "m2", "m3", "m4", "m5"], &[]),
            shown(&[("m1", true)], &["m1", "m2"], &[]),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        refused: of 3 etcd members only 1 would answer, and 2 have to: without m1, m2 etcd takes no change, and nothing in Kubernetes could be changed. Start or mend what does not answer, and apply again; if their disks are lost for good, the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is left (docs/repairing.md, "The majority of etcd is lost")
        refused: of 3 etcd members only 1 would answer, and 2 have to: without m1, m2 etcd takes no change, and nothing in Kubernetes could be changed. Start or mend what does not answer, and apply again (the machines of m1, m2 would be recreated, with empty disks: give them their disks back, or as many others as are needed); if the disks are lost for good, the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is left (docs/repairing.md, "The majority of etcd is lost")
        refused: m1 does not answer as etcd member and is to stay, so that no other master can join or leave: Kubespray waits until all members are healthy. Start or mend m1, or take it out of the configuration; then apply again
        refused: 2 masters are wanted, and etcd wants an odd number: with an even one it bears no more failures than with one less
        "#);
    }
}
