//! Checks whether the hosts that a configuration names can carry its machines, before anything is created. Changes nothing.

use kubitect_config::check::Check;
use kubitect_config::cluster::Host;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Severity, chain, text};

use crate::preflight::check_for;
use crate::reach::Reach;
use crate::trust::TrustedUsers;
use crate::{Error, libvirt, observe, planner};

/// The checks of each host: whether it can be reached, and what prevents its part of the cluster, or may prevent it. A host that
/// can't be reached does not keep the others from being checked. The caller must resolve `~/` in paths of key files.
pub fn hosts(cluster: &Cluster, reach: &dyn Reach, users: &TrustedUsers) -> Vec<Check> {
    let used: Vec<_> = cluster.used_hosts().collect();
    let checks = in_threads(AT_ONCE, &used, |host| {
        check_host(cluster, host, reach, users)
    });
    checks.into_iter().flatten().collect()
}

fn check_host(
    cluster: &Cluster,
    host: &Host,
    reach: &dyn Reach,
    users: &TrustedUsers,
) -> Vec<Check> {
    let what = format!("host {}", host.name);
    findings(cluster, host, reach, users, &what).unwrap_or_else(|error| {
        let uri = libvirt::uri(&host.connection);
        let cure = format!(
            "`virsh --connect '{uri}' list` has to work from here; by SSH, it takes your key there, and a user who may use libvirt"
        );
        vec![Check::wrong(what, text::line(&chain(&error)), text::line(&cure))]
    })
}

fn findings(
    cluster: &Cluster,
    host: &Host,
    reach: &dyn Reach,
    users: &TrustedUsers,
    what: &str,
) -> Result<Vec<Check>, Error> {
    let hosts = reach.hosts(&[host])?;
    // Only this host's part of the cluster.
    let mut part = cluster.clone();
    part.nodes.retain(|node| node.host == host.name);
    let observed = observe::observe_with_addresses(&part, &hosts)?;
    let plan = planner::plan_of(&part, &observed)?;
    let state = observed.hosts.get(&host.name);
    let capability = state.map(|state| state.capability.clone());
    let capability = capability.unwrap_or_default();
    let kvm = match capability.virt.iter().any(|virt| virt == "kvm") {
        true => "KVM",
        false => "no KVM",
    };
    let found = format!(
        "libvirt answers: {kvm}, {} processors, {} GiB of memory; {} machines of {} are for it",
        capability.cpus,
        capability.memory_mib >> 10,
        part.nodes.len(),
        part.name
    );
    let mut checks = vec![Check::good(what, found)];
    let refused = plan.refused().map(|refusal| {
        let found = refusal.to_string();
        Check::wrong(what, found, "rename the cluster, or what is in its way")
    });
    checks.extend(refused);
    let found = check_for(&part, &observed, &plan, users, &|address| {
        reach.answers(address)
    });
    checks.extend(found.into_iter().map(|finding| match finding.severity {
        Severity::Error => Check::wrong(what, finding.message, finding.help),
        Severity::Warning => Check::note(what, finding.message, finding.help),
    }));
    Ok(checks)
}
