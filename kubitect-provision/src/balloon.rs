//! Machines whose balloons a person has inflated (`virsh setmem --live`): it is no change of the file's and is not undone, and a plan
//! says it. Pure.

use kubitect_config::Cluster;

use crate::observe::{DomainState, Live, Observed};

/// A sentence of each machine that has less memory than it is defined with, while it runs.
pub fn remarks(cluster: &Cluster, observed: &Observed) -> Vec<String> {
    let said = |node: &kubitect_config::cluster::Node| {
        let there = observed.hosts.get(&node.host)?;
        let domain = there.domain(node.name.as_str())?;
        let domain = Some(domain).filter(|domain| domain.is_of(&cluster.name))?;
        remark(domain)
    };
    cluster.nodes.iter().filter_map(said).collect()
}

/// The memory that a machine has of its host now, in MiB.
pub(crate) fn has_mib(live: &Live) -> u64 {
    live.memory_mib.min(live.balloon_mib.unwrap_or(u64::MAX))
}

fn remark(domain: &DomainState) -> Option<String> {
    let live = domain.live.as_ref()?;
    let (name, has, all) = (&domain.name, has_mib(live), live.memory_mib);
    (has < all).then(|| {
        format!(
            "{name} has {has} of its {all} MiB of memory, because its balloon was set so (virsh setmem --live); nothing changes that \
             but its next restart, or `virsh setmem {name} {all}M --live` on its host"
        )
    })
}
