//! `console`: opens a machine's serial console through its host's libvirt, or prints the console's log.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Host;
use kubitect_provision::{libvirt, machine};

use super::print_lines;
use crate::args::Console;
use crate::failure::Failure;
use crate::home::Home;
use crate::hosts::expand_paths;
use crate::nodes;
use crate::world::World;

/// The host's libvirt has to say within this time whether the machine is on: virsh would wait for ever.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Carries the command out. At a terminal this process becomes `virsh`, and only a failure returns.
pub fn console(world: &Arc<dyn World>, home: &Home, args: &Console) -> Result<(), Failure> {
    let site = home.site()?;
    let (mut cluster, node) = nodes::resolve(home, &site, args.cluster.as_ref(), &args.node)?;
    expand_paths(home, &mut cluster)?;
    let host = cluster.host(&node.host).cloned();
    let host = host
        .ok_or_else(|| Failure::failed(format!("find the host {} of {}", node.host, node.name)))?;
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if interactive && !args.log {
        let failed = |e| Failure::because(format!("open the console of {}", node.name), e);
        let off = machine::why_off(world.clone(), &cluster.name, (&node, &host), TIMEOUT);
        if let Some(why) = off.map_err(failed)? {
            return Err(Failure::failed(format!(
                "open the console of {}: {why}. What it wrote last: `kubitect console {} --log`",
                node.name, node.name
            )));
        }
        return Err(open(&host, node.name.as_str()));
    }
    let failed = |e| Failure::because(format!("read the console of {}", node.name), e);
    let hosts = world.hosts(&[&host]).map_err(failed)?;
    let lines = machine::console_tail(&hosts, &cluster, &node, usize::MAX).map_err(failed)?;
    match lines.is_empty() {
        true => Err(Failure::failed(format!(
            "read the console of {}: nothing has been written to it on host {}",
            node.name, host.name
        ))),
        false => print_lines(lines.join("\n") + "\n"),
    }
}

/// Becomes `virsh` on the console of this machine; returns only a failure.
fn open(host: &Host, name: &str) -> Failure {
    let mut virsh = std::process::Command::new("virsh");
    virsh.arg("--connect").arg(libvirt::uri(&host.connection));
    virsh.args(["console", name]);
    Failure::because(
        format!(
            "start virsh (Debian and Ubuntu have it in libvirt-clients, others in libvirt-client; `kubitect console --log {name}` \
             does without)"
        ),
        virsh.exec(),
    )
}
