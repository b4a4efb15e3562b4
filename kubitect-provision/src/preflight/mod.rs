//! Checks hosts against a plan before anything is created.
//!
//! libvirt is not asked again: what was observed for the plan says what hosts have. The decisions are pure (`capacity`,
//! `local::forwarding`); the rest reads this machine and changes nothing. A failure that is certain is an error; one that is only
//! possible is a warning, because guests rarely use all memory and disk space that they are given.

mod capacity;
mod finding;
mod local;
mod probe;

pub use finding::{Finding, FindingKind, of_cluster, of_this_machine};
pub use probe::Answers;
pub(crate) use probe::answers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kubitect_config::cluster::{Host, NetworkMode, VirtType};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Severity};

use crate::balloon;
use crate::change::Step;
use crate::observe::{DomainState, HostState, Observed, PoolState};
use crate::plan::Plan;
use crate::resource::{BASE_POOL, Domain, Pool};
use crate::trust::TrustedUsers;

/// A machine that the plan starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartedMachine {
    /// Its name.
    pub name: String,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its virtual processors.
    pub vcpus: u32,
    /// The memory with which it is defined now, in MiB; 0: it is new.
    pub defined_mib: u64,
    /// The memory that it has while it is on, also paused, in MiB: a restart frees it first. 0: it is off.
    pub live_mib: u64,
}

/// What the plan asks of a host, and what the host has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demand {
    /// The machines that the plan starts.
    pub machines: Vec<StartedMachine>,
    /// The memory of the cluster's other machines that are on there, in MiB.
    pub other_machines_mib: u64,
    /// For each folder: the bytes that each new or larger disk may take, and the free bytes, if known.
    pub folders: BTreeMap<PathBuf, (Vec<u64>, Option<u64>)>,
    /// The processors of the host.
    pub cpus: u32,
    /// The memory of the host, in MiB.
    pub memory_mib: u64,
    /// The free memory of the host, in MiB, if known.
    pub memory_free_mib: Option<u64>,
}

/// What prevents the plan on the hosts that it changes, or may prevent it, from what was observed: errors first. On this machine,
/// disks may only lie in folders of this process's user and of root.
pub fn check(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Vec<Finding> {
    check_for(cluster, observed, plan, &TrustedUsers::new(None), &answers)
}

/// As [`check`], where disks may lie in folders of these users, and `answers` says whether an address is in use.
pub fn check_for(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    users: &TrustedUsers,
    answers: Answers<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in cluster.used_hosts() {
        let changes = plan.changes.iter().filter(|c| c.host == host.name);
        let steps: Vec<_> = changes.map(|change| &change.step).collect();
        if let Some(state) = observed.hosts.get(&host.name).filter(|_| !steps.is_empty()) {
            findings.extend(check_host(cluster, host, state, &steps, users));
        }
    }
    findings.extend(probe::addresses_in_use(cluster, plan, answers));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn check_host(
    cluster: &Cluster,
    host: &Host,
    state: &HostState,
    steps: &[&Step],
    users: &TrustedUsers,
) -> Vec<Finding> {
    let HostState {
        capability,
        pools,
        domains,
        ..
    } = state;
    let machines = machines_to_start(steps, domains);
    let mut findings = Vec::new();
    if host.connection.is_local() {
        findings.extend(local::folders(
            &host.name,
            &new_pool_folders(cluster, host, pools),
        ));
        findings.extend(local::untrusted_folders(
            &host.name,
            &used_folders(cluster, host, pools),
            users,
        ));
        match cluster.network.mode {
            NetworkMode::Bridge => {
                findings.extend(local::bridge(&host.name, cluster.network.bridge.as_deref()))
            }
            NetworkMode::Nat | NetworkMode::Route => findings.extend(local::firewall(&host.name)),
        }
    }
    let emulated = !capability.virt.iter().any(|virt| virt == "kvm");
    if !machines.is_empty() && emulated && host.virt_type != VirtType::Qemu {
        findings.push(no_kvm(host));
    }
    findings.extend(capacity::findings(
        &host.name,
        &Demand {
            other_machines_mib: other_machines_mib(cluster, steps, domains, &machines),
            machines,
            folders: disk_demand(cluster, host, steps, pools),
            cpus: capability.cpus,
            memory_mib: capability.memory_mib,
            memory_free_mib: capability.memory_free_mib,
        },
    ));
    findings
}

/// The machines that these steps start, with their memory before and after.
fn machines_to_start(steps: &[&Step], domains: &[DomainState]) -> Vec<StartedMachine> {
    let machine = |name: &Label, wanted: Option<&Domain>| {
        let existing = domains.iter().find(|domain| domain.name == name.as_str());
        let live = existing.and_then(|domain| domain.live.as_ref());
        let wanted = wanted.map(|wanted| (wanted.memory_mib, wanted.vcpus));
        let (memory_mib, vcpus) =
            wanted.or_else(|| existing.map(|domain| (domain.memory_mib, domain.vcpus)))?;
        Some(StartedMachine {
            name: name.to_string(),
            memory_mib,
            vcpus,
            defined_mib: existing.map_or(0, |domain| domain.memory_mib),
            live_mib: live.map_or(0, balloon::available_mib),
        })
    };
    let started = steps.iter().filter_map(|step| match step {
        Step::CreateDomain(domain) | Step::RecoverDomain(domain) | Step::Redefine(domain) => {
            machine(&domain.name, Some(domain))
        }
        Step::StartDomain(name) => machine(name, None),
        _ => None,
    });
    started.collect()
}

/// The memory of the cluster's machines that are on and that these steps neither start nor remove.
fn other_machines_mib(
    cluster: &Cluster,
    steps: &[&Step],
    domains: &[DomainState],
    machines: &[StartedMachine],
) -> u64 {
    let is_removed = |name: &str| {
        let mut steps = steps.iter();
        steps.any(|step| matches!(step, Step::RemoveDomain(removed) if removed.as_str() == name))
    };
    let others = domains.iter().filter(|domain| {
        let starts = machines.iter().any(|machine| machine.name == domain.name);
        domain.is_of(&cluster.name) && domain.live.is_some() && !starts && !is_removed(&domain.name)
    });
    others.map(|domain| domain.memory_mib).sum()
}

fn no_kvm(host: &Host) -> Finding {
    let (severity, message) = match host.virt_type {
        VirtType::Kvm => (
            Severity::Error,
            "its libvirt offers no KVM, which virtType asks for",
        ),
        VirtType::Auto | VirtType::Qemu => (
            Severity::Warning,
            "its libvirt offers no KVM, so machines are emulated: slow",
        ),
    };
    let help = "enable virtualisation in the firmware and load kvm_intel or kvm_amd, or say virtType: qemu";
    Finding::new(FindingKind::Kvm, severity, &host.name, message, help)
}

/// The folders of the pools that the cluster uses or will use, also of the pool of base images.
fn used_folders(cluster: &Cluster, host: &Host, pools: &[PoolState]) -> Vec<PathBuf> {
    let mut names = vec![
        (cluster.main_pool_name(), &host.main_pool_path),
        (BASE_POOL.to_owned(), &host.main_pool_path),
    ];
    for pool in &host.data_pools {
        names.push((cluster.data_pool_name(&pool.name), &pool.path));
    }
    let mut folders = Vec::new();
    for (name, path) in names {
        let existing = pools.iter().find(|pool| pool.name == name);
        let pool_folder = existing
            .and_then(|pool| pool.path.clone())
            .unwrap_or_else(|| Pool::under(path, &name).path);
        folders.extend([path.clone(), pool_folder]);
    }
    folders.sort();
    folders.dedup();
    folders
}

/// The folders in which pools will be created or started: those without an active pool of the cluster.
fn new_pool_folders(cluster: &Cluster, host: &Host, pools: &[PoolState]) -> Vec<PathBuf> {
    let active = |name: &str| pools.iter().any(|pool| pool.name == name && pool.active);
    let mut folders = Vec::new();
    if !active(&cluster.main_pool_name()) {
        folders.push(host.main_pool_path.clone());
    }
    for pool in &host.data_pools {
        let used = cluster
            .nodes
            .iter()
            .filter(|node| node.host == host.name)
            .flat_map(|node| &node.data_disks)
            .any(|disk| disk.pool == kubitect_config::cluster::DiskPool::Data(pool.name.clone()));
        if used && !active(&cluster.data_pool_name(&pool.name)) {
            folders.push(pool.path.clone());
        }
    }
    folders
}

/// By configured folder: the bytes that each new or larger disk may take, and the free bytes, if known.
fn disk_demand(
    cluster: &Cluster,
    host: &Host,
    steps: &[&Step],
    pools: &[PoolState],
) -> BTreeMap<PathBuf, (Vec<u64>, Option<u64>)> {
    let folder_of = |pool: &str| {
        host.data_pools
            .iter()
            .find(|data| cluster.data_pool_name(&data.name) == pool)
            .map_or(&host.main_pool_path, |data| &data.path)
    };
    let mut folders: BTreeMap<PathBuf, (Vec<u64>, Option<u64>)> = BTreeMap::new();
    for step in steps {
        let (pool_name, bytes) = match step {
            Step::CreateVolume { volume, .. } => (&volume.pool, volume.capacity),
            Step::GrowVolume {
                pool,
                was,
                capacity,
                ..
            } => (pool, capacity.saturating_sub(*was)),
            _ => continue,
        };
        let folder = folder_of(pool_name);
        let entry = folders.entry(folder.clone()).or_insert_with(|| {
            let active = pools
                .iter()
                .find(|pool| pool.name == *pool_name && pool.active);
            let free = match active {
                Some(pool) => Some(pool.available),
                None if host.connection.is_local() => local::free(folder),
                None => None,
            };
            (Vec::new(), free)
        });
        entry.0.push(bytes);
    }
    folders
}
