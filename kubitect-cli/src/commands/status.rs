//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::text;
use kubitect_config::timeouts::Timeout;
use kubitect_config::value::Label;

use super::{options, print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::Reporter;
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::status::Verdict;
use crate::world::World;

/// Between two looks at a cluster that is waited for.
const LOOK: Duration = Duration::from_secs(5);

/// `--wait 5m` names a cluster; the time belongs to the option.
fn check_time(home: &Home, args: &Status) -> Result<(), Failure> {
    let name = args.cluster.name.as_ref().filter(|_| args.wait.is_some());
    let is_time = |name: &&Label| name.as_str().parse::<Timeout>().is_ok();
    match name.filter(is_time) {
        Some(time) if !home.clusters()?.contains(time) => Err(Failure::Usage(format!(
            "there is no cluster `{time}`; a time is written to the option: --wait={time}"
        ))),
        _ => Ok(()),
    }
}

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    check_time(home, args)?;
    let cluster = names::meant(home, &args.cluster)?;
    let reporter = Arc::new(Reporter::new());
    let options = options(world, home, &reporter)?;
    let wanted = Wanted::kept(&cluster, &options)?;
    let view = View::connect(wanted, options)?;
    let status = match args.wait {
        None => on_runtime_alone(view.status())??,
        Some(limit) => on_runtime_alone(healthy(&view, limit.into(), &reporter))??,
    };
    match args.output {
        Output::Text => print(&status)?,
        Output::Json => print_json(status.json())?,
    }
    if !status.kubernetes.reachable {
        let why = match (&status.run, status.verdict()) {
            (Some(run), _) => &*run.to_string(),
            (None, Verdict::Stopped) => "it is stopped; `kubitect start` starts it",
            (None, Verdict::Unfinished) => {
                "its creation has not ended; `kubitect apply` with its file goes on"
            }
            (None, _) if !status.away.is_empty() => {
                "no master answers on the hosts that are reached"
            }
            (None, _) => "no master answers",
        };
        return Err(Failure::failed(format!(
            "reach the API of {cluster}: {why}"
        )));
    }
    Ok(status.problems.is_empty())
}

/// How a cluster is once nothing is wrong with it, or once the time is over; says what is waited for, whenever that changes.
async fn healthy(
    view: &View,
    limit: Duration,
    reporter: &Reporter,
) -> Result<crate::status::Status, Failure> {
    let end = Instant::now() + limit;
    let mut said = String::new();
    loop {
        let status = view.status().await?;
        if status.problems.is_empty() {
            return Ok(status);
        }
        if Instant::now() + LOOK >= end {
            reporter.line("the time is over");
            return Ok(status);
        }
        let waits = text::few(&status.problems);
        if waits != said {
            reporter.line(format!("waiting: {waits}"));
            said = waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}
