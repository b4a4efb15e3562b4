//! Machines to [`Facts`]: fixed addresses as they are configured, the others as they are leased.

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

use crate::claim::reserved;
use crate::error::told;
use crate::hypervisor::{Failure, Hosts};
use crate::observe::{HostState, Observed, PowerState, look_at_machines};
use crate::ssh::Keys;
use crate::{Error, Event, machine};

mod leaving;

pub use leaving::{Leaving, leaving};

/// How long a machine may take until it has asked for a lease. Several may boot, emulated, on one processor.
const LEASE_WAIT: Duration = Duration::from_secs(15 * 60);
/// How often libvirt is asked.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits until each machine has an address, and tells what is known of all.
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

/// As [`gather`], waiting no longer than this for a machine's lease.
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

/// As [`gather_within`], of the machines that have an address and a host key in the end, and why others have not.
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
            address(cluster, hosts, node, within, cancelled, on_event).await,
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
    while let Some((ip, error)) = taken(&nodes) {
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

/// What is known of machines without asking anybody: those whose addresses are configured.
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

/// What is known of the machines without waiting and without keys (whose fields are empty). Nothing unless the address of
/// every machine is known. Reads libvirt only.
pub fn known(cluster: &Cluster, hosts: &Hosts) -> Result<Option<Facts>, Error> {
    let known = now(cluster, hosts)?;
    let complete = known.nodes.len() == cluster.nodes.len();
    Ok(complete.then_some(known))
}

/// As [`known`], of the machines whose addresses are known now: the others are not in it, nor those of hosts that can't be reached,
/// nor those of which two claim the same address.
pub fn now(cluster: &Cluster, hosts: &Hosts) -> Result<Facts, Error> {
    let all_fixed = cluster.nodes.iter().all(|node| node.ip.is_some());
    let observed = match all_fixed {
        true => Observed::default(),
        false => look_at_machines(cluster, hosts),
    };
    let mut facts = found(cluster, &observed);
    // One machine that lies keeps nobody from the others.
    while let Some((ip, _)) = taken(&facts.nodes) {
        facts.nodes.retain(|node| node.ip != ip);
    }
    Ok(facts)
}

/// As [`known`], of the machines whose addresses are known by what was seen; an error if two claim the same one.
pub fn so_far(cluster: &Cluster, observed: &Observed) -> Result<Facts, Error> {
    let facts = found(cluster, observed);
    match taken(&facts.nodes) {
        Some((_, error)) => Err(error),
        None => Ok(facts),
    }
}

fn found(cluster: &Cluster, observed: &Observed) -> Facts {
    let mut nodes = Vec::new();
    for node in &cluster.nodes {
        let host = observed.hosts.get(&node.host);
        let ip = node.ip.or_else(|| at(cluster, host?, node));
        nodes.extend(ip.map(|ip| facts(node, ip, String::new())));
    }
    Facts {
        user: cluster.guest.user.clone(),
        private_key: PathBuf::new(),
        known_hosts: PathBuf::new(),
        nodes,
    }
}

/// Whether a machine runs (none: it is not there), and its address: a fixed one, or while it runs the one that it has.
pub type Seen = (Option<PowerState>, Option<Ipv4Addr>);

/// How each machine is, and where, of those that were seen.
pub fn seen(cluster: &Cluster, observed: &Observed) -> BTreeMap<Label, Seen> {
    let seen = cluster.nodes.iter().filter_map(|node| {
        let host = observed.hosts.get(&node.host)?;
        let power = host.domain(node.name.as_str()).map(|own| own.power);
        let ip = match power {
            Some(PowerState::Running) => at(cluster, host, node),
            _ => node.ip,
        };
        Some((node.name.clone(), (power, ip)))
    });
    seen.collect()
}

/// The address of a machine as far as it is certain: configured, reserved, or leased to it while it runs.
fn at(cluster: &Cluster, host: &HostState, node: &Node) -> Option<Ipv4Addr> {
    node.ip
        .or_else(|| host.reserved(cluster, node.mac))
        .or_else(|| host.leased(cluster, &node.name, node.mac))
}

/// An address that two machines have, and the error of that.
fn taken(nodes: &[NodeFacts]) -> Option<(Ipv4Addr, Error)> {
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

/// What is known, without its key, of a machine that may not exist yet: only if its address is configured.
pub fn fixed(node: &Node) -> Option<NodeFacts> {
    Some(facts(node, node.ip?, String::new()))
}

/// What is known of machines that may not exist yet: those whose addresses are configured.
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

/// The address that a machine has for certain: configured, reserved, or leased to it while it runs.
fn kept(cluster: &Cluster, hosts: &Hosts, node: &Node) -> Result<Option<Ipv4Addr>, Error> {
    if node.ip.is_some() {
        return Ok(node.ip);
    }
    let host = hosts.get(&node.host)?.as_ref();
    let look = || {
        let networks = host.networks()?;
        if let Some(ip) = reserved(cluster, &networks, node.mac) {
            return Ok(Some(ip));
        }
        match host.domain_state(&node.name)?.map(|domain| domain.power) {
            Some(PowerState::Running) => machine::leased(cluster, host, &networks, node),
            _ => Ok(None),
        }
    };
    look().map_err(|failure: Failure| failure.on(&node.host))
}

/// The address of one machine, waited for.
async fn address(
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
    let waits = |why: &str| {
        on_event(Event::Waiting {
            what: what.clone(),
            why: why.to_owned(),
        });
    };
    let result = leased(cluster, hosts, node, within, cancelled, &waits).await;
    on_event(Event::ended(what, &result));
    result
}

async fn leased(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
    within: Duration,
    cancelled: &AtomicBool,
    waits: &(dyn Fn(&str) + Send + Sync),
) -> Result<Ipv4Addr, Error> {
    let end = Instant::now() + within;
    let mut said = String::new();
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        // libvirt blocks, and others are waited for in this task.
        let (cluster_, hosts_, node_) = (cluster.clone(), hosts.clone(), node.clone());
        let asked = tokio::task::spawn_blocking(move || kept(&cluster_, &hosts_, &node_));
        let last = match tokio::time::timeout_at(end, asked).await {
            Ok(Ok(Ok(Some(ip)))) => return Ok(ip),
            Ok(Ok(Ok(None))) => "no lease and no answer of its agent yet".to_owned(),
            // libvirt may be restarted meanwhile.
            Ok(Ok(Err(error))) => told(&error),
            Ok(Err(error)) => error.to_string(),
            Err(_) if said.is_empty() => format!("host {} does not answer", node.host),
            Err(_) => said.clone(),
        };
        if last != said {
            waits(&last);
            said.clone_from(&last);
        }
        if Instant::now() >= end {
            return Err(no_address(cluster, hosts, node, within, &last).await);
        }
        tokio::time::sleep(PAUSE.min(within)).await;
    }
}

/// That a machine has no address in time, with the last lines of its console.
async fn no_address(
    cluster: &Cluster,
    hosts: &Hosts,
    node: &Node,
    within: Duration,
    last: &str,
) -> Error {
    let (cluster, hosts, own) = (cluster.name.clone(), hosts.clone(), node.clone());
    let console = tokio::task::spawn_blocking(move || machine::evidence(&hosts, &cluster, &own));
    let console = console.await.unwrap_or_default().into_iter();
    Error::Timeout {
        what: format!("an address of {}", node.name),
        after: within,
        evidence: std::iter::once(format!("last answer: {last}"))
            .chain(console.map(|line| format!("console: {line}")))
            .collect(),
    }
}
