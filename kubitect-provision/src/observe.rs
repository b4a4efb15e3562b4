//! [`observe()`]: reads the state of the hosts, once.

use std::collections::BTreeMap;

use kubitect_config::value::Label;
use kubitect_config::waiting::in_threads;
use kubitect_config::{Cluster, text};

use crate::error::{Error, chain};
use crate::hypervisor::{Failure, Hosts, Hypervisor};

pub use crate::state::{
    Added, Capability, DomainState, HostState, Live, NetworkState, Nic, Observed, PoolState,
    PowerState, VolumeState,
};
pub(crate) use crate::state::{is_relevant_pool, range};

/// The notes of machines, by their names; none for a machine without a note.
pub type Notes = BTreeMap<Label, Option<String>>;

/// How many machines of a host are asked for their addresses in parallel: libvirt carries out only a few calls of one connection in
/// parallel, and an agent may be slow.
const PER_HOST: usize = 4;

/// Observes all hosts, in parallel; an error if one can't be reached. Pools of the cluster are refreshed first: libvirt's list of
/// volumes may be older than the folder.
pub fn observe(cluster: &Label, hosts: &Hosts) -> Result<Observed, Error> {
    of_all_hosts(hosts, |host| host_state(cluster, host))
}

/// As [`observe()`], with addresses that only leases and guest agents tell, of the cluster's running machines. Does not wait for a
/// lease.
pub fn observe_with_addresses(cluster: &Cluster, hosts: &Hosts) -> Result<Observed, Error> {
    of_all_hosts(hosts, |host| {
        let mut state = host_state(&cluster.name, host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// As [`observe_with_addresses`], of the hosts that can be reached. Where one can't, no plan may be made from this.
pub fn observe_reachable(cluster: &Cluster, hosts: &Hosts) -> Observed {
    of_reachable_hosts(hosts, |host| {
        let mut state = host_state(&cluster.name, host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// As [`observe_reachable`], without pools and capabilities. Those stay empty, so that no plan may be made from this.
pub(crate) fn observe_machines(cluster: &Cluster, hosts: &Hosts) -> Observed {
    of_reachable_hosts(hosts, |host| {
        let mut state = domains_and_networks(host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// Reads the state of all hosts, in parallel.
fn of_all_hosts(
    hosts: &Hosts,
    read: impl Fn(&dyn Hypervisor) -> Result<HostState, Failure> + Sync,
) -> Result<Observed, Error> {
    let states = hosts.ask(|_, host| read(host))?;
    let named = states
        .into_iter()
        .map(|(name, state)| (name.clone(), state));
    Ok(Observed {
        hosts: named.collect(),
        ..Observed::default()
    })
}

/// Reads the state of the hosts that answer, in parallel, and why others do not.
fn of_reachable_hosts(
    hosts: &Hosts,
    read: impl Fn(&dyn Hypervisor) -> Result<HostState, Failure> + Sync,
) -> Observed {
    let mut observed = Observed::default();
    for (name, state) in hosts.ask_each(|_, host| read(host)) {
        match state {
            Ok(state) => drop(observed.hosts.insert(name.clone(), state)),
            Err(why) => drop(observed.away.insert(name.clone(), text::line(&chain(&why)))),
        }
    }
    observed
}

impl Observed {
    /// A sentence for each host that could not be reached.
    pub fn problems(&self) -> Vec<String> {
        let away = self.away.iter();
        away.map(|(host, why)| {
            format!("host {host} can't be reached, so that its machines are unknown: {why}")
        })
        .collect()
    }
}

/// The notes of a cluster's machines on the hosts that can be reached.
pub(crate) fn notes(cluster: &Label, hosts: &Hosts) -> Notes {
    let observed = of_reachable_hosts(hosts, |host| {
        Ok(HostState {
            domains: host.domains()?,
            ..HostState::default()
        })
    });
    observed.notes(cluster)
}

/// A host's domains and networks.
fn domains_and_networks(hypervisor: &dyn Hypervisor) -> Result<HostState, Failure> {
    // The shorter list first: so it takes less time to find out that a host hangs.
    let networks = hypervisor.networks()?;
    let mut domains = hypervisor.domains()?;
    // libvirt lists them in no order; sorted, the same state always gives the same plan.
    domains.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(HostState {
        networks,
        domains,
        ..HostState::default()
    })
}

/// A host's state, without addresses.
fn host_state(cluster: &Label, hypervisor: &dyn Hypervisor) -> Result<HostState, Failure> {
    for pool in hypervisor.started_pools()? {
        // libvirt refuses to refresh a pool in use, as during an upload: then its own list has to do.
        if is_relevant_pool(&pool, cluster)
            && let Err(failure) = hypervisor.refresh_pool(&pool)
        {
            if failure.is_unanswered() {
                return Err(failure);
            }
            tracing::debug!(pool, error = %failure.source, "pool not refreshed");
        }
    }
    Ok(HostState {
        capability: hypervisor.capability()?,
        pools: hypervisor.pools()?,
        ..domains_and_networks(hypervisor)?
    })
}

/// Asks for the addresses of the machines that run and have neither a fixed nor a reserved one.
fn ask_addresses(cluster: &Cluster, hypervisor: &dyn Hypervisor, state: &mut HostState) {
    let needs_lookup = |domain: &&DomainState| {
        let Some(mark) = domain.mark.as_ref().filter(|_| domain.is_of(&cluster.name)) else {
            return false;
        };
        let node = cluster
            .nodes
            .iter()
            .find(|node| domain.name == node.name.as_str());
        let fixed = node.map_or(mark.address, |node| node.ip);
        let mac = node.map_or_else(|| domain.mac(), |node| node.mac);
        domain.power == PowerState::Running
            && fixed
                .or_else(|| state.reserved_address(cluster, mac))
                .is_none()
    };
    let names = state.domains.iter().filter(needs_lookup);
    let names: Vec<Label> = names.filter_map(|own| own.name.parse().ok()).collect();
    let answers = in_threads(PER_HOST, &names, |name| hypervisor.addresses(name));
    for (name, answer) in names.iter().zip(answers) {
        // An agent that hangs, or a machine that was just switched off, must not make the whole observation fail.
        let answer = answer.unwrap_or_else(|failure| {
            tracing::debug!(%name, error = %failure.source, "no addresses told");
            Vec::new()
        });
        state.addresses.insert(name.to_string(), answer);
    }
}
