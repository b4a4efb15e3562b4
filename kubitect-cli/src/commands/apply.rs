//! `apply`: shows the plan, asks, and carries it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::policy;
use kubitect_config::saved::Saved;
use kubitect_kubespray::playing;
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
    let (file, saved) = meant(home, args)?;
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
        run.fit(&plan)?;
        let asks = !args.auto_approve;
        reporter.proposal(&run.cluster().name, &plan, &plan.table(), asks);
        if !args.auto_approve {
            approve::ask(&question(&run, &plan, &file))?;
        }
    }
    // Only now: what is not approved leaves nothing behind.
    let unchanged = plan.is_empty();
    let answer = match unchanged {
        true => logged::UNASKED,
        false => logged::answer(args.auto_approve),
    };
    logged::begin(reporter, &run.folder().logs(), "apply", answer)?;
    reporter.begin(playing::tasks(&run.folder().logs()));
    let result = logged::work(reporter, &cancel, run.apply(plan));
    playing::remember(&run.folder().logs(), &reporter.tasks());
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

/// What a person approves.
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

/// The configuration that is meant, and the plan that was saved, if one is to be carried out.
fn meant(home: &Home, args: &Apply) -> Result<(PathBuf, Option<Saved>), Failure> {
    let plan = args.plan.as_deref();
    // It says which configuration is applied.
    plan.map_or(Ok(()), |plan| home.check_named(plan))?;
    let saved = plan.map(Saved::read).transpose()?;
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

/// What there is now, and what comes next.
fn next(run: &Run) -> [String; 3] {
    let (cluster, conf) = (&run.cluster().name, run.folder().kubeconfig());
    let conf = conf.display();
    [
        format!("kubeconfig: {conf}"),
        format!("next: kubectl --kubeconfig {conf} get nodes"),
        format!("      kubitect status {cluster}"),
    ]
}

/// What to do after a run that stopped: look at the machine that the failure names, if it names one.
fn after_failure(run: &Run, result: &Result<(), Failure>) -> Vec<String> {
    let text = result.as_ref().err().map(Failure::to_string);
    let words = text.as_deref().unwrap_or_default();
    // A name in a path, as a key's, is not a machine that failed.
    let mut words = words.split(|c: char| !c.is_ascii_alphanumeric() && !"-/".contains(c));
    let nodes = &run.cluster().nodes;
    let named = words.find(|word| nodes.iter().any(|node| node.name.as_str() == *word));
    let look = named.map(|name| format!("look at it: kubitect ssh {name} (or console {name})"));
    look.into_iter().chain([logged::again()]).collect()
}
