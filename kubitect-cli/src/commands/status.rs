//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;

use super::{options, print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::Reporter;
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::world::World;

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    let cluster = names::meant(home, &args.cluster)?;
    let reporter = Arc::new(Reporter::new());
    let options = options(world, home, &reporter)?;
    let wanted = Wanted::kept(&cluster, &options)?;
    let view = View::connect(wanted, options)?;
    let status = on_runtime_alone(view.status())??;
    match args.output {
        Output::Text => print(&status)?,
        Output::Json => {
            let mut object = serde_json::json!(status);
            object["formatVersion"] = serde_json::json!(1);
            print_json(object)?;
        }
    }
    if !status.kubernetes.reachable {
        let why = match status.unfinished {
            true => "its creation has not ended; `kubitect apply` with its file goes on",
            false => "no master answers",
        };
        return Err(Failure::failed(format!(
            "reach the API of {cluster}: {why}"
        )));
    }
    Ok(status.problems.is_empty())
}
