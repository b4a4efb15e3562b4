//! [`in_use`]: what of a living cluster still uses API versions that an upgrade takes away. Only looks, and never for long.

use std::collections::BTreeSet;
use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::check::Check;
use kubitect_config::cluster::Role;
use kubitect_config::release::removed::{GUIDE, Removed, on_the_way};
use kubitect_config::remote::Machines;
use kubitect_config::value::{Label, Version};
use kubitect_config::waiting::side_by_side;

use super::stage::{Seen, Stage, Task};
use crate::control::{self, Requested, Written};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(45);
/// The most objects that are named of one resource.
const NAMED: usize = 3;
/// What Kubernetes itself writes, and writes anew as it needs: nobody is asked to.
const UNLISTED: [&str; 11] = [
    "csinodes",
    "endpointslices",
    "events",
    "leases",
    "localsubjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectreviews",
    "selfsubjectrulesreviews",
    "subjectaccessreviews",
    "tokenreviews",
    "volumeattachments",
];
/// The beginnings of the names under which Kubernetes itself writes: it changes with the upgrade.
const ITSELF: [&str; 3] = ["kube-", "kubelet", "api-priority-and-fairness"];

/// The Kubernetes of the oldest node, and the newest that a task brings; none, where none is upgraded.
fn span(seen: &[Seen], tasks: &[&Task]) -> Option<(Version, Version)> {
    let has = seen
        .iter()
        .filter_map(|seen| Some(&seen.finished()?.release));
    let gets = tasks.iter().filter_map(|task| match &task.stage {
        Stage::Upgrade { to, .. } => Some(&to.kubernetes),
        _ => None,
    });
    Some((
        has.map(|hop| &hop.kubernetes).min()?.clone(),
        gets.max()?.clone(),
    ))
}

/// What goes away with these tasks.
fn gone(seen: &[Seen], tasks: &[&Task]) -> Vec<&'static Removed> {
    let span = span(seen, tasks);
    span.map_or(Vec::new(), |(from, to)| on_the_way(&from, &to))
}

/// Whether anything goes away with these tasks, so that [`in_use`] has something to look for.
pub fn concerns(seen: &[Seen], tasks: &[&Task]) -> bool {
    !gone(seen, tasks).is_empty()
}

/// A note for each API version that goes away with these tasks and that objects were written in, or an API server was asked for. That
/// it can't be found out is one, too: the upgrade goes on without.
pub async fn in_use(machines: &dyn Machines, seen: &[Seen], tasks: &[&Task]) -> Vec<Check> {
    let gone = gone(seen, tasks);
    let Some((_, to)) = span(seen, tasks).filter(|_| !gone.is_empty()) else {
        return Vec::new();
    };
    let masters = seen
        .iter()
        .filter(|seen| seen.node.role == Role::Master && seen.answers && seen.finished().is_some());
    let masters: Vec<_> = masters.map(|seen| &seen.node.name).collect();
    let look = tokio::time::timeout(PATIENCE, ask(machines, &masters, &gone));
    match look.await {
        Ok(Ok((requested, written))) => notes(&gone, &requested, &written, to.minor().1),
        Ok(Err(why)) => vec![unknown(&why)],
        Err(_) => vec![unknown(&format!(
            "no answer within {} s",
            PATIENCE.as_secs()
        ))],
    }
}

/// What any of the masters was asked for, and the objects that one of them has; why none tells.
async fn ask(
    machines: &dyn Machines,
    masters: &[&Label],
    gone: &[&Removed],
) -> Result<(BTreeSet<Requested>, Vec<Written>), String> {
    let asked = masters.iter().map(|name| async move {
        let master = machines.connect(name).await;
        let master = master.map_err(|e| format!("{name}: {}", chain(&*e)))?;
        let requested = control::requested(&master).await;
        Ok((
            requested.map_err(|e| format!("{name}: {}", chain(&e)))?,
            master,
        ))
    });
    let (mut requested, mut serves, mut why) = (BTreeSet::new(), None, None);
    for answer in side_by_side(asked).await {
        match answer {
            Ok((own, master)) => {
                requested.extend(own);
                serves.get_or_insert(master);
            }
            Err(error) => drop(why.get_or_insert(error)),
        }
    }
    let Some(master) = serves else {
        return Err(why.unwrap_or_else(|| "no master answers".to_owned()));
    };
    let listed = gone.iter().filter(|own| !UNLISTED.contains(&own.resource));
    let resources: BTreeSet<_> = listed.map(|own| full(own)).collect();
    let resources: Vec<_> = resources.iter().map(String::as_str).collect();
    let written = control::written(&master, &resources).await;
    Ok((requested, written.map_err(|e| chain(&e))?))
}

/// A resource with its group.
fn full(removed: &Removed) -> String {
    format!("{}.{}", removed.resource, removed.group())
}

fn unknown(why: &str) -> Check {
    Check::note(
        "API versions that this upgrade takes away",
        format!("whether they are in use could not be found out: {why}"),
        format!("see {GUIDE}"),
    )
}

/// What is said of each; `last` is the newest minor release of the upgrade.
fn notes(
    gone: &[&Removed],
    requested: &BTreeSet<Requested>,
    written: &[Written],
    last: u64,
) -> Vec<Check> {
    let mut notes = Vec::new();
    for removed in gone {
        let same =
            |own: &&Requested| own.version == removed.version && own.resource == removed.resource;
        let asked = requested.iter().any(|own| same(&own));
        let objects = objects(removed, written);
        if asked || !objects.is_empty() {
            notes.push(note(removed, asked, &objects));
        }
    }
    // What an API server calls deprecated, and the table does not have.
    let first = gone.iter().map(|own| own.since).min().unwrap_or(last);
    let others = requested.iter().filter(|own| {
        let known = gone
            .iter()
            .any(|gone| own.version == gone.version && own.resource == gone.resource);
        !known && (first..=last).contains(&own.since)
    });
    notes.extend(others.map(|own| {
        let what = format!("{} of {}", own.version, own.resource);
        let found = format!(
            "goes away with v1.{}, and an API server was asked for it",
            own.since
        );
        Check::note(what, found, format!("see {GUIDE}#v1-{}", own.since))
    }));
    notes
}

/// The objects that somebody wrote in this version, each with who did.
fn objects(removed: &Removed, written: &[Written]) -> Vec<String> {
    let of_it = written.iter().filter(|own| own.resource == full(removed));
    let named = of_it.filter_map(|own| {
        let mut by = own.by.iter().filter(|(manager, version)| {
            version == removed.version && !ITSELF.iter().any(|own| manager.starts_with(own))
        });
        let (manager, _) = by.next()?;
        Some(format!("{} (by {manager})", own.name))
    });
    named.collect()
}

fn note(removed: &Removed, asked: bool, objects: &[String]) -> Check {
    let Removed {
        since,
        version,
        resource,
        instead,
    } = removed;
    let mut found = format!("goes away with v1.{since}");
    if asked {
        found += ", and an API server was asked for it";
    }
    if !objects.is_empty() {
        let named = objects.iter().take(NAMED).cloned().collect::<Vec<_>>();
        found += &format!("; written in it: {}", named.join(", "));
    }
    if let more @ 1.. = objects.len().saturating_sub(NAMED) {
        found += &format!(" and {more} more");
    }
    let cure = match *instead {
        "" => "nothing takes its place".to_owned(),
        instead => format!("{instead} takes its place: change what writes or asks so"),
    };
    Check::note(
        format!("{version} of {resource}"),
        found,
        format!("{cure}; see {GUIDE}#v1-{since}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(version: &str, resource: &str, since: u64) -> Requested {
        Requested {
            version: version.to_owned(),
            resource: resource.to_owned(),
            since,
        }
    }

    fn written(name: &str, by: &str) -> Written {
        Written {
            resource: "poddisruptionbudgets.policy".to_owned(),
            name: name.to_owned(),
            by: vec![(by.to_owned(), "policy/v1beta1".to_owned())],
        }
    }

    #[test]
    fn what_is_in_use_is_named_and_what_kubernetes_writes_itself_is_not() {
        let gone = on_the_way(&"v1.24.1".parse().unwrap(), &"v1.26.1".parse().unwrap());
        let asked = BTreeSet::from([
            requested("batch/v1beta1", "cronjobs", 25),
            requested("new.k8s.io/v1beta1", "things", 26),
            requested("later.k8s.io/v1beta1", "others", 27),
        ]);
        let objects =
            ["a", "b", "c", "d", "e"].map(|name| written(&format!("default/{name}"), "helm"));
        let mut objects = objects.to_vec();
        objects.push(written("kube-system/own", "kube-controller-manager"));
        let notes = notes(&gone, &asked, &objects, 26);
        let lines: Vec<_> = notes
            .iter()
            .map(|note| format!("{}: {}; {}", note.what, note.found, note.cure))
            .collect();
        let guide = "see https://kubernetes.io/docs/reference/using-api/deprecation-guide/#v1-";
        let change = "takes its place: change what writes or asks so";
        assert_eq!(
            lines,
            [
                format!(
                    "batch/v1beta1 of cronjobs: goes away with v1.25, and an API server was asked for it; batch/v1 {change}; {guide}25"
                ),
                format!(
                    "policy/v1beta1 of poddisruptionbudgets: goes away with v1.25; written in it: default/a (by helm), \
                     default/b (by helm), default/c (by helm) and 2 more; policy/v1 {change}; {guide}25"
                ),
                format!(
                    "new.k8s.io/v1beta1 of things: goes away with v1.26, and an API server was asked for it; {guide}26"
                ),
            ]
        );
        assert_eq!(super::notes(&gone, &BTreeSet::new(), &[], 26), []);
    }
}
