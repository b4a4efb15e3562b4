//! No step of a plan loses the quorum, over all states of small clusters.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// The states of one member: (healthy, wanted, replaced, joined).
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

/// The states that the member of this index takes. Of more than three members only the first may be half-way: else there are too
/// many combinations.
fn fates(count: usize, index: usize) -> &'static [(bool, bool, bool, bool)] {
    match count > 3 && index > 0 {
        true => &FATES[..6],
        false => &FATES,
    }
}

/// Every state of `count` members, with every set of them wanted, recreated, half-way or leaving, and up to four new ones.
fn requests(count: usize) -> impl Iterator<Item = Request> {
    let all: usize = (0..count).map(|index| fates(count, index).len()).product();
    (0..all).flat_map(move |code| {
        let mut code = code;
        let fates: Vec<_> = (0..count)
            .map(|index| {
                let fates = fates(count, index);
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

/// A model of etcd: its members, which of them answer, and the lists of members of the API servers.
struct Etcd {
    members: BTreeSet<Label>,
    answers: BTreeSet<Label>,
    /// The half-way members, which Kubespray's list lacks.
    begun: BTreeSet<Label>,
    /// The members that each master's API server lists.
    lists: BTreeMap<Label, BTreeSet<Label>>,
    /// The list that a master gets when it joins: the one that was written last, at creation or by a step.
    copied: BTreeSet<Label>,
}

impl Etcd {
    /// The state after the machines that are recreated have lost their data.
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
                // The new member is announced and has not started: only a cluster of one may lack a majority then.
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

/// How many requests were planned with steps, needed none, were refused for a lost quorum, and for a dead member that is wanted.
fn tally(count: usize) -> [usize; 4] {
    let mut tally = [0; 4];
    for (members, wanted, replaced) in requests(count) {
        let lives = |member: &&Member| member.healthy && !replaced.contains(&member.name);
        let mut living = members.iter().filter(lives).peekable();
        // If no member that answers has joined, there is no cluster yet, and `plan` is not called.
        if living.peek().is_some() && !living.any(|member| member.joined) {
            continue;
        }
        let mut etcd = Etcd::of(&members, &replaced);
        let dead_stays = members.iter().any(|member| {
            !member.healthy && wanted.contains(&member.name) && !replaced.contains(&member.name)
        });
        let result = plan(&members, &wanted, &replaced);
        let case = format!("{members:?} -> {wanted:?}, replaced {replaced:?}: {result:?}");
        match result.map_err(|refusal| refusal.kind) {
            Err(RefusalKind::EvenMasters) => assert!(wanted.len().is_multiple_of(2), "{case}"),
            Err(RefusalKind::Quorum) => {
                assert!(!etcd.has_quorum(), "{case}");
                tally[2] += 1;
            }
            Err(kind) => {
                assert_eq!(kind, RefusalKind::MemberDown, "{case}");
                assert!(etcd.has_quorum() && dead_stays, "{case}");
                tally[3] += 1;
            }
            Ok(steps) => {
                assert!(etcd.has_quorum(), "{case}");
                assert!(!wanted.len().is_multiple_of(2), "{case}");
                assert!(steps.is_empty() || !dead_stays, "{case}");
                let wanted = wanted.into_iter().collect();
                steps.iter().for_each(|step| etcd.take(step, &wanted));
                assert_eq!(etcd.members, wanted, "{case}");
                assert!(etcd.begun.is_empty(), "{case}");
                assert_eq!(etcd.members == etcd.answers, !dead_stays, "{case}");
                let listed = steps.is_empty() || etcd.lists.values().all(|list| *list == wanted);
                assert!(listed, "{case}");
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
    // A name that ends with `~` is that of a half-way member.
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
fn the_first_is_replaced_by_another_and_a_dead_one_leaves_first() {
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
        refused: of 3 etcd members only 1 would answer, and 2 have to: without m1, m2 etcd takes no change, and nothing in Kubernetes could be changed; start or mend what does not answer, and apply again; if their disks are lost for good, the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is left (docs/repairing.md, "The majority of etcd is lost")
        refused: of 3 etcd members only 1 would answer, and 2 have to: without m1, m2 etcd takes no change, and nothing in Kubernetes could be changed; start or mend what does not answer, and apply again (the machines of m1, m2 would be recreated, with empty disks: give them their disks back, or as many others as are needed); if the disks are lost for good, the cluster can be restored by hand from a snapshot of etcd, or from the data of one member that is left (docs/repairing.md, "The majority of etcd is lost")
        refused: m1 does not answer as etcd member and is to stay, so that no other master can join or leave: Kubespray waits until all members are healthy; start or mend m1, or take it out of the configuration; then apply again
        refused: 2 masters are wanted, and etcd wants an odd number: with an even one it bears no more failures than with one less
        "#);
}
