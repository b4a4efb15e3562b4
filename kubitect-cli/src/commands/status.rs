//! `status`: how a cluster is. Changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{options, print, print_json};
use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::Reporter;
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::world::World;

/// Between two looks at a cluster that is waited for.
const LOOK: Duration = Duration::from_secs(5);

/// Carries the command out; false when something is amiss.
pub fn status(world: &Arc<dyn World>, home: &Home, args: &Status) -> Result<bool, Failure> {
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
        Output::Json => {
            let mut object = serde_json::json!(status);
            object["formatVersion"] = serde_json::json!(1);
            print_json(object)?;
        }
    }
    if !status.kubernetes.reachable {
        let why = match (status.stopped, status.unfinished && !status.applied) {
            (true, _) => "it is stopped; `kubitect start` starts it",
            (_, true) => "its creation has not ended; `kubitect apply` with its file goes on",
            (_, false) => "no master answers",
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
        let waits = shortened(&status.problems);
        if waits != said {
            reporter.line(format!("waiting: {waits}"));
            said = waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The first problems, and how many more there are.
fn shortened(problems: &[String]) -> String {
    let (first, rest) = problems.split_at(problems.len().min(2));
    let first = first.join("; ");
    match rest.len() {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn of_many_problems_the_first_are_named() {
        let problems: Vec<_> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(shortened(&problems[..2]), "a; b");
        assert_eq!(shortened(&problems), "a; b; and 2 more");
    }
}
