//! Machines by their names: which one a command means, and which there are.

use clap_complete::CompletionCandidate;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Site, text};

use crate::args::ClusterName;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::read_kept;
use crate::names;

/// The machine of this name, with or without its cluster's before it, and its cluster: the one that is named, or whose machine
/// has exactly this name, or the usual one. A run need not have ended well: by what it was to make.
pub fn meant(
    home: &Home,
    site: &Site,
    cluster: Option<&Label>,
    name: &str,
) -> Result<(Cluster, Node), Failure> {
    if cluster.is_none() {
        for known in home.clusters()? {
            // One whose file can't be read has other machines.
            if let Ok(Some(cluster)) = kept(home, site, &known)
                && let Some(node) = find(&cluster, name)
            {
                return Ok((cluster, node));
            }
        }
    }
    let usual = ClusterName {
        name: None,
        cluster: cluster.cloned(),
    };
    let label = names::meant(home, &usual)?;
    let cluster = kept(home, site, &label)?.ok_or_else(|| {
        let what = "no run has begun with it; `kubitect apply` makes it";
        Failure::failed(format!("find the machines of {label}: {what}"))
    })?;
    let full = format!("{label}-{name}");
    match find(&cluster, name).or_else(|| find(&cluster, &full)) {
        Some(node) => Ok((cluster, node)),
        None => Err(unknown(&cluster, name, &full)),
    }
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
    let guess = guess.map(|guess| format!("; did you mean `{guess}`?"));
    let all: Vec<_> = known().collect();
    Failure::failed(format!(
        "find the machine `{name}` of {}{}; there are: {}",
        cluster.name,
        guess.unwrap_or_default(),
        all.join(", ")
    ))
}

/// The machines that there are, for a shell that completes.
pub fn candidates() -> Vec<CompletionCandidate> {
    let Ok(home) = names::home_of_line() else {
        return Vec::new();
    };
    let site = home.site().unwrap_or_default();
    let clusters = home.clusters().unwrap_or_default();
    let kept = clusters
        .iter()
        .filter_map(|name| kept(&home, &site, name).ok()?);
    let nodes = kept.flat_map(|cluster| cluster.nodes);
    nodes
        .map(|node| CompletionCandidate::new(node.name.as_str()))
        .collect()
}
