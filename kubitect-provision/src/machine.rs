//! Operations on one machine: power, addresses, console.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::{Host, NetworkMode, Node};
use kubitect_config::value::{Label, Name};
use kubitect_config::{Cluster, Facts};

use crate::blocking::run_within;
use crate::bounded::BoundedBuffer;
use crate::claim;
use crate::desired::console_volume;
use crate::error::{Error, chain};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::observe::{NetworkState, PowerState};
use crate::reach::Reach;
use crate::resource::Reservation;

/// The time limit of reading a console as evidence for a wait that failed.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes at the end of a console that are read for its last lines.
const TAIL: u64 = 64 << 10;

/// The power state of a machine; none: it does not exist.
pub fn power_state(hosts: &Hosts, node: &Node) -> Result<Option<PowerState>, Error> {
    hosts.power_state(&node.host, &node.name)
}

/// Why a machine does not run, with the command that starts it; none: it runs. No answer of its host's libvirt within `limit` is
/// an error.
pub fn why_off(
    reach: Arc<dyn Reach>,
    cluster: &Label,
    (node, host): (&Node, &Host),
    limit: Duration,
) -> Result<Option<String>, Error> {
    let (node, its_host) = (node.clone(), host.clone());
    let power = run_within(limit, &|| false, move || {
        let hosts = reach.hosts(&[&its_host]);
        hosts.and_then(|hosts| power_state(&hosts, &node))
    });
    let power = power.unwrap_or_else(|| Err(no_answer(&host.name, limit)))?;
    let why = match power {
        Some(PowerState::Running) => return Ok(None),
        Some(PowerState::Paused) => {
            format!("it is paused; `kubitect start {cluster}` has it go on")
        }
        Some(_) => format!("it is off; `kubitect start {cluster}` starts it"),
        None => format!(
            "host {} has no such machine; `kubitect apply` with the cluster's file makes it",
            host.name
        ),
    };
    Ok(Some(why))
}

fn no_answer(host: &Name, after: Duration) -> Error {
    Error::Timeout {
        what: format!("an answer of libvirt on host {host}"),
        after,
        evidence: Vec::new(),
    }
}

/// Starts a machine that is off or paused.
pub fn start(hosts: &Hosts, node: &Node) -> Result<(), Error> {
    let hypervisor = hosts.get(&node.host)?;
    hypervisor
        .start_domain(&node.name)
        .map_err(|failure| failure.on(&node.host))
}

/// Asks a machine to shut down, and does not wait until it is off.
pub fn shut_down(hosts: &Hosts, node: &Node) -> Result<(), Error> {
    let hypervisor = hosts.get(&node.host)?;
    hypervisor
        .shut_down_domain(&node.name)
        .map_err(|failure| failure.on(&node.host))
}

/// Cuts a machine's power.
pub fn power_off(hosts: &Hosts, node: &Node) -> Result<(), Error> {
    let hypervisor = hosts.get(&node.host)?;
    hypervisor
        .power_off_domain(&node.name)
        .map_err(|failure| failure.on(&node.host))
}

/// Stores a note in a machine's domain: a short text about what was set up on the machine. It exists as long as the domain is
/// defined; a machine that is created again has none.
pub fn note(hosts: &Hosts, node: &Node, note: &str) -> Result<(), Error> {
    let hypervisor = hosts.get(&node.host)?;
    hypervisor
        .note_domain(&node.name, note)
        .map_err(|failure| failure.on(&node.host))
}

/// The address of a machine: the configured one, else the one leased to it, if there is one. An address that only the guest agent
/// reports counts only if it may be the machine's.
pub fn address(cluster: &Cluster, hosts: &Hosts, node: &Node) -> Result<Option<Ipv4Addr>, Error> {
    if node.ip.is_some() {
        return Ok(node.ip);
    }
    let host = hosts.get(&node.host)?;
    let networks = host.networks();
    networks
        .and_then(|networks| leased(cluster, host.as_ref(), &networks, node))
        .map_err(|failure| failure.on(&node.host))
}

/// The address leased to a running machine on this host, else one that its guest agent reports and that may be its own.
pub(crate) fn leased(
    cluster: &Cluster,
    host: &dyn Hypervisor,
    networks: &[NetworkState],
    node: &Node,
) -> Result<Option<Ipv4Addr>, Failure> {
    let addresses = host.addresses(&node.name)?;
    let (name, mac) = (&node.name, node.mac);
    Ok(claim::first_allowed(
        cluster, networks, name, mac, &addresses,
    ))
}

/// Reserves the leased addresses of machines without a configured one: each keeps its address as long as it exists.
///
/// Nothing is done on an existing bridge: its DHCP server is not libvirt's.
pub fn reserve(cluster: &Cluster, hosts: &Hosts, facts: &Facts) -> Result<(), Error> {
    if cluster.network.mode == NetworkMode::Bridge {
        return Ok(());
    }
    for node in cluster.nodes.iter().filter(|node| node.ip.is_none()) {
        let Some(found) = facts.node(&node.name) else {
            continue;
        };
        let reservation = Reservation {
            mac: node.mac,
            ip: found.ip,
            name: node.name.clone(),
        };
        hosts
            .get(&node.host)?
            .reserve(&cluster.network_name(), &reservation)
            .map_err(|failure| failure.on(&node.host))?;
        fail::fail_point!("provision::reserved");
    }
    Ok(())
}

/// The last lines that a machine wrote to its serial console; empty if it wrote none.
///
/// libvirt writes the console into a file beside the machine's disks. It is read as a volume, so that it can be read through any
/// connection to libvirt, local or remote, and by no other users.
pub fn console_tail(
    hosts: &Hosts,
    cluster: &Cluster,
    node: &Node,
    lines: usize,
) -> Result<Vec<String>, Error> {
    let hypervisor = hosts.get(&node.host)?;
    console_lines(hypervisor.as_ref(), &cluster.name, &node.name, lines)
        .map_err(|failure| failure.on(&node.host))
}

/// The last lines of a machine's console, as evidence for a wait that failed. Returns after [`EVIDENCE_TIMEOUT`] even if libvirt
/// hangs.
pub(crate) fn evidence(hosts: &Hosts, cluster: &Label, node: &Node) -> Vec<String> {
    match hosts.get(&node.host) {
        Ok(hypervisor) => evidence_of((&node.host, hypervisor), cluster, &node.name),
        Err(error) => vec![chain(&error)],
    }
}

/// As [`evidence`], of a machine that this hypervisor has.
pub(crate) fn evidence_of(
    (host, hypervisor): (&Name, &Arc<dyn Hypervisor>),
    cluster: &Label,
    name: &Label,
) -> Vec<String> {
    let (hypervisor, cluster, name) = (Arc::clone(hypervisor), cluster.clone(), name.clone());
    let lines = run_within(EVIDENCE_TIMEOUT, &|| false, move || {
        console_lines(hypervisor.as_ref(), &cluster, &name, 20)
    });
    match lines {
        Some(lines) => lines.unwrap_or_else(|failure| vec![chain(&failure.on(host))]),
        None => vec![format!("host {host} does not answer")],
    }
}

/// As [`console_tail`], of a machine that this hypervisor has.
fn console_lines(
    hypervisor: &dyn Hypervisor,
    cluster: &Label,
    node: &Label,
    lines: usize,
) -> Result<Vec<String>, Failure> {
    let pool = format!("{cluster}-main-resource-pool");
    let name = console_volume(node);
    hypervisor.refresh_pool(&pool)?;
    let pools = hypervisor.pools()?;
    let log = pools
        .iter()
        .find(|state| state.name == pool)
        .and_then(|state| state.volume(&name));
    let mut tail = BoundedBuffer::new(2 * TAIL as usize);
    if let Some(log) = log {
        let length = log.physical.unwrap_or(log.capacity);
        hypervisor.download(&pool, &name, length.saturating_sub(TAIL), &mut tail)?;
    }
    let text = String::from_utf8_lossy(&tail.bytes);
    let all: Vec<_> = text
        .lines()
        .map(without_control_sequences)
        .filter(|line| !line.is_empty())
        .collect();
    Ok(all[all.len().saturating_sub(lines)..].to_vec())
}

/// A line of a terminal without its control sequences.
fn without_control_sequences(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            // A control sequence ends with a character from `@` to `~`.
            characters.find(|c| ('@'..='~').contains(c));
        } else if !character.is_control() {
            text.push(character);
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_control_sequences;

    #[test]
    fn a_console_line_loses_its_colours() {
        assert_eq!(
            without_control_sequences("\u{1b}[0;32m  OK  \u{1b}[0m] Started ssh.\r"),
            "  OK  ] Started ssh."
        );
    }
}
