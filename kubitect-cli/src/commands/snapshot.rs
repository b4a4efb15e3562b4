//! `etcd snapshot`: all that a cluster's etcd holds, in a file.

use std::sync::Arc;

use serde_json::json;

use super::{logged, options, print, print_json};
use crate::args::{Output, Snapshot};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::Reporter;
use crate::run::{Run, Wanted};
use crate::world::World;

/// Carries the command out.
pub fn snapshot(world: &Arc<dyn World>, home: &Home, args: &Snapshot) -> Result<(), Failure> {
    let cluster = names::meant(home, &args.cluster)?;
    let reporter = Arc::new(Reporter::new());
    let mut options = options(world, home, &reporter)?;
    options.take_over = args.held.take_over;
    let cancel = options.cancel.clone();
    let mut run = Run::connect_to_reached(Wanted::kept(&cluster, &options)?, options)?;
    let logs = run.folder().logs();
    logged::begin(&reporter, &logs, "etcd-snapshot", logged::UNASKED)?;
    let saved = logged::work(&reporter, &cancel, run.snapshot(args.out.as_deref()));
    if let Ok(saved) = &saved {
        reporter.note(json!(saved));
    }
    let again = "the same command begins anew".to_owned();
    logged::end(&reporter, &saved, &[], &[again]);
    let saved = saved?;
    match args.output {
        Output::Json => {
            let mut object = json!(saved);
            object["formatVersion"] = json!(1);
            print_json(object)
        }
        Output::Text => print(format!(
            "{} ({} KiB, SHA-256 {})\nEvery secret of the cluster is in it: keep it as you keep a key.\n",
            saved.file.display(),
            saved.bytes.div_ceil(1024),
            saved.sha256
        )),
    }
}
