//! `apply`: shows the plan, asks, and carries it out.

use std::path::Path;
use std::sync::Arc;

use kubitect_config::edit::Edit;
use kubitect_config::policy;
use serde_json::json;

use crate::approve;
use crate::args::Apply;
use crate::failure::Failure;
use crate::home::Home;
use crate::plan::check;
use crate::report::{Reporter, log};
use crate::run::Run;
use crate::signals::until_interrupted;
use crate::world::World;

use super::{options, wanted};

/// Carries the command out.
pub fn apply(world: &Arc<dyn World>, home: &Home, args: &Apply) -> Result<(), Failure> {
    let reporter = Arc::new(Reporter::new());
    let mut options = options(world, home, &reporter)?;
    options.site.timeouts = options.site.timeouts.or(args.timeouts.given());
    let (cancel, site) = (options.cancel.clone(), options.site.clone());
    let run = Run::connect(wanted(&args.config, &options)?, options)?;
    if let Some(action) = args.action {
        covered(action.into(), run.edits()?.as_deref())?;
    }
    let plan = run.plan()?;
    check(&plan)?;
    if plan.is_empty() {
        reporter.line(format!("{}: nothing to do", run.cluster().name));
        for note in plan.notes() {
            reporter.line(format!("note: {note}"));
        }
    } else {
        run.fit(&plan)?;
        reporter.text(&plan);
        if !args.auto_approve {
            approve::ask("Shall this be done?")?;
        }
        // Only now: what is not approved leaves nothing behind.
        let (log, path) = log::open(run.folder(), "apply")?;
        reporter.keep(log);
        reporter.note(match args.auto_approve {
            true => "approved by --auto-approve",
            false => "approved on the terminal",
        });
        reporter.emit(&json!({"type": "plan", "plan": plan.json()}));
        reporter.begin(log::tasks(run.folder()));
        let result = until_interrupted(&cancel, run.apply(&plan));
        log::remember(run.folder(), &reporter.tasks());
        super::ssh::refresh(run.folder(), &site);
        end(&run, &result, &path, &reporter);
        return result;
    }
    until_interrupted(&cancel, run.apply(&plan))?;
    super::ssh::refresh(run.folder(), &site);
    reporter.emit(&json!({"type": "end", "ok": true, "phases": []}));
    Ok(())
}

/// What there is now and what comes next, or what a run that stopped leaves.
fn end(run: &Run, result: &Result<(), Failure>, log: &Path, reporter: &Reporter) {
    let (cluster, log) = (&run.cluster().name, format!("log: {}", log.display()));
    match result {
        Ok(()) => {
            let conf = run.folder().kubeconfig();
            let conf = conf.display();
            reporter.done(&[
                format!("kubeconfig: {conf}"),
                format!("next: kubectl --kubeconfig {conf} get nodes"),
                format!("      kubitect status {cluster}"),
                log,
            ]);
        }
        Err(failure) => {
            let again = "the same command goes on from here".to_owned();
            reporter.failed(&failure.to_string(), failure.code(), &[again, log]);
        }
    }
}

/// Refuses what the action does not cover. A cluster that was never finished has no edits: it is yet to be made.
fn covered(action: policy::Action, edits: Option<&[Edit]>) -> Result<(), Failure> {
    let Some(edits) = edits else {
        return match action {
            policy::Action::Create => Ok(()),
            _ => Err(Failure::Refused(vec![format!(
                "the action `{action}` changes a finished cluster, and this one has yet to be made; use the action \
                 `create`, or none"
            )])),
        };
    };
    let others: Vec<_> = edits
        .iter()
        .filter(|edit| !policy::covers(action, edit))
        .map(|edit| {
            let other = policy::action(edit);
            format!("{edit}: the action `{action}` does not cover this; use the action `{other}`, or none")
        })
        .collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(Failure::Refused(others)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::edit::edits;

    #[test]
    fn an_action_covers_what_it_is_named_for() {
        let text = include_str!("../../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        let site = kubitect_config::Site::default();
        let cluster = |text: &str| kubitect_config::parse(text, "x", &site).unwrap().cluster;
        let applied = cluster(&text);
        let grown = cluster(&text.replace("{id: 1}", "{id: 1}\n        - {id: 2}"));
        let change = edits(&applied, &grown);
        assert_eq!(change.len(), 1, "{change:?}");

        let refusal = |action, edits| match covered(action, edits) {
            Ok(()) => String::new(),
            Err(failure) => failure.to_string(),
        };
        use policy::Action::{Create, Scale, Upgrade};
        assert_eq!(refusal(Scale, Some(&change)), "");
        for action in [Create, Upgrade] {
            let why = refusal(action, Some(&change));
            assert!(why.contains("use the action `scale`, or none"), "{why}");
        }
        assert_eq!(refusal(Create, None), "");
        for action in [Scale, Upgrade] {
            let why = refusal(action, None);
            assert!(
                why.contains("yet to be made; use the action `create`"),
                "{why}"
            );
            assert_eq!(refusal(action, Some(&[])), "");
        }
    }
}
