//! `doctor`: what this machine, or the hosts of a file, lack to carry clusters, and the command that mends it.

use std::path::Path;
use std::sync::Arc;

use kubitect_config::check::Check;
use kubitect_config::release;
use kubitect_provision::doctor::{self, folder, look};
use serde_json::json;

use crate::args::{Doctor, Output};
use crate::environment::{self, Place};
use crate::failure::Failure;
use crate::hosts::settle;
use crate::keys;
use crate::signals::on_runtime_alone;
use crate::world::World;

use super::{load, print, print_json};

/// Carries the command out; false when something is wrong.
pub fn doctor(world: &Arc<dyn World>, place: &Place, args: &Doctor) -> Result<bool, Failure> {
    let checks = match &args.config {
        Some(file) => of_file(world, place, file)?,
        None => checks(place)?,
    };
    match args.output {
        Output::Json => print_json(json!({"formatVersion": 1, "checks": checks}))?,
        Output::Text => checks.iter().try_for_each(print)?,
    }
    Ok(checks.iter().all(|check| check.good))
}

/// All that is looked at for the cluster of a file: of this machine, where it is none of the hosts, what Kubespray runs with.
fn of_file(world: &Arc<dyn World>, place: &Place, file: &Path) -> Result<Vec<Check>, Failure> {
    let (home, us) = (place.home()?, environment::us());
    let (parsed, _) = load(file, &home.site()?, &keys::needed)?;
    let mut cluster = parsed.cluster;
    settle(&home, &mut cluster)?;
    let mut checks = match cluster.used_hosts().any(|host| host.connection.is_local()) {
        true => look(&doctor::Place::here()),
        false => Vec::new(),
    };
    checks.push(folder(&place.path()?, environment::us()));
    checks.extend(doctor::hosts(&cluster, &**world, &us));
    let share = home.share();
    let tools = world.check(&cluster.kubernetes, &share);
    checks.extend(on_runtime_alone(tools)?);
    Ok(checks)
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
