//! [`uncovered_steps`]: which steps of a plan an action does not cover.
//!
//! The file's edits are not enough to judge this: after a run that did not end, or where a machine was lost, the plan has steps
//! although the file has no edit.

use super::{Action, uncovered_by};
use crate::cluster::Cluster;
use crate::edit::{Change, Edit};
use crate::row::{self, Kind, Row};
use crate::{Refusal, RefusalKind};

/// The refusals of the steps that the chosen action does not cover: one for each action that would cover them, which names the
/// first step and counts the others. Where `edits` is none, the cluster is yet to be made: then all steps belong to that, and
/// none is refused.
pub(super) fn uncovered_steps(
    chosen: Action,
    cluster: &Cluster,
    edits: Option<&[Edit]>,
    steps: &[Row],
) -> Vec<Refusal> {
    let Some(edits) = edits else {
        return Vec::new();
    };
    let others = [Action::Create, Action::Scale, Action::Upgrade];
    let others = others.into_iter().filter(|other| *other != chosen);
    let refusal = |other| {
        let mut steps = steps.iter().filter(|row| {
            let covered = actions(row, cluster, edits);
            !covered.contains(&chosen) && covered.first() == Some(&other)
        });
        let Row {
            action, kind, name, ..
        } = steps.next()?;
        let more = match steps.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let (why, instead) = uncovered_by(chosen, other);
        let what = format!("{action} {kind} {name}{more}, which the plan has besides");
        Some(Refusal::new(RefusalKind::Action, why, instead).of(what))
    };
    others.filter_map(refusal).collect()
}

/// The actions that cover a step; first the one that it belongs to, which a refusal names. A start is covered by all, as every
/// run starts the machines that it needs.
fn actions(row: &Row, cluster: &Cluster, edits: &[Edit]) -> &'static [Action] {
    use Action::{Create, Scale, Upgrade};
    match (row.action, row.kind) {
        _ if row.upgrade.is_some() => &[Upgrade],
        (row::Action::Start, _) => &[Create, Scale, Upgrade],
        // A snapshot before an upgrade; or, after a master has joined or left, the etcd members that API servers connect to.
        (_, Kind::Etcd) => &[Scale, Upgrade, Create],
        (row::Action::Update, Kind::Node) if row.details == TAKES_PODS => &[Create, Scale, Upgrade],
        (_, Kind::Node | Kind::Domain | Kind::Volume) => {
            match is_added_or_removed(&row.name, cluster, edits) {
                true => &[Scale],
                false => &[Create],
            }
        }
        // With machines that are added or removed, balancers get other targets, and hosts begin or cease to carry machines.
        (_, Kind::Balancer | Kind::Pool | Kind::Image | Kind::Network) => &[Create, Scale],
        _ => &[Create],
    }
}

/// The details of the step that returns a node to service after an interrupted run. Every action covers it, as it only ends a
/// drain.
pub const TAKES_PODS: &str = "takes pods again";

/// Whether a step's machine, by the name of the machine or of one of its disks, is added by the file or is not in it.
fn is_added_or_removed(name: &str, cluster: &Cluster, edits: &[Edit]) -> bool {
    let is_of = |node: &str| {
        let rest = name.strip_prefix(node);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let new = edits
        .iter()
        .any(|edit| matches!(&edit.change, Change::NodeAdded { node, .. } if is_of(node.as_str())));
    new || !cluster.nodes.iter().any(|node| is_of(node.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::edits;
    use crate::edit::tests::base;

    fn row(action: &str, kind: &str, name: &str) -> Row {
        let action = serde_json::from_value(action.into()).unwrap();
        let kind = serde_json::from_value(kind.into()).unwrap();
        Row::new(action, kind, name, "box".to_owned())
    }

    #[test]
    fn a_step_is_covered_by_the_action_that_it_belongs_to() {
        let cluster = base();
        let why = |chosen, cluster: &Cluster, rows: &[Row]| {
            let refused = uncovered_steps(chosen, cluster, Some(&edits(&base(), cluster)), rows);
            let refused = refused.iter().map(ToString::to_string);
            refused.collect::<Vec<_>>().join("\n")
        };
        use Action::{Create, Scale, Upgrade};
        let wanted = cluster.nodes.last().unwrap().name.to_string();
        // A machine that an unfinished run made and that is no longer wanted: no edit of the file is about it.
        let leftovers = [
            row("delete", "domain", "demo-worker-77"),
            row("delete", "volume", "demo-worker-77-main-disk"),
        ];
        for chosen in [Create, Upgrade] {
            let why = why(chosen, &cluster, &leftovers);
            assert!(
                why.starts_with(
                    "delete domain demo-worker-77 (and 1 more), which the plan has besides"
                ) && why.ends_with("use the action `scale`, or none"),
                "{why}"
            );
        }
        assert_eq!(why(Scale, &cluster, &leftovers), "");
        // A machine that was lost: it is wanted as before, and is recreated.
        let lost = [
            row("create", "volume", &format!("{wanted}-main-disk")),
            row("create", "domain", &wanted),
            row("delete", "node", &wanted),
        ];
        for chosen in [Scale, Upgrade] {
            let why = why(chosen, &cluster, &lost);
            assert!(why.ends_with("use the action `create`, or none"), "{why}");
        }
        assert_eq!(why(Create, &cluster, &lost), "");
        // A machine that the file adds.
        let mut grown = base();
        grown.nodes.push(crate::cluster::Node {
            name: "demo-worker-99".parse().unwrap(),
            id: "99".parse().unwrap(),
            ..grown.nodes.last().unwrap().clone()
        });
        let new = [
            row("create", "domain", "demo-worker-99"),
            row("update", "balancer", "demo-lb-1"),
            row("start", "domain", &wanted),
        ];
        assert_eq!(why(Scale, &grown, &new), "");
        let upgrade = Row {
            upgrade: Some("x".to_owned()),
            ..row("update", "node", &wanted)
        };
        let upgrade = [row("update", "etcd", "demo"), upgrade];
        assert_eq!(why(Upgrade, &cluster, &upgrade), "");
        for chosen in [Create, Scale] {
            let why = why(chosen, &cluster, &upgrade);
            assert!(why.ends_with("use the action `upgrade`, or none"), "{why}");
        }
        assert!(uncovered_steps(Upgrade, &cluster, None, &leftovers).is_empty());
    }
}
