//! `destroy`: removes all of a cluster, as libvirt tells it, and its folder.

use std::sync::Arc;

use kubitect_config::Site;

use crate::approve;
use crate::args::Destroy;
use crate::failure::Failure;
use crate::home::{Home, user_home};
use crate::hosts::hosts_of;
use crate::personal;
use crate::pipeline;
use crate::report::Reporter;
use crate::world::World;

/// Carries the command out.
pub fn destroy(world: &Arc<dyn World>, home: &Home, args: &Destroy) -> Result<(), Failure> {
    let dir = home.cluster(&args.cluster);
    let _lock = dir.lock()?;
    let hosts = hosts_of(
        world.as_ref(),
        &dir,
        &home.site().unwrap_or_else(|_| Site::default()),
    )?;
    let plan = kubitect_provision::plan::plan_destroy(&args.cluster, &hosts)
        .map_err(|e| Failure::because(format!("plan the removal of {}", args.cluster), e))?;
    let reporter = Reporter::new();
    if plan.is_empty() && !dir.root().exists() {
        reporter.line(format!("{}: there is no such cluster", args.cluster));
        return Ok(());
    }
    reporter.text(&plan);
    if !args.auto_approve {
        approve::ask("Shall all of this be removed for good?")?;
    }
    pipeline::destroy(&plan, &hosts, &reporter)?;
    fail::fail_point!("cli::destroy");
    if let Ok(person) = user_home() {
        kubitect_provision::ssh::known_hosts::remove(
            &person.join(".ssh/known_hosts"),
            &args.cluster,
        )
        .map_err(|e| Failure::because("remove the machines from your known_hosts", e))?;
        fail::fail_point!("cli::destroy");
        // A kubeconfig that can't be worked with is the person's to mend, and no reason to keep the rest.
        if let Err(e) = personal::unmerge(&person.join(".kube/config"), &dir.kubeconfig()) {
            reporter.line(format!("warning: {e}"));
        }
        fail::fail_point!("cli::destroy");
    }
    match std::fs::remove_dir_all(dir.root()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", dir.root(), e))
        }
        _ => {
            reporter.line(format!("{}: removed", args.cluster));
            Ok(())
        }
    }
}
