//! `doctor`: what this machine lacks to carry clusters, and the command that mends it.

use kubitect_config::check::{Check, State};
use kubitect_config::release;
use kubitect_provision::doctor::{self, folder, look};
use serde_json::json;

use crate::args::Output;
use crate::environment::{self, Place};
use crate::failure::Failure;
use crate::signals::on_runtime_alone;

use super::{print, print_json};

/// Carries the command out; false when something is wrong.
pub fn doctor(place: &Place, output: Output) -> Result<bool, Failure> {
    let checks = checks(place)?;
    match output {
        Output::Json => print_json(json!({"formatVersion": 1, "checks": checks}))?,
        Output::Text => checks.iter().try_for_each(|check| print(line(check)))?,
    }
    Ok(checks.iter().all(|check| check.good))
}

/// All that is looked at.
pub fn checks(place: &Place) -> Result<Vec<Check>, Failure> {
    let mut checks = look(&doctor::Place::here());
    checks.push(folder(&place.path()?, environment::us()));
    // A site file that can't be used is told of by the folder's check, or by the command that uses it.
    let python = place.site().ok().and_then(|site| site.kubespray.python);
    let share = place.path()?.join("share");
    let tools = kubitect_kubespray::check(release::newest(), python.as_deref(), &share);
    checks.extend(on_runtime_alone(tools)?);
    Ok(checks)
}

/// A check as a person reads it.
fn line(check: &Check) -> String {
    let mark = match check.state {
        State::Good => ' ',
        State::Note => '-',
        State::Wrong => '!',
    };
    let cure = match check.cure.as_str() {
        "" => String::new(),
        cure => format!("  {:10} {cure}\n", ""),
    };
    format!("{mark} {:10} {}\n{cure}", check.what, check.found)
}
