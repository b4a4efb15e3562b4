//! [`Machine`]: how a cluster's machine is, as libvirt has it.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::Cluster;
use serde::Serialize;

use crate::hypervisor::Hosts;
use crate::observe::PowerState;
use crate::{Error, gather};

/// A machine, as libvirt has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// The host that carries it.
    pub host: String,
    /// Its address, as far as it is known.
    pub address: Option<Ipv4Addr>,
    /// `running`, `off`, `paused`, `crashed` or `missing`.
    pub state: &'static str,
}

impl Machine {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }
}

/// The machines that are wanted, each host looked at once.
pub fn machines(cluster: &Cluster, hosts: &Hosts) -> Result<Vec<Machine>, Error> {
    let seen = gather::seen(cluster, hosts)
        .map_err(|e| Error::because(format!("look at the machines of {}", cluster.name), e))?;
    let machines = cluster.nodes.iter().map(|node| {
        let (power, ip) = seen.get(&node.name).copied().unwrap_or((None, node.ip));
        Machine {
            name: node.name.to_string(),
            host: node.host.to_string(),
            address: ip,
            state: match power {
                Some(PowerState::Running) => "running",
                Some(PowerState::Off) => "off",
                Some(PowerState::Paused) => "paused",
                Some(PowerState::Crashed) => "crashed",
                None => "missing",
            },
        }
    });
    Ok(machines.collect())
}

/// A line; the width is that of the column of names.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = f.width().unwrap_or(0);
        let address = self.address.map(|ip| ip.to_string()).unwrap_or_default();
        writeln!(
            f,
            "  machine     {:wide$} {:8} {address} on {}",
            self.name, self.state, self.host
        )
    }
}
