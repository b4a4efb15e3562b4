//! [`in_use`]: which API versions that an upgrade removes are still in use in a cluster. Changes nothing, and gives up after a
//! while.

use std::collections::BTreeSet;
use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::check::Check;
use kubitect_config::cluster::Role;
use kubitect_config::release::removed::{GUIDE, Removed, removed_between};
use kubitect_config::remote::Machines;
use kubitect_config::value::{Label, Version};
use kubitect_config::waiting::side_by_side;

use super::stage::{ObservedNode, Stage, Task};
use crate::control::{self, ApiObject, RequestedApi};

/// How long all questions together may take.
const LIMIT: Duration = Duration::from_secs(45);
/// How many objects of a resource are named.
const NAMED: usize = 3;
/// Resources that only Kubernetes itself writes, and writes again when needed: nobody has to change their objects.
const SKIPPED: [&str; 11] = [
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
/// How the field managers of Kubernetes' own programs begin. These programs change with the upgrade, so what they write does not
/// count.
const OWN_MANAGERS: [&str; 3] = ["kube-", "kubelet", "api-priority-and-fairness"];

/// The Kubernetes version of the oldest node, and the newest that a task upgrades to; none, if nothing is upgraded.
fn span(observed: &[ObservedNode], tasks: &[&Task]) -> Option<(Version, Version)> {
    let present = observed
        .iter()
        .filter_map(|node| Some(&node.finished()?.release));
    let upgrades = tasks.iter().filter_map(|task| match &task.stage {
        Stage::Upgrade { to, .. } => Some(&to.kubernetes),
        _ => None,
    });
    Some((
        present.map(|hop| &hop.kubernetes).min()?.clone(),
        upgrades.max()?.clone(),
    ))
}

/// The API versions that these tasks remove.
fn removed(observed: &[ObservedNode], tasks: &[&Task]) -> Vec<&'static Removed> {
    let span = span(observed, tasks);
    span.map_or(Vec::new(), |(from, to)| removed_between(&from, &to))
}

/// Whether these tasks remove any API version, so that [`in_use`] has something to look for.
pub fn concerns(observed: &[ObservedNode], tasks: &[&Task]) -> bool {
    !removed(observed, tasks).is_empty()
}

/// A note for each API version that these tasks remove and that is in use: objects were written in it, or an API server was asked
/// for it. If that can't be found out, there is one note that says so: it is no reason to refuse the upgrade.
pub async fn in_use(
    machines: &dyn Machines,
    observed: &[ObservedNode],
    tasks: &[&Task],
) -> Vec<Check> {
    let removed = removed(observed, tasks);
    let Some((_, to)) = span(observed, tasks).filter(|_| !removed.is_empty()) else {
        return Vec::new();
    };
    let masters = observed
        .iter()
        .filter(|node| node.node.role == Role::Master && node.answers && node.finished().is_some());
    let masters: Vec<_> = masters.map(|master| &master.node.name).collect();
    let answer = tokio::time::timeout(LIMIT, ask(machines, &masters, &removed));
    match answer.await {
        Ok(Ok((requested, written))) => notes(&removed, &requested, &written, to.minor().1),
        Ok(Err(why)) => vec![unknown(&why)],
        Err(_) => vec![unknown(&format!("no answer within {} s", LIMIT.as_secs()))],
    }
}

/// The deprecated APIs that any of the masters was asked for, and the objects of removed APIs, by one master; or why they can't
/// be found out. Each API server counts only its own requests, so all are asked.
async fn ask(
    machines: &dyn Machines,
    masters: &[&Label],
    removed: &[&Removed],
) -> Result<(BTreeSet<RequestedApi>, Vec<ApiObject>), String> {
    let asked = masters.iter().map(|name| async move {
        let master = machines.connect(name).await;
        let master = master.map_err(|e| format!("{name}: {}", chain(&*e)))?;
        let requested = control::requested_apis(&master).await;
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
    let listed = removed
        .iter()
        .filter(|api| !SKIPPED.contains(&api.resource));
    let resources: BTreeSet<_> = listed.map(|api| full_name(api)).collect();
    let resources: Vec<_> = resources.iter().map(String::as_str).collect();
    let written = control::objects(&master, &resources).await;
    Ok((requested, written.map_err(|e| chain(&e))?))
}

/// The name of a resource with its group.
fn full_name(removed: &Removed) -> String {
    format!("{}.{}", removed.resource, removed.group())
}

fn unknown(why: &str) -> Check {
    Check::note(
        "API versions that this upgrade takes away",
        format!("whether they are in use could not be found out: {why}"),
        format!("see {GUIDE}"),
    )
}

/// The notes; `last` is the newest minor release of the upgrade.
fn notes(
    apis: &[&Removed],
    requested: &BTreeSet<RequestedApi>,
    written: &[ApiObject],
    last: u64,
) -> Vec<Check> {
    let mut notes = Vec::new();
    for removed in apis {
        let is_same = |request: &&RequestedApi| {
            request.version == removed.version && request.resource == removed.resource
        };
        let asked = requested.iter().any(|request| is_same(&request));
        let objects = objects(removed, written);
        if asked || !objects.is_empty() {
            notes.push(note(removed, asked, &objects));
        }
    }
    // APIs that an API server reports as deprecated, and that the table of this Kubitect lacks.
    let first = apis.iter().map(|api| api.since).min().unwrap_or(last);
    let others = requested.iter().filter(|request| {
        let is_in_table = apis
            .iter()
            .any(|api| request.version == api.version && request.resource == api.resource);
        !is_in_table && (first..=last).contains(&request.since)
    });
    notes.extend(others.map(|request| {
        let what = format!("{} of {}", request.version, request.resource);
        let found = format!(
            "goes away with v1.{}, and an API server was asked for it",
            request.since
        );
        Check::note(what, found, format!("see {GUIDE}#v1-{}", request.since))
    }));
    notes
}

/// The objects that were written in this version, each with its field manager.
fn objects(removed: &Removed, written: &[ApiObject]) -> Vec<String> {
    let objects = written
        .iter()
        .filter(|object| object.resource == full_name(removed));
    let named = objects.filter_map(|object| {
        let is_own = |manager: &str| OWN_MANAGERS.iter().any(|own| manager.starts_with(own));
        let mut managers = object.managers.iter();
        let (manager, _) =
            managers.find(|(manager, version)| version == removed.version && !is_own(manager))?;
        Some(format!("{} (by {manager})", object.name))
    });
    named.collect()
}

/// The note on one API version.
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

    fn requested(version: &str, resource: &str, since: u64) -> RequestedApi {
        RequestedApi {
            version: version.to_owned(),
            resource: resource.to_owned(),
            since,
        }
    }

    fn written(name: &str, by: &str) -> ApiObject {
        ApiObject {
            resource: "poddisruptionbudgets.policy".to_owned(),
            name: name.to_owned(),
            managers: vec![(by.to_owned(), "policy/v1beta1".to_owned())],
        }
    }

    #[test]
    fn what_is_in_use_is_named_and_what_kubernetes_writes_itself_is_not() {
        let gone = removed_between(&"v1.24.1".parse().unwrap(), &"v1.26.1".parse().unwrap());
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
