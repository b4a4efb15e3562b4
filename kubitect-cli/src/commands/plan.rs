//! `plan`: what apply would do. Reads libvirt, changes nothing.

use std::sync::Arc;

use crate::args::{Output, Plan};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;
use crate::plan::check;
use crate::world::World;

use super::{load, print};

/// Carries the command out; false when there is something to do.
pub fn plan(world: &Arc<dyn World>, home: &Home, args: &Plan) -> Result<bool, Failure> {
    let site = home.site()?;
    let (parsed, text) = load(&args.config, &site)?;
    let job = Job::new(world, home, parsed.cluster, text)?;
    let plan = job.plan(job.applied(&site)?.as_ref())?;
    match args.output {
        Output::Text => print(&plan)?,
        Output::Json => print(format!("{:#}\n", plan.json()))?,
    }
    check(&plan)?;
    Ok(plan.is_empty())
}
