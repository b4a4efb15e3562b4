//! The command line of commands that begin a cluster or describe one: `init`, `graph`, `support`, `explain`, `versions`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use kubitect_config::presets::{PRESETS, Preset};
use kubitect_config::value::Label;

use super::{DEFAULT_FILE, Output};
use crate::names::{self, ClusterName};

#[derive(Debug, Args)]
pub struct Init {
    /// The file
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE, value_parser = super::written())]
    pub file: PathBuf,
    /// The preset to begin with, as `list presets` shows it [default: getting-started]
    #[arg(long, value_name = "PRESET", add = ArgValueCandidates::new(presets))]
    pub preset: Option<String>,
    /// The cluster's name, instead of the preset's
    #[arg(long, value_name = "NAME")]
    pub name: Option<Label>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(mut_arg("name", |name| name.help("A living cluster, instead of what a file asks for")))]
pub struct Graph {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// The file of a cluster, instead of a living one; - for stdin [default: kubitect.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["name", "cluster"], value_parser = super::path())]
    pub config: Option<PathBuf>,
    /// The form of the picture
    #[arg(long, value_enum, default_value_t)]
    pub format: Form,
}

/// The form of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// Lines for a terminal
    #[default]
    Text,
    /// A drawing
    Svg,
    /// A flow chart in Mermaid
    Mermaid,
    /// A graph in DOT, for Graphviz
    Dot,
    /// What is drawn, for programs
    Json,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// The file of a cluster, whose hosts are looked at, before any of it is made; - for stdin
    #[arg(short, long, value_name = "FILE", value_parser = super::path())]
    pub config: Option<PathBuf>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Support {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// The archive; none that is there is replaced [default: kubitect-support-CLUSTER-TIME.tar.gz]
    #[arg(short, long, value_name = "FILE", value_parser = super::written())]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The problem's code, as it stands in brackets: address-duplicate; without one, all are listed
    #[arg(value_name = "CODE", add = ArgValueCandidates::new(codes))]
    pub code: Option<String>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// All presets, for shells.
fn presets() -> Vec<CompletionCandidate> {
    let candidate =
        |preset: &Preset| CompletionCandidate::new(preset.name).help(Some(preset.about().into()));
    PRESETS.iter().map(candidate).collect()
}

/// The codes of all problems, for shells.
fn codes() -> Vec<CompletionCandidate> {
    let all = kubitect_config::explain::all().keys();
    all.map(CompletionCandidate::new).collect()
}

#[derive(Debug, Args)]
#[command(mut_arg("name", |name| name.help("A cluster: where it can go from what it has; without one, all releases are listed")))]
pub struct Versions {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

impl Versions {
    /// The cluster, if one is named.
    pub fn named(&self) -> Option<&ClusterName> {
        names::named(&self.cluster).map(|_| &self.cluster)
    }
}
