//! `doctor`: what this machine, or the hosts of a file, lack to carry clusters, and the command that repairs it.

use std::path::Path;
use std::sync::Arc;

use kubitect_config::check::Check;
use kubitect_config::release;
use kubitect_provision::doctor::{self, check_system, folder};
use serde_json::json;

use crate::args::{Doctor, Output};
use crate::environment::{self, Place};
use crate::failure::Failure;
use crate::hosts::expand_paths;
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

/// All checks for the cluster of a file. Where this machine is none of its hosts, it is checked only for what Kubespray needs.
fn of_file(world: &Arc<dyn World>, place: &Place, file: &Path) -> Result<Vec<Check>, Failure> {
    let (home, users) = (place.home()?, environment::trusted_users());
    let (parsed, _) = load(file, &home.site()?, &keys::needed)?;
    let mut cluster = parsed.cluster;
    expand_paths(&home, &mut cluster)?;
    let mut checks = match cluster.used_hosts().any(|host| host.connection.is_local()) {
        true => check_system(&doctor::LocalSystem::this_machine()),
        false => Vec::new(),
    };
    checks.push(folder(&place.path()?, environment::trusted_users()));
    checks.extend(doctor::hosts(&cluster, &**world, &users));
    let share = home.share();
    let tools = world.check(&cluster.kubernetes, &share);
    checks.extend(on_runtime_alone(tools)?);
    Ok(checks)
}

/// All checks of this machine.
pub fn checks(place: &Place) -> Result<Vec<Check>, Failure> {
    let mut checks = check_system(&doctor::LocalSystem::this_machine());
    checks.push(folder(&place.path()?, environment::trusted_users()));
    // A site file that can't be used is reported by the folder's check, or by the command that uses it.
    let python = place.site().ok().and_then(|site| site.kubespray.python);
    let share = place.path()?.join("share");
    let tools = kubitect_kubespray::check(release::newest(), python.as_deref(), &share);
    checks.extend(on_runtime_alone(tools)?);
    Ok(checks)
}
