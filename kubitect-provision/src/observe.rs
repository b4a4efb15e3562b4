//! [`observe()`]: the hosts are looked at, once.

use std::collections::BTreeMap;

use kubitect_config::value::Label;
use kubitect_config::waiting::in_threads;
use kubitect_config::{Cluster, text};

use crate::error::{Error, told};
use crate::hypervisor::{Failure, Hosts, Hypervisor};

pub use crate::state::{
    Added, Capability, DomainState, HostState, Live, NetworkState, Nic, Observed, PoolState,
    PowerState, VolumeState,
};
pub(crate) use crate::state::{concerns, range};

/// What was noted of machines, by their names; none: nothing.
pub type Notes = BTreeMap<Label, Option<String>>;

/// How many machines of a host are asked for their addresses at the same time: libvirt carries out only a few calls of one
/// connection side by side, and an agent may take its time.
const PER_HOST: usize = 4;

/// Looks at all hosts, side by side. Pools that concern the cluster are read anew from their folders.
pub fn observe(cluster: &Label, hosts: &Hosts) -> Result<Observed, Error> {
    of_hosts(hosts, |host| whole(cluster, host))
}

/// As [`observe()`], with the addresses that only leases and agents tell, of the machines that are wanted and of those that
/// leave. Waits for no lease.
pub fn look(cluster: &Cluster, hosts: &Hosts) -> Result<Observed, Error> {
    of_hosts(hosts, |host| {
        let mut state = whole(&cluster.name, host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// As [`look`], of the hosts that can be seen. Where any is away, nothing is to be planned from it.
pub fn look_around(cluster: &Cluster, hosts: &Hosts) -> Observed {
    of_each(hosts, |host| {
        let mut state = whole(&cluster.name, host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// As [`look_around`], without pools and what a host can do: those stay empty, so that nothing can be planned from it.
pub(crate) fn look_at_machines(cluster: &Cluster, hosts: &Hosts) -> Observed {
    of_each(hosts, |host| {
        let mut state = machines(host)?;
        ask_addresses(cluster, host, &mut state);
        Ok(state)
    })
}

/// All hosts, side by side.
fn of_hosts(
    hosts: &Hosts,
    look: impl Fn(&dyn Hypervisor) -> Result<HostState, Failure> + Sync,
) -> Result<Observed, Error> {
    let looks = hosts.ask(|_, host| look(host))?;
    let named = looks.into_iter().map(|(name, state)| (name.clone(), state));
    Ok(Observed {
        hosts: named.collect(),
        ..Observed::default()
    })
}

/// All hosts, side by side: those that answer, and why others do not.
fn of_each(
    hosts: &Hosts,
    look: impl Fn(&dyn Hypervisor) -> Result<HostState, Failure> + Sync,
) -> Observed {
    let mut observed = Observed::default();
    for (name, look) in hosts.ask_each(|_, host| look(host)) {
        match look {
            Ok(state) => drop(observed.hosts.insert(name.clone(), state)),
            Err(why) => drop(observed.away.insert(name.clone(), text::line(&told(&why)))),
        }
    }
    observed
}

impl Observed {
    /// A sentence for each host that was not seen.
    pub fn problems(&self) -> Vec<String> {
        let away = self.away.iter();
        away.map(|(host, why)| {
            format!("host {host} can't be reached, so that its machines are unknown: {why}")
        })
        .collect()
    }
}

/// What was noted of each of a cluster's machines that can be seen.
pub(crate) fn notes(cluster: &Label, hosts: &Hosts) -> Notes {
    let observed = of_each(hosts, |host| {
        Ok(HostState {
            domains: host.domains()?,
            ..HostState::default()
        })
    });
    observed.notes(cluster)
}

/// A host's domains and networks.
fn machines(hypervisor: &dyn Hypervisor) -> Result<HostState, Failure> {
    // First what is short: a host that hangs is known to soon.
    let networks = hypervisor.networks()?;
    let mut domains = hypervisor.domains()?;
    // libvirt lists them in no order, and machines are made side by side: a plan of the same things reads the same.
    domains.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(HostState {
        networks,
        domains,
        ..HostState::default()
    })
}

/// A whole host.
fn whole(cluster: &Label, hypervisor: &dyn Hypervisor) -> Result<HostState, Failure> {
    for pool in hypervisor.started_pools()? {
        // An upload or another run may hold the pool; then libvirt's own view is as new as it gets.
        if concerns(&pool, cluster)
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
        ..machines(hypervisor)?
    })
}

/// Asks for the addresses that nothing else tells. The machines that run may have one.
fn ask_addresses(cluster: &Cluster, hypervisor: &dyn Hypervisor, state: &mut HostState) {
    let is_open = |domain: &&DomainState| {
        let Some(mark) = domain.mark.as_ref().filter(|_| domain.is_of(&cluster.name)) else {
            return false;
        };
        let wanted = cluster
            .nodes
            .iter()
            .find(|node| domain.name == node.name.as_str());
        let fixed = wanted.map_or(mark.address, |node| node.ip);
        let mac = wanted.map_or_else(|| domain.mac(), |node| node.mac);
        domain.power == PowerState::Running
            && fixed.or_else(|| state.reserved(cluster, mac)).is_none()
    };
    let names = state.domains.iter().filter(is_open);
    let names: Vec<Label> = names.filter_map(|own| own.name.parse().ok()).collect();
    let answers = in_threads(PER_HOST, &names, |name| hypervisor.addresses(name));
    for (name, answer) in names.iter().zip(answers) {
        // An agent that hangs, or a machine that has just gone off, hides no other machine.
        let answer = answer.unwrap_or_else(|failure| {
            tracing::debug!(%name, error = %failure.source, "no addresses told");
            Vec::new()
        });
        state.addresses.insert(name.to_string(), answer);
    }
}
