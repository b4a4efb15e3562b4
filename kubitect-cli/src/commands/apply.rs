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
    // All that a plan of a finished cluster may hold, and is not refused, is what brings it back to what it was.
    let why = if plan.services.kubernetes.is_empty() {
        "what is to be done to this one is another thing; use no action"
    } else {
        "this one has yet to be made; use the action `create`, or none"
    };
    Err(Failure::Refused(vec![format!(
        "the action `{other}` changes the nodes or the version of a finished cluster, and {why}"
    )]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Services;

    fn plan(services: Services) -> Plan {
        let text = include_str!("../../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        let cluster = kubitect_config::parse(&text, "x", &kubitect_config::Site::default());
        let cluster = cluster.unwrap().cluster;
        let machines = kubitect_provision::plan::Plan {
            cluster: cluster.name.clone(),
            changes: Vec::new(),
        };
        Plan::new(&cluster, machines, services)
    }

    #[test]
    fn an_action_tells_a_finished_cluster_from_one_to_be_made() {
        let new = plan(Services {
            kubernetes: vec!["demo-master-1".parse().unwrap()],
            ..Services::default()
        });
        let finished = plan(Services {
            balancers: vec![("demo-lb-1".parse().unwrap(), true)],
            ..Services::default()
        });
        for (plan, words) in [
            (&new, "yet to be made; use the action `create`"),
            (&finished, "use no action"),
        ] {
            assert!(covered(None, plan).is_ok());
            assert!(covered(Some(Action::Create), plan).is_ok());
            for action in [Action::Scale, Action::Upgrade] {
                let error = covered(Some(action), plan).unwrap_err().to_string();
                assert!(error.contains(words), "{error}");
            }
        }
        assert!(covered(Some(Action::Scale), &plan(Services::default())).is_ok());
    }
}
