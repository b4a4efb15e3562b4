//! `status`: how a cluster is. Changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use kubitect_config::value::Label;

use super::{print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;
use crate::names;
use crate::status;
use crate::world::World;

/// A cluster to look at, by what an apply was to make last. With the file that says so.
pub(super) fn open(
    world: &Arc<dyn World>,
    home: &Home,
    cluster: &Label,
) -> Result<(Job, PathBuf), Failure> {
    let dir = home.cluster(cluster);
    let site = home.site()?;
    // What a run was to make last: it may have stopped half-way, and the next apply goes on with it.
    let path = match dir.wanted() {
        path if path.exists() => path,
        _ => dir.applied(),
    };
    if !path.exists() {
        return Err(Failure::failed(format!(
            "look at {cluster}: there is no {}; `kubitect plan` with the cluster's own file tells what libvirt has of it",
            path.display()
        )));
    }
    let (name, text) = kubitect_config::read(&path).map_err(Failure::config)?;
    let parsed = kubitect_config::parse(&text, &name, &site).map_err(Failure::config)?;
    Ok((Job::new(world, home, &site, parsed.cluster, text)?, path))
}

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    let cluster = names::meant(home, &args.cluster)?;
    let (job, _) = open(world, home, &cluster)?;
    let applied = job.applied(&home.site()?)?;
    let mut status = status::look(&job, applied.as_ref())?;
    status.compare(&job.dir);
    match args.output {
        Output::Text => print(&status)?,
        Output::Json => {
            let mut object = serde_json::json!(status);
            object["formatVersion"] = serde_json::json!(1);
            print_json(object)?;
        }
    }
    if !status.reachable {
        let why = match status.unfinished {
            true => "its creation has not ended; `kubitect apply` with its file goes on",
            false => "no master answers",
        };
        return Err(Failure::failed(format!(
            "reach the API of {cluster}: {why}"
        )));
    }
    Ok(status.problems.is_empty())
}
