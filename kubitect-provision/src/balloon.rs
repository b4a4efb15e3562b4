//! Machines whose memory balloon a person has inflated (`virsh setmem --live`). It is not undone, since the cluster file says nothing
//! about it; a plan only mentions it. Pure.

use kubitect_config::Cluster;

use crate::observe::{DomainState, Live, Observed};

/// A sentence for each running machine that has less memory than its definition.
pub fn remarks(cluster: &Cluster, observed: &Observed) -> Vec<String> {
    let remark_on = |node: &kubitect_config::cluster::Node| {
        let host = observed.hosts.get(&node.host)?;
        let domain = host.domain(node.name.as_str())?;
        let domain = Some(domain).filter(|domain| domain.is_of(&cluster.name))?;
        remark(domain)
    };
    cluster.nodes.iter().filter_map(remark_on).collect()
}

/// The memory that a running machine has now, in MiB: what its balloon leaves to it.
pub(crate) fn available_mib(live: &Live) -> u64 {
    live.memory_mib.min(live.balloon_mib.unwrap_or(u64::MAX))
}

fn remark(domain: &DomainState) -> Option<String> {
    let live = domain.live.as_ref()?;
    let (name, has, all) = (&domain.name, available_mib(live), live.memory_mib);
    (has < all).then(|| {
        format!(
            "{name} has {has} of its {all} MiB of memory, because its balloon was set so (virsh setmem --live); nothing changes that \
             but its next restart, or `virsh setmem {name} {all}M --live` on its host"
        )
    })
}
