//! `support`: one archive with all that is needed to find a fault, without keys, tokens and passwords.

use std::sync::Arc;

use kubitect_config::value::Label;
use kubitect_provision::archive::{self, SupportFiles};
use serde_json::json;

use super::doctor::checks;
use super::versions::version_json;
use super::{options, print};
use crate::args::Support;
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::report::{Reporter, time};
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::world::World;

/// How many lines of each machine's console it contains.
const CONSOLE: usize = 300;

/// Carries the command out.
pub fn support(world: &Arc<dyn World>, place: &Place, args: &Support) -> Result<(), Failure> {
    let home = &place.home()?;
    let cluster = names::resolve(home, &args.cluster)?;
    let name = format!("kubitect-support-{cluster}-{}", time("%Y%m%dT%H%M%SZ"));
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| format!("{name}.tar.gz").into());
    let mut gathered = SupportFiles::of(home, &home.cluster(&cluster));
    gathered.text("versions.json", format!("{:#}\n", version_json()));
    if let Some(checks) = gathered.missing("what `doctor` finds", checks(place)) {
        gathered.text("doctor.json", format!("{:#}\n", json!(checks)));
    }
    let observed = observe(&mut gathered, world, home, &cluster);
    gathered.missing("plan, status, consoles and Kubernetes", observed);
    let parts = gathered.finish();
    let count = parts.len();
    archive::write(&out, &name, &parts).map_err(|e| Failure::io("write", &out, e))?;
    print(format!(
        "{}: {count} files, without keys, tokens and passwords; look through it before you give it to others\n",
        out.display()
    ))
}

/// Adds what hosts, machines and Kubernetes answer.
fn observe(
    gathered: &mut SupportFiles,
    world: &Arc<dyn World>,
    home: &Home,
    cluster: &Label,
) -> Result<(), Failure> {
    let options = options(world, home, &Arc::new(Reporter::new()))?;
    let view = View::connect(Wanted::stored(cluster, &options)?, options)?;
    let plan = view.plan();
    if let Some(plan) = gathered.missing("plan", plan) {
        gathered.text("plan.txt", plan.to_string());
        gathered.text("plan.json", format!("{:#}\n", plan.json()));
    }
    let status = on_runtime_alone(view.status()).and_then(|status| status);
    if let Some(status) = gathered.missing("status", status) {
        gathered.text("status.txt", status.to_string());
        gathered.text("status.json", format!("{:#}\n", json!(status)));
    }
    for (machine, lines) in view.consoles(CONSOLE) {
        if let Some(lines) = gathered.missing(&format!("console of {machine}"), lines) {
            gathered.text(&format!("consoles/{machine}.txt"), lines.join("\n") + "\n");
        }
    }
    let answers = on_runtime_alone(view.answers()).and_then(|answers| answers);
    for (name, answer) in gathered.missing("Kubernetes", answers).unwrap_or_default() {
        if let Some(text) = gathered.missing(&format!("Kubernetes' {name}"), answer) {
            gathered.text(&format!("kubernetes/{name}.txt"), text);
        }
    }
    Ok(())
}
