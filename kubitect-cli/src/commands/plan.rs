//! `plan`: what apply would do. Reads libvirt, changes nothing.

use std::sync::Arc;

use crate::args::{Output, Plan};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::{Job, fit};
use crate::keys;
use crate::plan::check;
use crate::report::Reporter;
use crate::world::World;

use super::{load, print, print_json};

/// Carries the command out; false when there is something to do.
pub fn plan(world: &Arc<dyn World>, home: &Home, args: &Plan) -> Result<bool, Failure> {
    let site = home.site()?;
    let (parsed, text) = load(&args.config, &site, &keys::needed)?;
    let job = Job::new(world, home, &site, parsed.cluster, text)?;
    let reporter = Reporter::new();
    job.lost
        .iter()
        .for_each(|lost| reporter.line(format!("warning: {lost}")));
    let applied = job.applied(&site)?;
    let plan = job.plan(applied.as_ref())?;
    // Of a plan that is refused, nothing would be carried out.
    let findings = match plan.refused() {
        [] => job.findings(&plan)?,
        _ => Vec::new(),
    };
    match args.output {
        Output::Text => print(&plan)?,
        Output::Json => {
            let mut object = plan.json();
            object["findings"] = serde_json::json!(findings);
            print_json(object)?;
        }
    }
    check(&plan)?;
    fit(findings, &reporter)?;
    Ok(plan.is_empty())
}
