//! `apply`: shows the plan, asks, and carries it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::policy;
use kubitect_config::saved::SavedPlan;
use kubitect_kubespray::progress;
use serde_json::json;

use crate::approve::{self, Question};
use crate::args::{Apply, DEFAULT_FILE};
use crate::failure::Failure;
use crate::home::Home;
use crate::plan::{Plan, check};
use crate::report::Reporter;
use crate::run::Run;
use crate::world::World;

use super::{logged, options, wanted};

/// Carries the command out.
pub fn apply(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Apply,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    let mut options = options(world, home, reporter)?;
    options.site.timeouts = options.site.timeouts.or(args.timeouts.given());
    options.take_over = args.held.take_over;
    let cancel = options.cancel.clone();
    let (file, saved) = inputs(home, args)?;
    let mut run = Run::connect(wanted(&file, &options)?, options)?;
    let plan = run.plan()?;
    if let Some(action) = args.action {
        let edits = run.edits()?;
        let (edits, steps) = (edits.as_deref(), plan.steps());
        let others = policy::uncovered(action.into(), run.cluster(), edits, steps);
        if !others.is_empty() {
            return Err(Failure::Refused(others));
        }
    }
    if let Some(saved) = &saved {
        run.is_as_saved(saved, &plan)?;
    }
    reporter.emit(&json!({"type": "plan", "plan": plan.json()}));
    check(&plan)?;
    if plan.is_empty() {
        reporter.line(format!("{}: nothing to do", run.cluster().name));
        for note in plan.notes() {
            reporter.line(format!("note: {note}"));
        }
    } else {
        run.check_findings(&plan)?;
        let asks = !args.auto_approve;
        reporter.proposal(&run.cluster().name, &plan, &plan.table(), asks);
        if !args.auto_approve {
            approve::ask(&question(&run, &plan, &file))?;
        }
    }
    // The log begins after the approval: a plan that is not approved leaves no file.
    let unchanged = plan.is_empty();
    let answer = match unchanged {
        true => logged::NOT_ASKED,
        false => logged::answer(args.auto_approve),
    };
    logged::begin(reporter, &run.folder().logs(), "apply", answer)?;
    reporter.begin(progress::read_task_counts(&run.folder().logs()));
    let result = logged::work(reporter, &cancel, run.apply(plan));
    progress::write_task_counts(&run.folder().logs(), &reporter.tasks());
    super::ssh::refresh(home, run.cluster());
    match (&result, unchanged) {
        (Ok(()), true) => reporter.end_well(),
        _ => logged::end(
            reporter,
            &result,
            &next(&run),
            &after_failure(&run, &result),
        ),
    }
    result
}

/// The question that a person answers. Where data is lost, the answer is the cluster's name.
fn question<'a>(run: &'a Run, plan: &Plan, file: &Path) -> Question<'a> {
    let question = match plan.data_lost().is_empty() {
        true => Question::new("Shall this be done?"),
        false => Question::new("Shall this be done, and this data be lost for good?")
            .of_loss(run.cluster().name.as_str()),
    };
    Question {
        stdin_is_read: file == Path::new("-"),
        ..question
    }
}

/// The configuration file, and the saved plan, if one is to be carried out.
fn inputs(home: &Home, args: &Apply) -> Result<(PathBuf, Option<SavedPlan>), Failure> {
    let plan = args.plan.as_deref();
    // A saved plan names the configuration that is applied, so only a file of trusted users is read.
    plan.map_or(Ok(()), |plan| home.check_named(plan))?;
    let saved = plan.map(SavedPlan::read).transpose()?;
    let file = match (&args.config, &saved) {
        (Some(file), _) => file.clone(),
        (None, None) => DEFAULT_FILE.into(),
        (None, Some(saved)) => saved.configuration.file.clone().ok_or_else(|| {
            Failure::Usage(
                "the plan was made of a configuration from stdin: give that one again, with `-c -`"
                    .to_owned(),
            )
        })?,
    };
    Ok((file, saved))
}

/// The lines after a run that succeeded: the kubeconfig, and commands to go on with.
fn next(run: &Run) -> [String; 3] {
    let (cluster, conf) = (&run.cluster().name, run.folder().kubeconfig());
    let conf = conf.display();
    [
        format!("kubeconfig: {conf}"),
        format!("next: kubectl --kubeconfig {conf} get nodes"),
        format!("      kubitect status {cluster}"),
    ]
}

/// The lines after a run that failed: how to look at the machine that the failure names, if it names one, and how to go on.
fn after_failure(run: &Run, result: &Result<(), Failure>) -> Vec<String> {
    let text = result.as_ref().err().map(Failure::to_string);
    let text = text.as_deref().unwrap_or_default();
    // `/` is no separator: a name within a path, as of a key, is not a machine that failed.
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"-/".contains(c));
    let nodes = &run.cluster().nodes;
    let named = words.find(|word| nodes.iter().any(|node| node.name.as_str() == *word));
    let look = named.map(|name| format!("look at it: kubitect ssh {name} (or console {name})"));
    look.into_iter().chain([logged::retry_hint()]).collect()
}
