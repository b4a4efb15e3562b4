//! Clusters by their names: which one a command is about, and which ones exist.

use std::ffi::OsString;

use clap::Args;
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCandidates;
use kubitect_config::text;
use kubitect_config::value::Label;

use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;

/// The cluster that a command is about.
#[derive(Debug, Default, Args)]
pub struct ClusterName {
    /// The cluster's name; else KUBITECT_CLUSTER says it, or it is the only cluster that there is
    #[arg(value_name = "CLUSTER", add = ArgValueCandidates::new(candidates))]
    pub name: Option<Label>,
    /// The cluster's name, as CLUSTER says it
    #[arg(long, value_name = "NAME", conflicts_with = "name", display_order = 90, add = ArgValueCandidates::new(candidates))]
    pub cluster: Option<Label>,
}

/// The cluster that a command is about: the one that the command line names, else `KUBITECT_CLUSTER`, else the only one that
/// exists. An error if it has no folder.
pub fn resolve(home: &Home, args: &ClusterName) -> Result<Label, Failure> {
    resolve_with(home, args, &[])
}

/// The same; it may also be one of the `removed` clusters.
pub fn resolve_with(home: &Home, args: &ClusterName, removed: &[Label]) -> Result<Label, Failure> {
    let (name, mut existing) = (named(args), home.clusters()?);
    let place = home.root().display();
    if existing.is_empty() {
        existing = removed.to_vec();
    }
    let name = match (name, variable()?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => match &existing[..] {
            [only] => only.clone(),
            [] => {
                return Err(Failure::failed(format!(
                    "find a cluster: there is none yet in {place}"
                )));
            }
            several => {
                return Err(Failure::failed(format!(
                    "choose a cluster: there are {}; name one of them, or set KUBITECT_CLUSTER",
                    list(several)
                )));
            }
        },
    };
    match existing.contains(&name) || removed.contains(&name) {
        true => Ok(name),
        false => Err(unknown(&name, &existing)),
    }
}

/// An error unless there is a cluster of this name.
pub fn check(home: &Home, name: &Label) -> Result<(), Failure> {
    let existing = home.clusters()?;
    match existing.contains(name) {
        true => Ok(()),
        false => Err(unknown(name, &existing)),
    }
}

/// The cluster that the command line names. `destroy` takes no other: a variable, or being the only one, is not enough to remove
/// it.
pub fn named(args: &ClusterName) -> Option<Label> {
    args.cluster.clone().or_else(|| args.name.clone())
}

/// The cluster that `KUBITECT_CLUSTER` names.
fn variable() -> Result<Option<Label>, Failure> {
    let value = std::env::var("KUBITECT_CLUSTER").unwrap_or_default();
    match value.as_str() {
        "" => Ok(None),
        name => name
            .parse()
            .map(Some)
            .map_err(|e| Failure::because("use KUBITECT_CLUSTER as a cluster's name", e)),
    }
}

/// The failure that there is no cluster of this name, with the existing ones.
pub fn unknown(name: &Label, existing: &[Label]) -> Failure {
    let guess = text::did_you_mean(name.as_str(), existing.iter().map(Label::as_str));
    let all = match existing {
        [] => "there is none at all yet".to_owned(),
        existing => format!("there are: {}", list(existing)),
    };
    Failure::failed(format!(
        "find the cluster `{name}`: there is none of that name ({all}){guess}"
    ))
}

fn list(names: &[Label]) -> String {
    let names: Vec<_> = names.iter().map(Label::as_str).collect();
    names.join(", ")
}

/// The value of an option on the command line that a shell completes. The shell gives that line after `--`.
pub fn option_of_line(option: &str) -> Option<OsString> {
    let mut words = std::env::args_os().skip(2);
    let joined = format!("{option}=");
    while let Some(word) = words.next() {
        if word == option {
            return words.next();
        }
        if let Some(value) = word.to_str().and_then(|word| word.strip_prefix(&joined)) {
            return Some(value.into());
        }
    }
    None
}

/// The folder of all clusters that is named on the command line which a shell completes.
pub fn home_of_line() -> Result<Home, Failure> {
    let local = std::env::args_os().any(|word| word == "--local" || word == "-l");
    let home = option_of_line("--home").map(Into::into);
    Place { local, home }.home()
}

/// The existing clusters, for a shell that completes.
pub fn candidates() -> Vec<CompletionCandidate> {
    let home = home_of_line();
    let clusters = home.and_then(|home| Ok(home.clusters()?));
    let clusters = clusters.unwrap_or_default();
    clusters
        .iter()
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}
