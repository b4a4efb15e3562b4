//! Machines by their names: which one a command means, and which there are.

use clap_complete::CompletionCandidate;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Site, text};

use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::read_kept;
use crate::names::{self, ClusterName};

/// The machine of this name, with or without its cluster's before it, and its cluster: the one that is named, or whose machine
/// has exactly this name, or the usual one. A run need not have ended well: by what it was to make.
pub fn meant(
    home: &Home,
    site: &Site,
    cluster: Option<&Label>,
    name: &str,
) -> Result<(Cluster, Node), Failure> {
    if let Some(label) = cluster {
        return of(home, site, label, name);
    }
    // One whose file can't be read has other machines.
    let all = home.clusters()?;
    let all = all.iter().filter_map(|known| kept(home, site, known).ok()?);
    let all: Vec<_> = all.collect();
    let exact = all
        .iter()
        .find_map(|own| Some((own.clone(), find(own, name)?)));
    if let Some(exact) = exact {
        return Ok(exact);
    }
    match names::meant(home, &ClusterName::default()) {
        Ok(label) => of(home, site, &label, name),
        Err(failure) => Err(among(&all, name).unwrap_or(failure)),
    }
}

/// The machine of this name in this cluster.
fn of(home: &Home, site: &Site, label: &Label, name: &str) -> Result<(Cluster, Node), Failure> {
    names::check(home, label)?;
    let cluster = kept(home, site, label)?.ok_or_else(|| {
        let what = "no run has begun with it; `kubitect apply` makes it";
        Failure::failed(format!("find the machines of {label}: {what}"))
    })?;
    let full = format!("{label}-{name}");
    match find(&cluster, name).or_else(|| find(&cluster, &full)) {
        Some(node) => Ok((cluster, node)),
        None => Err(unknown(&cluster, name, &full)),
    }
}

/// What is wrong with a name that no cluster was named for, and no machine has, where something like it is there.
fn among(all: &[Cluster], name: &str) -> Option<Failure> {
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

/// What was to be made last of a cluster.
fn kept(home: &Home, site: &Site, name: &Label) -> Result<Option<Cluster>, Failure> {
    let dir = home.cluster(name);
    match read_kept(&dir.wanted(), site)? {
        Some(cluster) => Ok(Some(cluster)),
        None => Ok(read_kept(&dir.applied(), site)?),
    }
}

fn find(cluster: &Cluster, name: &str) -> Option<Node> {
    let mut nodes = cluster.nodes.iter();
    nodes.find(|node| node.name.as_str() == name).cloned()
}

fn unknown(cluster: &Cluster, name: &str, full: &str) -> Failure {
    let known = || cluster.nodes.iter().map(|node| node.name.as_str());
    let guess = text::nearest(full, known()).or_else(|| text::nearest(name, known()));
    let (guess, all) = (guess.map(text::or_rather), known().collect::<Vec<_>>());
    Failure::failed(format!(
        "find the machine `{name}` of {}{}; there are: {}",
        cluster.name,
        guess.unwrap_or_default(),
        all.join(", ")
    ))
}

/// The machines that there are, of the cluster that the line names, for a shell that completes.
pub fn candidates() -> Vec<CompletionCandidate> {
    let Ok(home) = names::home_of_line() else {
        return Vec::new();
    };
    let site = home.site().unwrap_or_default();
    let named = names::of_line("--cluster");
    let named = |name: &Label| named.as_deref().is_none_or(|named| named == name.as_str());
    let clusters = home.clusters().unwrap_or_default();
    let clusters = clusters.iter().filter(|name| named(name));
    let kept = clusters.filter_map(|name| kept(&home, &site, name).ok()?);
    let nodes = kept.flat_map(|cluster| cluster.nodes);
    nodes
        .map(|node| CompletionCandidate::new(node.name.as_str()))
        .collect()
}
