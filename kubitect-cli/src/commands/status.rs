//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;

use super::{print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;
use crate::status;
use crate::world::World;

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    let dir = home.cluster(&args.cluster);
    let site = home.site()?;
    // What was applied last; or, of a cluster that was never finished, what was to be.
    let path = match dir.applied() {
        path if path.exists() => path,
        _ => dir.wanted(),
    };
    if !path.exists() {
        return Err(Failure::failed(format!(
            "look at {}: there is no {}; `kubitect plan` with the cluster's own file tells what libvirt has of it",
            args.cluster,
            path.display()
        )));
    }
    let (name, text) = kubitect_config::read(&path).map_err(Failure::config)?;
    let parsed = kubitect_config::parse(&text, &name, &site).map_err(Failure::config)?;
    let job = Job::new(world, home, &site, parsed.cluster, text)?;
    let status = status::look(&job)?;
    match args.output {
        Output::Text => print(&status)?,
        Output::Json => print_json(serde_json::json!(status))?,
    }
    if !status.reachable {
        return Err(Failure::failed(format!(
            "reach the API of {}: no master answers",
            args.cluster
        )));
    }
    Ok(status.problems.is_empty())
}
