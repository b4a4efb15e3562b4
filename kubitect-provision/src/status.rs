//! [`Machine`]: how a cluster's machine is, as libvirt has it.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::Cluster;
use serde::Serialize;

use crate::gather;
use crate::hypervisor::Hosts;
use crate::observe::{Observed, PowerState, look_at_machines};

/// A machine, as libvirt has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// The host that carries it.
    pub host: String,
    /// Its address, as far as it is known.
    pub address: Option<Ipv4Addr>,
    /// `running`, `off`, `paused`, `crashed`, `missing`, or `unknown` where its host can't be reached.
    pub state: &'static str,
}

impl Machine {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Whether its host can't be reached.
    pub fn is_unknown(&self) -> bool {
        self.state == "unknown"
    }
}

/// The machines that are wanted, each host looked at once, and a sentence for each host that can't be reached.
pub fn machines(cluster: &Cluster, hosts: &Hosts) -> (Vec<Machine>, Vec<String>) {
    let observed = look_at_machines(cluster, hosts);
    (machines_of(cluster, &observed), observed.problems())
}

/// The machines that are wanted, by what was seen.
pub fn machines_of(cluster: &Cluster, observed: &Observed) -> Vec<Machine> {
    let seen = gather::seen(cluster, observed);
    let machines = cluster.nodes.iter().map(|node| {
        let seen = seen.get(&node.name);
        let (state, address) = match seen {
            None => ("unknown", node.ip),
            Some((Some(PowerState::Running), ip)) => ("running", *ip),
            Some((Some(PowerState::Off), ip)) => ("off", *ip),
            Some((Some(PowerState::Paused), ip)) => ("paused", *ip),
            Some((Some(PowerState::Crashed), ip)) => ("crashed", *ip),
            Some((None, ip)) => ("missing", *ip),
        };
        Machine {
            name: node.name.to_string(),
            host: node.host.to_string(),
            address,
            state,
        }
    });
    machines.collect()
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
