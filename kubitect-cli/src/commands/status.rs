//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;

use super::{print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;
use crate::names;
use crate::status;
use crate::world::World;

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    let cluster = names::meant(home, &args.cluster)?;
    let dir = home.cluster(&cluster);
    let site = home.site()?;
    // What was applied last; or, of a cluster that was never finished, what was to be.
    let path = match dir.applied() {
        path if path.exists() => path,
        _ => dir.wanted(),
    };
    if !path.exists() {
        return Err(Failure::failed(format!(
            "look at {}: there is no {}; `kubitect plan` with the cluster's own file tells what libvirt has of it",
            cluster,
            path.display()
        )));
    }
    let (name, text) = kubitect_config::read(&path).map_err(Failure::config)?;
    let parsed = kubitect_config::parse(&text, &name, &site).map_err(Failure::config)?;
    let job = Job::new(world, home, &site, parsed.cluster, text)?;
    let mut status = status::look(&job)?;
    status.compare(&dir, &path);
    match args.output {
        Output::Text => print(&status)?,
        Output::Json => print_json(serde_json::json!(status))?,
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
