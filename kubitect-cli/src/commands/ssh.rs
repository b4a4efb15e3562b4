//! `ssh`: a shell or a command on a machine, by its name, with the host key that it was given.

use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Cluster;
use kubitect_provision::{machine, write_client_config};

use crate::args::Ssh;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::settle;
use crate::nodes;
use crate::world::World;

/// How long libvirt may take to say whether the machine is on. Whoever can't ask it may still log in.
const ASKED: Duration = Duration::from_secs(5);

/// Carries the command out: this process becomes `ssh`, so only a failure comes back.
pub fn ssh(world: &Arc<dyn World>, home: &Home, args: &Ssh) -> Result<(), Failure> {
    let site = home.site()?;
    let (mut cluster, node) = nodes::meant(home, &site, args.cluster.as_ref(), &args.node)?;
    let (config, facts) = write_client_config(home, &cluster)?;
    if facts.node(&node.name).is_none() {
        return Err(Failure::failed(format!(
            "find the address of {}: no run has seen it yet; `kubitect apply` goes on with it",
            node.name
        )));
    }
    settle(home, &mut cluster)?;
    if let Some(host) = cluster.host(&node.host) {
        // Who may not use libvirt, or can't reach it soon, may log in all the same.
        let asked = machine::why_off(world.clone(), &cluster.name, (&node, host), ASKED);
        if let Ok(Some(why)) = asked {
            return Err(Failure::failed(format!("log in on {}: {why}", node.name)));
        }
    }
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F")
        .arg(config)
        .arg("--")
        .arg(node.name.as_str())
        .args(&args.command);
    Err(Failure::because("start ssh", ssh.exec()))
}

/// Brings `ssh_config` up to date after a run. Without it, `kubitect ssh` writes it.
pub fn refresh(home: &Home, cluster: &Cluster) {
    if let Err(error) = write_client_config(home, cluster) {
        tracing::debug!(%error, "ssh_config not written");
    }
}
