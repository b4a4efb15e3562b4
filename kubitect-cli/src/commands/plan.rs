//! `plan`: what apply would do. Reads libvirt, changes nothing.

use std::path::Path;
use std::sync::Arc;

use crate::args::{Output, Plan};
use crate::failure::Failure;
use crate::home::Home;
use crate::plan::check;
use crate::report::{self, RFC3339, Reporter, time};
use crate::run::View;
use crate::world::World;

use super::{options, print_exactly, print_json, wanted};

/// Carries the command out; true where there is nothing to do.
pub fn plan(world: &Arc<dyn World>, home: &Home, args: &Plan) -> Result<bool, Failure> {
    let reporter = Arc::new(Reporter::new());
    let options = options(world, home, &reporter)?;
    let view = View::connect(wanted(&args.config, &options)?, options)?;
    let plan = view.plan()?;
    if let Some(run) = view.active_run() {
        reporter.line(format!(
            "warning: {run}; what it changes is not in this plan"
        ));
    }
    match args.output {
        Output::Text => print_exactly(report::of_plan(&plan, &plan.table(), &std::io::stdout()))?,
        Output::Json => print_json(plan.json())?,
    }
    check(&plan)?;
    view.check_findings(&plan)?;
    if let Some(out) = &args.out {
        let stdin = args.config == Path::new("-");
        let file = (!stdin).then(|| std::path::absolute(&args.config));
        let file = file
            .transpose()
            .map_err(|e| Failure::io("find", &args.config, e))?;
        home.check_named(out)?;
        view.to_save(&plan, file, time(RFC3339))?.write(out)?;
        let option = if stdin { " -c -" } else { "" };
        reporter.text(format!(
            "saved; `kubitect apply {}{option}` does this, or nothing\n",
            out.display()
        ));
    }
    Ok(plan.is_empty())
}
