//! `ssh`: a shell or a command on a machine, by its name, with the host key that it was given.

use std::os::unix::process::CommandExt;

use kubitect_config::Cluster;
use kubitect_provision::write_client_config;

use crate::args::Ssh;
use crate::failure::Failure;
use crate::home::Home;
use crate::nodes;

/// Carries the command out: this process becomes `ssh`, so only a failure comes back.
pub fn ssh(home: &Home, args: &Ssh) -> Result<(), Failure> {
    let site = home.site()?;
    let (cluster, node) = nodes::meant(home, &site, args.cluster.as_ref(), &args.node)?;
    let (config, facts) = write_client_config(home, &cluster)?;
    if facts.node(&node.name).is_none() {
        return Err(Failure::failed(format!(
            "find the address of {}: no run has seen it yet; `kubitect apply` goes on with it",
            node.name
        )));
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
