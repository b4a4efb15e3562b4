//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use kubitect_config::text;
use kubitect_config::timeouts::Timeout;
use kubitect_config::value::Label;
use kubitect_kubespray::control;

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

/// An error for `--wait 5m`, in which `5m` is taken for a cluster's name: the time has to be written `--wait=5m`.
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

/// Carries the command out; false where the status has problems.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
    check_time(home, args)?;
    let cluster = names::resolve(home, &args.cluster)?;
    let reporter = Arc::new(Reporter::new());
    let options = options(world, home, &reporter)?;
    let wanted = Wanted::stored(&cluster, &options)?;
    let view = Arc::new(View::connect(wanted, options)?);
    let status = match args.wait {
        None => on_runtime_alone(view.status())??,
        Some(limit) => on_runtime_alone(wait_healthy(&view, limit.into(), &reporter))??,
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
            (None, _) if !status.unreached_hosts.is_empty() => {
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

/// The status of a cluster once it has no problem, or once the time is over, also where a host hangs. Reports what is waited for
/// whenever that changes.
async fn wait_healthy(
    view: &Arc<View>,
    limit: Duration,
    reporter: &Reporter,
) -> Result<crate::status::Status, Failure> {
    let mut last = Err(Failure::failed("look at the cluster: no answer in time"));
    let waits = |why: &str| reporter.line(format!("waiting: {why}"));
    let missing = control::wait(limit, &waits, async || {
        let view = Arc::clone(view);
        // In a task of its own: libvirt may block for longer than the time.
        let status = tokio::spawn(async move { view.status().await }).await;
        last = status.unwrap_or_else(|e| Err(Failure::because("look at the cluster", e)));
        let problems = &last.as_ref().ok()?.problems;
        (!problems.is_empty()).then(|| text::few(problems))
    });
    if missing.await.is_some() {
        reporter.line("the time is over");
    }
    last
}
