//! Checks hosts against a plan before anything is created.
//!
//! What decides is pure (`capacity`, `local::forwarding`); the rest looks and changes nothing. What only may go wrong
//! is a warning: guests rarely use all that they are given.

mod capacity;
mod local;
mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kubitect_config::check::Check;
use kubitect_config::cluster::{Host, NetworkMode, VirtType};
use kubitect_config::value::{Label, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Severity};
use serde::Serialize;

use crate::Error;
use crate::balloon;
use crate::change::{Part, Step};
use crate::hypervisor::Hosts;
use crate::observe::PoolState;
use crate::plan::Plan;
use crate::resource::{BASE_POOL, Domain, Pool};
use crate::trust::Us;

/// Something that a person should know before machines are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// The host that it concerns.
    pub host: Name,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// What the plan asks of a host, and what the host has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demand {
    /// The machines that will be started: name, memory in MiB, virtual processors.
    pub machines: Vec<(String, u64, u32)>,
    /// The disks that will be made or grown in each folder, by what they may take in bytes, and what is free there if it is known.
    pub folders: BTreeMap<PathBuf, (Vec<u64>, Option<u64>)>,
    /// Processors of the host.
    pub cpus: u32,
    /// Memory of the host, in MiB.
    pub memory_mib: u64,
    /// Memory that nobody uses, in MiB, where it is known.
    pub memory_free_mib: Option<u64>,
}

/// Looks at all hosts that the plan concerns, and tells all that it found, errors first. On this machine, only folders of this
/// process's user and of root are fit to hold disks.
pub fn check(cluster: &Cluster, hosts: &Hosts, plan: &Plan) -> Result<Vec<Finding>, Error> {
    check_for(cluster, hosts, plan, &Us::new(None))
}

/// As [`check`], where folders of `us` are fit.
pub fn check_for(
    cluster: &Cluster,
    hosts: &Hosts,
    plan: &Plan,
    us: &Us,
) -> Result<Vec<Finding>, Error> {
    let used: Vec<_> = cluster.used_hosts().collect();
    let checks = in_threads(AT_ONCE, &used, |host| {
        let steps: Vec<&Step> = plan
            .changes
            .iter()
            .filter(|change| change.host == host.name)
            .map(|change| &change.step)
            .collect();
        match steps.is_empty() {
            true => Ok(Vec::new()),
            false => check_host(cluster, host, hosts, &steps, us),
        }
    });
    let mut findings = Vec::new();
    for own in checks {
        findings.extend(own?);
    }
    findings.extend(probe::taken(cluster, plan));
    findings.sort_by_key(|finding| finding.severity);
    Ok(findings)
}

/// Something that is wrong on this machine, from which hosts and machines are worked on.
pub fn here(check: &Check) -> Result<Finding, Error> {
    let name = "localhost".parse::<Name>();
    Ok(Finding {
        severity: Severity::Error,
        host: name.map_err(|e| Error::because("name this machine", e))?,
        message: format!(
            "this machine lacks a fitting {}: {}",
            check.what, check.found
        ),
        help: check.cure.clone(),
    })
}

/// What should be known of a living cluster before it is changed, which is on this host, among others.
pub fn of_cluster(check: &Check, host: &Name) -> Finding {
    Finding {
        severity: Severity::Warning,
        host: host.clone(),
        message: format!("{}: {}", check.what, check.found),
        help: check.cure.clone(),
    }
}

fn check_host(
    cluster: &Cluster,
    host: &Host,
    hosts: &Hosts,
    steps: &[&Step],
    us: &Us,
) -> Result<Vec<Finding>, Error> {
    let hypervisor = hosts.get(&host.name)?;
    let on_host = |failure: crate::hypervisor::Failure| failure.on(&host.name);
    let capability = hypervisor.capability().map_err(on_host)?;
    let pools = hypervisor.pools().map_err(on_host)?;
    let domains = hypervisor.domains().map_err(on_host)?;

    let mut machines = Vec::new();
    // What a machine has already, be it paused, is given back before it is given more, or goes on being its own.
    let mut given_back = 0;
    for step in steps {
        if let Step::Redefine(Domain { name, .. }) | Step::StartDomain(name) = step {
            let there = domains.iter().find(|d| d.name == name.as_str());
            let live = there.and_then(|there| there.live.as_ref());
            given_back += live.map_or(0, balloon::has_mib);
        }
        match step {
            Step::CreateDomain(Domain {
                name,
                memory_mib,
                vcpus,
                ..
            })
            | Step::BringBack(Domain {
                name,
                memory_mib,
                vcpus,
                ..
            })
            | Step::Redefine(Domain {
                name,
                memory_mib,
                vcpus,
                ..
            }) => machines.push((name.to_string(), *memory_mib, *vcpus)),
            Step::StartDomain(name) => machines.extend(
                domains
                    .iter()
                    .filter(|domain| domain.name == name.as_str())
                    .map(|domain| (domain.name.clone(), domain.memory_mib, domain.vcpus)),
            ),
            _ => {}
        }
    }
    let mut findings = Vec::new();
    if host.connection.is_local() {
        findings.extend(local::folders(&host.name, &folders(cluster, host, &pools)));
        findings.extend(local::strangers(
            &host.name,
            &used_folders(cluster, host, &pools),
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
            machines,
            folders: disks(cluster, host, steps, &pools),
            cpus: capability.cpus,
            memory_mib: capability.memory_mib,
            memory_free_mib: capability.memory_free_mib.map(|free| free + given_back),
        },
    ));
    Ok(findings)
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
    Finding {
        severity,
        host: host.name.clone(),
        message: message.to_owned(),
        help: "enable virtualisation in the firmware and load kvm_intel or kvm_amd, or say virtType: qemu".to_owned(),
    }
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

/// The machines that the plan makes, or brings back, so that they do not answer yet: one that is replaced may still do so. If all
/// balancers are among them, none of ours answers for the shared address.
fn made(plan: &Plan) -> BTreeSet<&Label> {
    let steps = plan
        .changes
        .iter()
        .map(|change| (change.part, &change.step));
    let replaced: BTreeSet<_> = steps
        .clone()
        .filter_map(|(part, step)| match (part, step) {
            (Part::Make, Step::RemoveDomain(name)) => Some(name),
            _ => None,
        })
        .collect();
    let makes = steps.filter_map(|(_, step)| match step {
        Step::CreateDomain(domain) | Step::BringBack(domain) => Some(&domain.name),
        _ => None,
    });
    makes.filter(|name| !replaced.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, Change, Disruption, Kind};

    #[test]
    fn who_may_still_answer_is_not_made() {
        let node: Label = "c-worker-1".parse().unwrap();
        let change = |part, step| Change {
            action: Action::Replace,
            kind: Kind::Domain,
            name: node.to_string(),
            host: "h".parse().unwrap(),
            disruption: Disruption::None,
            details: String::new(),
            loses: false,
            part,
            step,
        };
        let text = "hosts: [{name: h, connection: {type: local}}]\ncluster: {name: c, network: {mode: bridge, bridge: b, \
                    cidr: 10.9.0.0/24}, nodeTemplate: {user: k8s, os: {distro: ubuntu}}, nodes: {master: {instances: \
                    [{id: 1}]}, worker: {instances: [{id: 1}]}}}\nkubernetes: {version: v1.23.7, networkPlugin: calico, \
                    kubespray: {version: v2.19.0}}\n";
        let cluster = kubitect_config::parse(text, "c.yaml", &kubitect_config::Site::default());
        let cluster = cluster.unwrap().cluster;
        let wanted = crate::desired::desired(&cluster, &BTreeMap::new());
        let machines = &wanted.hosts.values().next().unwrap().machines;
        let domain = machines.iter().find(|m| m.domain.name == node).unwrap();
        let create = change(Part::Make, Step::CreateDomain(domain.domain.clone()));
        let mut plan = Plan {
            cluster: "c".parse().unwrap(),
            changes: vec![create],
        };
        assert!(made(&plan).contains(&node));
        plan.changes
            .insert(0, change(Part::Make, Step::RemoveDomain(node.clone())));
        assert!(!made(&plan).contains(&node));
    }
}
