//! Checks hosts against a plan before anything is created.
//!
//! libvirt is not asked: what a plan was made from says what hosts have. What decides is pure (`capacity`, `local::forwarding`); the
//! rest looks at this machine and changes nothing. What only may go wrong is a warning: guests rarely use all that they are given.

mod capacity;
mod finding;
mod local;
mod probe;

pub use finding::{Finding, FindingKind, here, of_cluster};
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
use crate::trust::Us;

/// A machine that will be started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its virtual processors.
    pub vcpus: u32,
    /// The memory that it is defined with already, in MiB; 0: it is new.
    pub had_mib: u64,
    /// The memory that it uses already, be it paused, which it gives back before it is given more.
    pub live_mib: u64,
}

/// What the plan asks of a host, and what the host has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demand {
    /// The machines that will be started.
    pub machines: Vec<Asked>,
    /// The memory of the cluster's other machines there that are on, in MiB.
    pub others_mib: u64,
    /// The disks that will be made or grown in each folder, by what they may take in bytes, and what is free there if it is known.
    pub folders: BTreeMap<PathBuf, (Vec<u64>, Option<u64>)>,
    /// Processors of the host.
    pub cpus: u32,
    /// Memory of the host, in MiB.
    pub memory_mib: u64,
    /// Memory that nobody uses, in MiB, where it is known.
    pub memory_free_mib: Option<u64>,
}

/// All that stands in the way of a plan on the hosts that it concerns, by what was seen of them, or may: errors first. On this
/// machine, only folders of this process's user and of root are fit to hold disks.
pub fn check(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Vec<Finding> {
    check_for(cluster, observed, plan, &Us::new(None), &answers)
}

/// As [`check`], where folders of `us` are fit, and `answers` says whether somebody is at an address.
pub fn check_for(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    us: &Us,
    answers: Answers<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in cluster.used_hosts() {
        let changes = plan.changes.iter().filter(|own| own.host == host.name);
        let steps: Vec<_> = changes.map(|change| &change.step).collect();
        if let Some(state) = observed.hosts.get(&host.name).filter(|_| !steps.is_empty()) {
            findings.extend(check_host(cluster, host, state, &steps, us));
        }
    }
    findings.extend(probe::taken(cluster, plan, answers));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn check_host(
    cluster: &Cluster,
    host: &Host,
    state: &HostState,
    steps: &[&Step],
    us: &Us,
) -> Vec<Finding> {
    let HostState {
        capability,
        pools,
        domains,
        ..
    } = state;
    let machines = asked(steps, domains);
    let mut findings = Vec::new();
    if host.connection.is_local() {
        findings.extend(local::folders(&host.name, &folders(cluster, host, pools)));
        findings.extend(local::strangers(
            &host.name,
            &used_folders(cluster, host, pools),
            us,
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
            others_mib: others(cluster, steps, domains, &machines),
            machines,
            folders: disks(cluster, host, steps, pools),
            cpus: capability.cpus,
            memory_mib: capability.memory_mib,
            memory_free_mib: capability.memory_free_mib,
        },
    ));
    findings
}

/// The machines that these steps start.
fn asked(steps: &[&Step], domains: &[DomainState]) -> Vec<Asked> {
    let of = |name: &Label, wanted: Option<&Domain>| {
        let there = domains.iter().find(|own| own.name == name.as_str());
        let live = there.and_then(|there| there.live.as_ref());
        let wanted = wanted.map(|wanted| (wanted.memory_mib, wanted.vcpus));
        let (memory_mib, vcpus) =
            wanted.or_else(|| there.map(|there| (there.memory_mib, there.vcpus)))?;
        Some(Asked {
            name: name.to_string(),
            memory_mib,
            vcpus,
            had_mib: there.map_or(0, |there| there.memory_mib),
            live_mib: live.map_or(0, balloon::has_mib),
        })
    };
    let started = steps.iter().filter_map(|step| match step {
        Step::CreateDomain(own) | Step::BringBack(own) | Step::Redefine(own) => {
            of(&own.name, Some(own))
        }
        Step::StartDomain(name) => of(name, None),
        _ => None,
    });
    started.collect()
}

/// The memory of the cluster's machines that are on and neither start nor go by these steps.
fn others(cluster: &Cluster, steps: &[&Step], domains: &[DomainState], machines: &[Asked]) -> u64 {
    let goes = |name: &str| {
        let mut steps = steps.iter();
        steps.any(|step| matches!(step, Step::RemoveDomain(own) if own.as_str() == name))
    };
    let others = domains.iter().filter(|own| {
        let asked = machines.iter().any(|asked| asked.name == own.name);
        own.is_of(&cluster.name) && own.live.is_some() && !asked && !goes(&own.name)
    });
    others.map(|own| own.memory_mib).sum()
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

/// The folders of disks that are used: where pools lie or will lie, the pool of base images among them.
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
        let there = pools.iter().find(|pool| pool.name == name);
        let own = there
            .and_then(|pool| pool.path.clone())
            .unwrap_or_else(|| Pool::under(path, &name).path);
        folders.extend([path.clone(), own]);
    }
    folders.sort();
    folders.dedup();
    folders
}

/// The folders that pools will be made in, but those whose pools are there and started.
fn folders(cluster: &Cluster, host: &Host, pools: &[PoolState]) -> Vec<PathBuf> {
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

/// The disks that will be made, by the configured folder, with what is free there.
fn disks(
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
            let there = pools
                .iter()
                .find(|pool| pool.name == *pool_name && pool.active);
            let free = match there {
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
