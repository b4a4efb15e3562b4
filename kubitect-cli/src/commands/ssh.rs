//! `ssh`: a shell or a command on a machine by its name. The machine has to show the host key that it was given.

use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Cluster;
use kubitect_provision::{machine, write_client_config};

use crate::args::Ssh;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::expand_paths;
use crate::nodes;
use crate::world::World;

/// libvirt has to say within this time whether the machine is on; without an answer, `ssh` is tried.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Carries the command out. This process becomes `ssh`, and only a failure returns.
pub fn ssh(world: &Arc<dyn World>, home: &Home, args: &Ssh) -> Result<(), Failure> {
    let site = home.site()?;
    let (mut cluster, node) = nodes::resolve(home, &site, args.cluster.as_ref(), &args.node)?;
    let (config, facts) = write_client_config(home, &cluster)?;
    if facts.node(&node.name).is_none() {
        return Err(Failure::failed(format!(
            "find the address of {}: no run has seen it yet; `kubitect apply` goes on with it",
            node.name
        )));
    }
    expand_paths(home, &mut cluster)?;
    if let Some(host) = cluster.host(&node.host) {
        // A person who may not use libvirt, or can't reach it in time, may still log in.
        let off = machine::why_off(world.clone(), &cluster.name, (&node, host), TIMEOUT);
        if let Ok(Some(why)) = off {
            return Err(Failure::failed(format!("log in on {}: {why}", node.name)));
        }
    }
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F").arg(config).arg("--");
    ssh.arg(node.name.as_str()).args(&args.command);
    Err(Failure::because("start ssh", ssh.exec()))
}

/// Brings `ssh_config` up to date after a run. A failure is no warning: `kubitect ssh` writes the file again.
pub fn refresh(home: &Home, cluster: &Cluster) {
    if let Err(error) = write_client_config(home, cluster) {
        tracing::debug!(%error, "ssh_config not written");
    }
}
