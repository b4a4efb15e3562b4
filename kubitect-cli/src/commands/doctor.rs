//! `doctor`: what this machine lacks to carry clusters, and the command that mends it.

use kubitect_provision::doctor::{self, folder, look};
use serde_json::json;

use crate::args::Output;
use crate::environment::{self, Place};
use crate::failure::Failure;

use super::{print, print_json};

/// Carries the command out; false when something is wrong.
pub fn doctor(place: &Place, output: Output) -> Result<bool, Failure> {
    let mut checks = look(&doctor::Place::here());
    checks.push(folder(&place.path()?, environment::us()));
    match output {
        Output::Json => print_json(json!({"formatVersion": 1, "checks": checks}))?,
        Output::Text => {
            for check in &checks {
                let mark = if check.good { ' ' } else { '!' };
                print(format!("{mark} {:10} {}\n", check.what, check.found))?;
                if !check.good {
                    print(format!("  {:10} mend it: {}\n", "", check.cure))?;
                }
            }
        }
    }
    Ok(checks.iter().all(|check| check.good))
}
