//! `plan`: what apply would do. Reads libvirt, changes nothing.

use crate::args::{Output, Plan};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;

use super::{load, print};

/// Carries the command out; false when there is something to do.
pub fn plan(home: &Home, args: &Plan) -> Result<bool, Failure> {
    let (parsed, text) = load(&args.config, &home.site()?)?;
    let job = Job::new(home, parsed.cluster, text)?;
    let plan = job.plan()?;
    match args.output {
        Output::Text => print(&plan)?,
        Output::Json => print(format!("{:#}\n", plan.json()))?,
    }
    match plan.refused() {
        reasons if reasons.is_empty() => Ok(plan.is_empty()),
        reasons => Err(Failure::Refused(reasons)),
    }
}
