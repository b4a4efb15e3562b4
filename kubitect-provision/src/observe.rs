//! [`observe()`]: the hosts are looked at, once.

use kubitect_config::value::Label;

use crate::error::Error;
use crate::hypervisor::{Failure, Hosts, Hypervisor};

pub(crate) use crate::state::range;
pub use crate::state::{
    Capability, DomainState, HostState, Live, NetworkState, Nic, Observed, PoolState, PowerState,
    VolumeState,
};

/// Looks at all hosts, side by side. Pools that concern the cluster are read anew from their folders.
pub fn observe(cluster: &Label, hosts: &Hosts) -> Result<Observed, Error> {
    let looks = hosts.ask(|_, host| look(cluster, host))?;
    let named = looks.into_iter().map(|(name, state)| (name.clone(), state));
    Ok(Observed {
        hosts: named.collect(),
    })
}

/// Looks at one host.
fn look(cluster: &Label, hypervisor: &dyn Hypervisor) -> Result<HostState, Failure> {
    let mut pools = hypervisor.pools()?;
    let mut refreshed = false;
    for pool in pools.iter().filter(|p| p.active && p.concerns(cluster)) {
        // An upload or another run may hold the pool; then libvirt's own view is as new as it gets.
        if let Err(failure) = hypervisor.refresh_pool(&pool.name) {
            tracing::debug!(pool = pool.name, error = %failure.source, "pool not refreshed");
        }
        refreshed = true;
    }
    if refreshed {
        pools = hypervisor.pools()?;
    }
    let mut domains = hypervisor.domains()?;
    // libvirt lists them in no order, and machines are made side by side: a plan of the same things reads the same.
    domains.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(HostState {
        capability: hypervisor.capability()?,
        networks: hypervisor.networks()?,
        pools,
        domains,
    })
}
