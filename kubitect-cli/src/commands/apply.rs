//! `apply`: shows the plan, asks, and carries it out.

use std::sync::Arc;

use crate::approve;
use crate::args::{Action, Apply};
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Job;
use crate::pipeline;
use crate::plan::Plan;
use crate::report::Reporter;

use super::load;

/// Carries the command out.
pub fn apply(home: &Home, args: &Apply) -> Result<(), Failure> {
    let (parsed, text) = load(&args.config, &home.site()?)?;
    let job = Job::new(home, parsed.cluster, text)?;
    let _lock = job.dir.lock()?;
    let plan = job.plan()?;
    let reasons = plan.refused();
    if !reasons.is_empty() {
        return Err(Failure::Refused(reasons));
    }
    covered(args.action, &plan)?;
    let reporter = Arc::new(Reporter::new());
    if plan.is_empty() {
        reporter.line(format!("{}: nothing to do", job.cluster.name));
    } else {
        job.preflight(&plan, &reporter)?;
        reporter.text(&plan);
        if !args.auto_approve {
            approve::ask("Shall this be done?")?;
        }
        // Only now: what is not approved leaves nothing behind.
        reporter.keep(job.log("apply")?);
    }
    pipeline::apply(&job, &plan, &reporter)
}

/// Refuses what the action does not cover.
fn covered(action: Option<Action>, plan: &Plan) -> Result<(), Failure> {
    let other = match action {
        None | Some(Action::Create) => return Ok(()),
        _ if plan.is_empty() => return Ok(()),
        Some(Action::Scale) => "scale",
        Some(Action::Upgrade) => "upgrade",
    };
    Err(Failure::Refused(vec![format!(
        "the action `{other}` changes a finished cluster, and this one has yet to be made; use the action `create`, or none"
    )]))
}
