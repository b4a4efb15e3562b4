//! Machines by their names: which one a command is about, and which ones exist.

use clap_complete::CompletionCandidate;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Site, text};

use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::read_stored;
use crate::names::{self, ClusterName};

/// A machine and its cluster. `name` may lack the cluster's name before it.
///
/// The cluster is the one that is named; else the one of which a machine has exactly this name; else the one of
/// [`names::resolve`]. Its machines are those of the stored configuration, which the last run need not have applied to its end.
pub fn resolve(
    home: &Home,
    site: &Site,
    cluster: Option<&Label>,
    name: &str,
) -> Result<(Cluster, Node), Failure> {
    if let Some(label) = cluster {
        return of(home, site, label, name);
    }
    // A cluster whose stored configuration can't be read is skipped: the machine may be one of another cluster.
    let labels = home.clusters()?;
    let read = |label| stored(home, site, label).ok()?;
    let all: Vec<_> = labels.iter().filter_map(read).collect();
    let exact = all
        .iter()
        .find_map(|own| Some((own.clone(), find(own, name)?)));
    if let Some(exact) = exact {
        return Ok(exact);
    }
    match names::resolve(home, &ClusterName::default()) {
        Ok(label) => of(home, site, &label, name),
        Err(failure) => Err(suggestion(&all, name).unwrap_or(failure)),
    }
}

/// The machine of this name in this cluster.
fn of(home: &Home, site: &Site, label: &Label, name: &str) -> Result<(Cluster, Node), Failure> {
    names::check(home, label)?;
    let cluster = stored(home, site, label)?.ok_or_else(|| {
        let what = "no run has begun with it; `kubitect apply` makes it";
        Failure::failed(format!("find the machines of {label}: {what}"))
    })?;
    let full = format!("{label}-{name}");
    match find(&cluster, name).or_else(|| find(&cluster, &full)) {
        Some(node) => Ok((cluster, node)),
        None => Err(unknown(&cluster, name, &full)),
    }
}

/// The failure that no machine has this name, where one has a similar name. The command names no cluster.
fn suggestion(all: &[Cluster], name: &str) -> Option<Failure> {
    let short = all
        .iter()
        .filter_map(|own| find(own, &format!("{}-{name}", own.name)));
    let short: Vec<_> = short.map(|node| node.name.to_string()).collect();
    if !short.is_empty() {
        return Some(Failure::failed(format!(
            "choose a machine: `{name}` may be {}; write the whole name, or name the cluster with --cluster",
            short.join(" or ")
        )));
    }
    let nodes = all.iter().flat_map(|own| &own.nodes);
    let guess = text::nearest(name, nodes.map(|node| node.name.as_str()))?;
    Some(Failure::failed(format!(
        "find the machine `{name}`: no cluster has it; did you mean `{guess}`?"
    )))
}

/// The stored configuration of a cluster: the one that the last run was to apply, else the one that was applied last.
fn stored(home: &Home, site: &Site, name: &Label) -> Result<Option<Cluster>, Failure> {
    let dir = home.cluster(name);
    match read_stored(&dir.wanted(), site)? {
        Some(cluster) => Ok(Some(cluster)),
        None => Ok(read_stored(&dir.applied(), site)?),
    }
}

fn find(cluster: &Cluster, name: &str) -> Option<Node> {
    let mut nodes = cluster.nodes.iter();
    nodes.find(|node| node.name.as_str() == name).cloned()
}

fn unknown(cluster: &Cluster, name: &str, full: &str) -> Failure {
    let names = || cluster.nodes.iter().map(|node| node.name.as_str());
    let guess = text::nearest(full, names()).or_else(|| text::nearest(name, names()));
    let (guess, all) = (guess.map(text::or_rather), names().collect::<Vec<_>>());
    Failure::failed(format!(
        "find the machine `{name}` of {}{}; there are: {}",
        cluster.name,
        guess.unwrap_or_default(),
        all.join(", ")
    ))
}

/// The existing machines, for a shell that completes: those of the cluster that the command line names, else of all clusters.
pub fn candidates() -> Vec<CompletionCandidate> {
    let Ok(home) = names::home_of_line() else {
        return Vec::new();
    };
    let site = home.site().unwrap_or_default();
    let named = names::option_of_line("--cluster");
    let is_named = |name: &Label| named.as_deref().is_none_or(|named| named == name.as_str());
    let clusters = home.clusters().unwrap_or_default();
    let clusters = clusters.iter().filter(|name| is_named(name));
    let clusters = clusters.filter_map(|name| stored(&home, &site, name).ok()?);
    let nodes = clusters.flat_map(|cluster| cluster.nodes);
    nodes
        .map(|node| CompletionCandidate::new(node.name.as_str()))
        .collect()
}
