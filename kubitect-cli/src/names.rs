//! Clusters by their names: which one a command means, and which there are.

use std::ffi::OsString;

use clap::Args;
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCandidates;
use kubitect_config::text;
use kubitect_config::value::Label;

use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;

/// The cluster that is meant.
#[derive(Debug, Default, Args)]
pub struct ClusterName {
    /// The cluster's name; else KUBITECT_CLUSTER says it, or it is the only cluster that there is
    #[arg(value_name = "CLUSTER", add = ArgValueCandidates::new(candidates))]
    pub name: Option<Label>,
    /// The cluster's name, as CLUSTER says it
    #[arg(long, value_name = "NAME", conflicts_with = "name", display_order = 90, add = ArgValueCandidates::new(candidates))]
    pub cluster: Option<Label>,
}

/// The cluster that a command is about: the one named on the command line, by `KUBITECT_CLUSTER`, or the only one. It has a
/// folder.
pub fn meant(home: &Home, args: &ClusterName) -> Result<Label, Failure> {
    meant_of(home, args, &[])
}

/// The same; it may be one of these others, which are gone.
pub fn meant_of(home: &Home, args: &ClusterName, gone: &[Label]) -> Result<Label, Failure> {
    let (name, mut known) = (named(args), home.clusters()?);
    let place = home.root().display();
    if known.is_empty() {
        known = gone.to_vec();
    }
    let name = match (name, variable()?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => match &known[..] {
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
    match known.contains(&name) || gone.contains(&name) {
        true => Ok(name),
        false => Err(unknown(&name, &known)),
    }
}

/// An error unless there is a cluster of this name.
pub fn check(home: &Home, name: &Label) -> Result<(), Failure> {
    let known = home.clusters()?;
    match known.contains(name) {
        true => Ok(()),
        false => Err(unknown(name, &known)),
    }
}

/// The cluster that the command line itself names: what removes one is about no other.
pub fn named(args: &ClusterName) -> Option<Label> {
    args.cluster.clone().or_else(|| args.name.clone())
}

/// The one that the environment names.
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

/// There is no cluster of this name; these there are.
pub fn unknown(name: &Label, known: &[Label]) -> Failure {
    let guess = text::did_you_mean(name.as_str(), known.iter().map(Label::as_str));
    let known = match known {
        [] => "there is none at all yet".to_owned(),
        known => format!("there are: {}", list(known)),
    };
    Failure::failed(format!(
        "find the cluster `{name}`: there is none of that name ({known}){guess}"
    ))
}

fn list(names: &[Label]) -> String {
    let names: Vec<_> = names.iter().map(Label::as_str).collect();
    names.join(", ")
}

/// What stands behind an option of the line that a shell completes: its words stand after `--`.
pub fn of_line(option: &str) -> Option<OsString> {
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

/// The folder that a line names which a shell completes.
pub fn home_of_line() -> Result<Home, Failure> {
    let local = std::env::args_os().any(|word| word == "--local" || word == "-l");
    let home = of_line("--home").map(Into::into);
    Place { local, home }.home()
}

/// The clusters that there are, for a shell that completes.
pub fn candidates() -> Vec<CompletionCandidate> {
    let home = home_of_line();
    let known = home.and_then(|home| Ok(home.clusters()?));
    let known = known.unwrap_or_default();
    known
        .iter()
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}
