//! [`Machine`]: the state of a machine, from libvirt.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::Cluster;
use serde::Serialize;

use crate::gather;
use crate::hypervisor::Hosts;
use crate::observe::{Observed, PowerState, observe_machines};

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum State {
    /// It runs.
    Running,
    /// It is off.
    Off,
    /// It is paused.
    Paused,
    /// Its guest has crashed.
    Crashed,
    /// It does not exist.
    Missing,
    /// Its host can't be reached.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Off => "off",
            Self::Paused => "paused",
            Self::Crashed => "crashed",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        })
    }
}

/// A machine of a cluster, for `status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// The host that carries it.
    pub host: String,
    /// Its address, if known.
    pub address: Option<Ipv4Addr>,
    /// Its state.
    pub state: State,
}

/// The machines that the configuration names, and a sentence for each host that can't be reached. Each host is read once.
pub fn machines(cluster: &Cluster, hosts: &Hosts) -> (Vec<Machine>, Vec<String>) {
    let observed = observe_machines(cluster, hosts);
    (machines_of(cluster, &observed), observed.problems())
}

/// The problems of these machines, a sentence each; none for a machine whose host can't be reached: its state is unknown.
pub fn problems_of(machines: &[Machine]) -> Vec<String> {
    let problem = |machine: &Machine| match (machine.state, machine.address) {
        (State::Unknown, _) | (State::Running, Some(_)) => None,
        (State::Running, None) => Some(format!(
            "the address of {} is not known: neither a lease nor its agent tells one that may be its own",
            machine.name
        )),
        _ => Some(format!("{} is {}", machine.name, machine.state)),
    };
    machines.iter().filter_map(problem).collect()
}

/// The machines that the configuration names, from what was observed.
pub fn machines_of(cluster: &Cluster, observed: &Observed) -> Vec<Machine> {
    let states = gather::observed_machines(cluster, observed);
    let machines = cluster.nodes.iter().map(|node| {
        let (state, address) = match states.get(&node.name) {
            None => (State::Unknown, node.ip),
            Some((Some(PowerState::Running), ip)) => (State::Running, *ip),
            Some((Some(PowerState::Off), ip)) => (State::Off, *ip),
            Some((Some(PowerState::Paused), ip)) => (State::Paused, *ip),
            Some((Some(PowerState::Crashed), ip)) => (State::Crashed, *ip),
            Some((None, ip)) => (State::Missing, *ip),
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

/// One line; the width is that of the column of names.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or(0);
        let address = self.address.map(|ip| ip.to_string()).unwrap_or_default();
        writeln!(
            f,
            "  machine     {:width$} {:8} {address} on {}",
            self.name, self.state, self.host
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_whose_address_nobody_knows_is_a_problem() {
        let machine = |state, address: Option<&str>| Machine {
            name: "demo-worker-1".to_owned(),
            host: "h".to_owned(),
            address: address.map(|ip| ip.parse().unwrap()),
            state,
        };
        let problem = |state, address| problems_of(&[machine(state, address)]).pop();
        assert_eq!(problem(State::Running, Some("10.0.0.1")), None);
        assert_eq!(problem(State::Unknown, None), None);
        let off = "demo-worker-1 is off".to_owned();
        assert_eq!(problem(State::Off, None), Some(off));
        let lost = problem(State::Running, None).unwrap();
        assert!(
            lost.starts_with("the address of demo-worker-1 is not known"),
            "{lost}"
        );
    }
}
