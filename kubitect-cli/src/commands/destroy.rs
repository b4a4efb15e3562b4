//! `destroy`: shows all that is removed with a cluster, asks, and removes it.

use std::sync::Arc;

use serde_json::json;

use super::{logged, options};
use crate::approve::{self, Question};
use crate::args::Destroy;
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::removal::{Extent, Removal};
use crate::report::Reporter;
use crate::signals::until_interrupted;
use crate::world::World;

/// Carries the command out.
pub fn destroy(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Destroy,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    let Some(cluster) = names::named(&args.cluster) else {
        return Err(Failure::Usage(
            "what is to be removed for good has to be named: `kubitect destroy CLUSTER`".to_owned(),
        ));
    };
    let mut options = options(world, home, reporter)?;
    options.take_over = args.held.take_over;
    let cancel = options.cancel.clone();
    let extent = Extent {
        with_snapshots: args.with_snapshots,
        without_hosts: args.without_host.clone(),
        forget_hosts: args.forget_host.clone(),
    };
    // A mistyped name must not leave anything behind, not even a lock.
    if !home.cluster(&cluster).exists() {
        let unknown = names::unknown(&cluster, &home.clusters()?);
        match Removal::is_due(&cluster, &extent, &options) {
            Ok(false) => return Err(unknown),
            Ok(true) => {}
            Err(error) => return Err(unknown.below(error)),
        }
    }
    let removal = Removal::plan(cluster.clone(), &extent, options)?;
    reporter.emit(&json!({"type": "plan", "plan": removal.json()}));
    if removal.is_empty() {
        let left_out = removal.left_out();
        let result = until_interrupted(&cancel, removal.carry_out());
        match left_out.is_empty() {
            true => reporter.line(format!("{cluster}: nothing of it is left")),
            false => left_out.into_iter().for_each(|line| reporter.line(line)),
        }
        return result;
    }
    reporter.proposal(&cluster, &removal, &removal.table(), !args.auto_approve);
    if !args.auto_approve {
        let question = Question::new("Shall all of this be removed for good?");
        approve::ask(&question.of_loss(cluster.as_str()))?;
    }
    // The log is outside the cluster's folder, which is removed. Without a log the run goes on: it may be what frees a full disk.
    let answer = logged::answer(args.auto_approve);
    let log = logged::begin(reporter, &home.removals(&cluster), "destroy", answer);
    if let Err(failure) = log {
        reporter.line(format!("warning: this run leaves no log: {failure}"));
    }
    reporter.begin([]);
    let result = logged::work(reporter, &cancel, removal.carry_out());
    logged::end(reporter, &result, &[], &[logged::retry_hint()]);
    result
}
