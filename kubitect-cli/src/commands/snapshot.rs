//! `etcd snapshot` saves all that a cluster's etcd holds to a file, and `etcd restore` restores it.

use std::sync::Arc;

use serde_json::json;

use super::{logged, options, print, print_object};
use crate::approve::{self, Question};
use crate::args::{Output, Restore, Snapshot};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::Reporter;
use crate::run::{Run, Wanted};
use crate::signals::until_interrupted;
use crate::snapshot::Restoring;
use crate::world::World;

/// Saves what etcd holds.
pub fn snapshot(world: &Arc<dyn World>, home: &Home, args: &Snapshot) -> Result<(), Failure> {
    let cluster = names::resolve(home, &args.cluster)?;
    let reporter = Arc::new(Reporter::new());
    let mut options = options(world, home, &reporter)?;
    options.take_over = args.held.take_over;
    let cancel = options.cancel.clone();
    let mut run = Run::connect_to_reached(Wanted::stored(&cluster, &options)?, options)?;
    let logs = run.folder().logs();
    logged::begin(&reporter, &logs, "etcd-snapshot", logged::NOT_ASKED)?;
    let saved = logged::work(&reporter, &cancel, run.snapshot(args.out.as_deref()));
    if let Ok(saved) = &saved {
        reporter.note(json!(saved));
    }
    let retry = "the same command begins anew".to_owned();
    logged::end(&reporter, &saved, &[], &[retry]);
    let saved = saved?;
    match args.output {
        Output::Json => print_object(&saved),
        Output::Text => print(format!(
            "{} ({} KiB, SHA-256 {})\nEvery secret of the cluster is in it: keep it as you keep a key.\n",
            saved.file.display(),
            saved.bytes.div_ceil(1024),
            saved.sha256
        )),
    }
}

/// Restores etcd from a snapshot.
pub fn restore(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Restore,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    let cluster = &args.cluster;
    names::check(home, cluster)?;
    let mut options = options(world, home, reporter)?;
    options.take_over = args.held.take_over;
    let cancel = options.cancel.clone();
    let run = Run::connect(Wanted::stored(cluster, &options)?, options)?;
    let restoring = until_interrupted(&cancel, Restoring::plan(run, &args.file))?;
    reporter.emit(&json!({"type": "plan", "plan": restoring.json()}));
    reporter.proposal(cluster, &restoring, "", !args.auto_approve);
    if !args.auto_approve {
        let question =
            Question::new("Shall the cluster go back to this, and what came later be lost?");
        approve::ask(&question.of_loss(cluster.as_str()))?;
    }
    let logs = restoring.view().folder().logs();
    let answer = logged::answer(args.auto_approve);
    logged::begin(reporter, &logs, "etcd-restore", answer)?;
    reporter.begin([]);
    let result = logged::work(reporter, &cancel, restoring.carry_out());
    let next = [format!("next: kubitect status {cluster}")];
    logged::end(reporter, &result, &next, &[logged::retry_hint()]);
    result
}
