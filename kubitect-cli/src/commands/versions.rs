//! `versions` and `version`: which Kubernetes and Kubespray there are, where a cluster can go, and which program this is.

use kubitect_config::release::{self, Cilium, Hop, path_with};
use kubitect_config::value::Version;
use serde_json::json;

use crate::args::{Output, Versions};
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::read_applied;
use crate::names;

use super::{print, print_json};

/// A minor release of Kubernetes: its patches, and the newest Kubespray that sets it up.
struct Minor {
    low: Version,
    high: Version,
    kubespray: Version,
}

/// Carries `version` out.
pub fn version(output: Output) -> Result<(), Failure> {
    let (program, kubernetes) = (env!("CARGO_PKG_VERSION"), release::default_kubernetes());
    let kubespray = &release::newest().tag;
    match output {
        Output::Json => print_json(version_json()),
        Output::Text => print(format!(
            "kubitect {program}\nKubernetes {kubernetes} with Kubespray {kubespray}, where a file names none\n"
        )),
    }
}

/// Which program this is, for programs.
pub fn version_json() -> serde_json::Value {
    json!({
        "formatVersion": 1,
        "kubitect": env!("CARGO_PKG_VERSION"),
        "kubernetes": release::default_kubernetes(),
        "kubespray": release::newest().tag,
    })
}

/// Carries `versions` out.
pub fn versions(place: &Place, args: &Versions) -> Result<(), Failure> {
    match args.named() {
        Some(named) => {
            let home = place.home()?;
            of_cluster(&home, &names::meant(&home, named)?, args.output)
        }
        None => all(args.output),
    }
}

fn all(output: Output) -> Result<(), Failure> {
    let (minors, default) = (minors(), release::default_kubernetes());
    if output == Output::Json {
        let releases: Vec<_> = minors
            .iter()
            .map(|minor| json!({"from": minor.low, "to": minor.high, "kubespray": minor.kubespray}))
            .collect();
        return print_json(json!({"formatVersion": 1, "default": default, "kubernetes": releases}));
    }
    let mut text = format!("{:24} {}\n", "Kubernetes", "Kubespray");
    for minor in &minors {
        let range = match minor.low == minor.high {
            true => minor.low.to_string(),
            false => format!("{} to {}", minor.low, minor.high),
        };
        let mark = if minor.high == default {
            "  (default)"
        } else {
            ""
        };
        text += &format!("{range:24} {}{mark}\n", minor.kubespray);
    }
    print(text)
}

fn of_cluster(
    home: &Home,
    name: &kubitect_config::value::Label,
    output: Output,
) -> Result<(), Failure> {
    let Some(cluster) = read_applied(&home.cluster(name), &home.site()?, None)? else {
        return Err(Failure::failed(format!(
            "tell where {name} can go: it has yet to be made"
        )));
    };
    let from = cluster.kubernetes.hop();
    let plugin = &cluster.kubernetes.network_plugin;
    let cilium = Cilium::of(plugin, &cluster.addons.kubespray);
    let mut ways = Vec::new();
    for minor in minors()
        .into_iter()
        .filter(|minor| minor.high > from.kubernetes)
    {
        let to = Hop {
            kubernetes: minor.high,
            kubespray: minor.kubespray,
        };
        ways.push((path_with(cilium, &from, &to), to));
    }
    if output == Output::Json {
        let ways: Vec<_> = ways
            .iter()
            .map(|(way, to)| json!({
                "to": to, "hops": way.as_ref().ok(), "why": way.as_ref().err().map(ToString::to_string),
            }))
            .collect();
        return print_json(json!({"formatVersion": 1, "cluster": name, "now": from, "ways": ways}));
    }
    let mut text = format!("{name}: {from}\n");
    if ways.is_empty() {
        text += "  there is nothing newer\n";
    }
    for (way, to) in &ways {
        match way {
            Ok(hops) => {
                let hops: Vec<_> = hops
                    .iter()
                    .map(|hop| format!("{} ({})", hop.kubernetes, hop.kubespray))
                    .collect();
                text += &format!(
                    "  {} in {} hop{}: {}\n",
                    to.kubernetes,
                    hops.len(),
                    if hops.len() == 1 { "" } else { "s" },
                    hops.join(", ")
                );
            }
            Err(why) => text += &format!("  {} not: {why}\n", to.kubernetes),
        }
    }
    print(text)
}

/// All minor releases, newest first.
fn minors() -> Vec<Minor> {
    let mut minors: Vec<Minor> = Vec::new();
    // Of several releases of Kubespray, the newest one counts; older ones may reach further down.
    for release in release::all().iter().rev() {
        for (minor, [low, high]) in release.minors() {
            let version = |patch| Version::new(minor, patch);
            match minors.iter_mut().find(|known| known.high.minor() == minor) {
                Some(known) => known.low = version(low).min(known.low.clone()),
                None => minors.push(Minor {
                    low: version(low),
                    high: version(high),
                    kubespray: release.tag.clone(),
                }),
            }
        }
    }
    minors.sort_by(|a, b| b.high.cmp(&a.high));
    minors
}
