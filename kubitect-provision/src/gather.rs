//! From machines to [`Facts`]: addresses are those that the configuration fixes, else those that DHCP has leased.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::waiting::at_most;
use kubitect_config::{Cluster, Facts, NodeFacts};
use tokio::time::Instant;

use crate::claim::reserved_address;
use crate::error::chain;
use crate::hypervisor::{Failure, Hosts};
use crate::observe::{HostState, Observed, PowerState, observe_machines};
use crate::ssh::Keys;
use crate::{Error, Event, machine};

mod leaving;

pub use leaving::{Leaving, leaving};

/// The longest wait for a machine's DHCP lease. Several machines may boot, emulated, on one processor.
const LEASE_WAIT: Duration = Duration::from_secs(15 * 60);
/// The time between two questions to libvirt.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits until each machine has an address, and returns the facts of all.
///
/// Must run on a Tokio runtime. Reads only: [`machine::reserve`] makes the leases permanent.
pub async fn gather(
    cluster: &Cluster,
    hosts: &Hosts,
    keys: &Keys,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<Facts, Error> {
    gather_within(cluster, hosts, keys, LEASE_WAIT, cancelled, on_event).await
}

/// As [`gather`], waiting at most `within` for a machine's lease.
pub async fn gather_within(
    cluster: &Cluster,
    hosts: &Hosts,
    keys: &Keys,
    within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<Facts, Error> {
    let each = gather_each(cluster, hosts, keys, within, cancelled, on_event);
    let (facts, errors) = each.await?;
    Error::of_machines(errors).map(|()| facts)
}

/// As [`gather_within`]: the facts of the machines that have an address and a host key in time, and an error for each other one.
pub(crate) async fn gather_each(
    cluster: &Cluster,
    hosts: &Hosts,
    keys: &Keys,
    within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(Facts, Vec<Error>), Error> {
    let waits = cluster.nodes.iter().map(|node| async move {
        (
            node,
            wait_for_address(cluster, hosts, node, within, cancelled, on_event).await,
        )
    });
    let mut nodes = Vec::new();
    let mut errors = Vec::new();
    for (node, result) in at_most(usize::MAX, waits).await {
        match result.map(|ip| (ip, keys.host_key_line(&node.name))) {
            Ok((ip, Some(host_key))) => nodes.push(facts(node, ip, host_key)),
            Ok((_, None)) => errors.push(keys.no_host_key(&node.name)),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => errors.push(error),
        }
    }
    while let Some((ip, error)) = duplicate_address(&nodes) {
        nodes.retain(|node| node.ip != ip);
        errors.push(error);
    }
    let facts = Facts {
        user: cluster.guest.user.clone(),
        private_key: keys.private_key_path().to_owned(),
        known_hosts: keys.known_hosts_path(),
        nodes,
    };
    Ok((facts, errors))
}

/// The facts of the machines whose addresses are configured. Asks neither hosts nor machines.
pub fn configured(cluster: &Cluster, keys: &Keys) -> Facts {
    let nodes = cluster.nodes.iter();
    let nodes =
        nodes.filter_map(|node| Some(facts(node, node.ip?, keys.host_key_line(&node.name)?)));
    Facts {
        user: cluster.guest.user.clone(),
        private_key: keys.private_key_path().to_owned(),
        known_hosts: keys.known_hosts_path(),
        nodes: nodes.collect(),
    }
}

/// The facts of all machines, without waiting and without keys (whose fields are empty); none unless the address of every machine
/// is known. Reads libvirt only.
pub fn complete_facts(cluster: &Cluster, hosts: &Hosts) -> Result<Option<Facts>, Error> {
    let facts = available_facts(cluster, hosts)?;
    let complete = facts.nodes.len() == cluster.nodes.len();
    Ok(complete.then_some(facts))
}

/// As [`complete_facts`], without the machines whose addresses are not known: those without a lease, those on hosts that can't be
/// reached, and those of which two claim the same address.
pub fn available_facts(cluster: &Cluster, hosts: &Hosts) -> Result<Facts, Error> {
    let all_fixed = cluster.nodes.iter().all(|node| node.ip.is_some());
    let observed = match all_fixed {
        true => Observed::default(),
        false => observe_machines(cluster, hosts),
    };
    let mut facts = facts_of(cluster, &observed);
    // A machine that claims another's address must not make the rest unreachable.
    while let Some((ip, _)) = duplicate_address(&facts.nodes) {
        facts.nodes.retain(|node| node.ip != ip);
    }
    Ok(facts)
}

/// As [`available_facts`], from what was observed; an error if two machines claim the same address.
pub fn observed_facts(cluster: &Cluster, observed: &Observed) -> Result<Facts, Error> {
    let facts = facts_of(cluster, observed);
    match duplicate_address(&facts.nodes) {
        Some((_, error)) => Err(error),
        None => Ok(facts),
    }
}

fn facts_of(cluster: &Cluster, observed: &Observed) -> Facts {
    let mut nodes = Vec::new();
    for node in &cluster.nodes {
        let host = observed.hosts.get(&node.host);
        let ip = node.ip.or_else(|| observed_address(cluster, host?, node));
        nodes.extend(ip.map(|ip| facts(node, ip, String::new())));
    }
    Facts {
        user: cluster.guest.user.clone(),
        private_key: PathBuf::new(),
        known_hosts: PathBuf::new(),
        nodes,
    }
}

/// The power state of a machine (none: it does not exist), and its address: the configured one, or that which it has while it
/// runs.
pub type PowerAndAddress = (Option<PowerState>, Option<Ipv4Addr>);

/// The power state and address of each machine whose host was observed.
pub fn observed_machines(
    cluster: &Cluster,
    observed: &Observed,
) -> BTreeMap<Label, PowerAndAddress> {
    let machines = cluster.nodes.iter().filter_map(|node| {
        let host = observed.hosts.get(&node.host)?;
        let power = host.domain(node.name.as_str()).map(|domain| domain.power);
        let ip = match power {
            Some(PowerState::Running) => observed_address(cluster, host, node),
            _ => node.ip,
        };
        Some((node.name.clone(), (power, ip)))
    });
    machines.collect()
}

/// The address that a machine certainly has, from what was observed: configured, reserved, or leased to it while it runs.
fn observed_address(cluster: &Cluster, host: &HostState, node: &Node) -> Option<Ipv4Addr> {
    node.ip
        .or_else(|| host.reserved_address(cluster, node.mac))
        .or_else(|| host.leased_address(cluster, &node.name, node.mac))
}

/// The first address that two machines have, and the error about it.
fn duplicate_address(nodes: &[NodeFacts]) -> Option<(Ipv4Addr, Error)> {
    let mut by_address = BTreeMap::new();
    nodes.iter().find_map(|node| {
        let first = by_address.insert(node.ip, &node.name)?;
        let error = Error::AddressTaken {
            ip: node.ip,
            first: first.to_string(),
            second: node.name.to_string(),
        };
        Some((node.ip, error))
    })
}

/// The facts, without key, of a machine that need not exist yet; none unless its address is configured.
pub fn fixed(node: &Node) -> Option<NodeFacts> {
    Some(facts(node, node.ip?, String::new()))
}

/// The facts, without keys, of the machines whose addresses are configured. They need not exist yet.
pub fn all_fixed(cluster: &Cluster) -> Facts {
    Facts {
        user: cluster.guest.user.clone(),
        private_key: PathBuf::new(),
        known_hosts: PathBuf::new(),
        nodes: cluster.nodes.iter().filter_map(fixed).collect(),
    }
}

fn facts(node: &Node, ip: Ipv4Addr, host_key: String) -> NodeFacts {
    NodeFacts {
        name: node.name.clone(),
        role: node.role,
        id: node.id.clone(),
        host: node.host.clone(),
        ip,
        mac: node.mac,
        host_key,
    }
}

/// As [`observed_address`], asking libvirt now.
fn current_address(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
) -> Result<Option<Ipv4Addr>, Error> {
    if node.ip.is_some() {
        return Ok(node.ip);
    }
    let host = hosts.get(&node.host)?.as_ref();
    let ask = || {
        let networks = host.networks()?;
        if let Some(ip) = reserved_address(cluster, &networks, node.mac) {
            return Ok(Some(ip));
        }
        match host.domain_state(&node.name)?.map(|domain| domain.power) {
            Some(PowerState::Running) => machine::leased(cluster, host, &networks, node),
            _ => Ok(None),
        }
    };
    ask().map_err(|failure: Failure| failure.on(&node.host))
}

/// Waits for the address of one machine, with events.
async fn wait_for_address(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
    within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<Ipv4Addr, Error> {
    if let Some(ip) = node.ip {
        return Ok(ip);
    }
    let what = format!("wait for an address of {}", node.name);
    on_event(Event::Started { what: what.clone() });
    let on_wait = |why: &str| {
        on_event(Event::Waiting {
            what: what.clone(),
            why: why.to_owned(),
        });
    };
    let result = poll_address(cluster, hosts, node, within, cancelled, &on_wait).await;
    on_event(Event::ended(what, &result));
    result
}

/// Asks for the address of a machine until it has one or the time is over.
async fn poll_address(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
    within: Duration,
    cancelled: &AtomicBool,
    on_wait: &(dyn Fn(&str) + Send + Sync),
) -> Result<Ipv4Addr, Error> {
    let end = Instant::now() + within;
    let mut reported = String::new();
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        // In another thread: libvirt blocks, and this task waits for other machines, too.
        let (cluster_, hosts_, node_) = (cluster.clone(), hosts.clone(), node.clone());
        let asked =
            tokio::task::spawn_blocking(move || current_address(&cluster_, &hosts_, &node_));
        let reason = match tokio::time::timeout_at(end, asked).await {
            Ok(Ok(Ok(Some(ip)))) => return Ok(ip),
            Ok(Ok(Ok(None))) => "no lease and no answer of its agent yet".to_owned(),
            // Not final: libvirt may be restarting.
            Ok(Ok(Err(error))) => chain(&error),
            Ok(Err(error)) => error.to_string(),
            Err(_) if reported.is_empty() => format!("host {} does not answer", node.host),
            Err(_) => reported.clone(),
        };
        if reason != reported {
            on_wait(&reason);
            reported.clone_from(&reason);
        }
        if Instant::now() >= end {
            return Err(no_address(cluster, hosts, node, within, &reason).await);
        }
        tokio::time::sleep(PAUSE.min(within)).await;
    }
}

/// The error that a machine got no address in time, with the last lines of its console.
async fn no_address(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
    within: Duration,
    last: &str,
) -> Error {
    let (cluster, hosts, machine) = (cluster.name.clone(), hosts.clone(), node.clone());
    let console =
        tokio::task::spawn_blocking(move || machine::evidence(&hosts, &cluster, &machine));
    let console = console.await.unwrap_or_default().into_iter();
    Error::Timeout {
        what: format!("an address of {}", node.name),
        after: within,
        evidence: std::iter::once(format!("last answer: {last}"))
            .chain(console.map(|line| format!("console: {line}")))
            .collect(),
    }
}
