//! `versions` lists the releases of Kubernetes and Kubespray, or those to which a cluster can be upgraded. `version` prints the
//! program's own.

use std::fmt::Display;

use kubitect_config::release::{self, Cilium, Releases, UpgradePaths};
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

/// The program's versions, for programs.
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
            of_cluster(&home, &names::resolve(&home, named)?, args.output)
        }
        None => show(&Releases::all(), args.output),
    }
}

fn of_cluster(home: &Home, name: &Label, output: Output) -> Result<(), Failure> {
    let applied = read_applied(&home.cluster(name), &home.site()?, None)?;
    let cluster = applied.ok_or_else(|| {
        Failure::failed(format!("tell where {name} can go: it has yet to be made"))
    })?;
    let kubernetes = &cluster.kubernetes;
    let cilium = Cilium::of(&kubernetes.network_plugin, &cluster.addons.kubespray);
    show(&UpgradePaths::of(name, kubernetes.hop(), cilium), output)
}

fn show(what: &(impl Display + Serialize), output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => print(what),
        Output::Json => print_object(what),
    }
}
