//! `versions` and `version`: which Kubernetes and Kubespray there are, where a cluster can go, and which program this is.

use std::fmt::Display;

use kubitect_config::release::{self, Cilium, Releases, Ways};
use kubitect_config::value::Label;
use serde::Serialize;
use serde_json::json;

use crate::args::{Output, Versions};
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::read_applied;
use crate::names;

use super::{print, print_json, print_object};

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
        None => show(&Releases::known(), args.output),
    }
}

fn of_cluster(home: &Home, name: &Label, output: Output) -> Result<(), Failure> {
    let applied = read_applied(&home.cluster(name), &home.site()?, None)?;
    let cluster = applied.ok_or_else(|| {
        Failure::failed(format!("tell where {name} can go: it has yet to be made"))
    })?;
    let plugin = &cluster.kubernetes.network_plugin;
    let cilium = Cilium::of(plugin, &cluster.addons.kubespray);
    show(&Ways::of(name, cluster.kubernetes.hop(), cilium), output)
}

fn show(what: &(impl Display + Serialize), output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => print(what),
        Output::Json => print_object(what),
    }
}
