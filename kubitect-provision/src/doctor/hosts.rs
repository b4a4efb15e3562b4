//! Whether the hosts that a configuration names can carry what it asks of them, before anything of it is made. Looks only.

use kubitect_config::check::Check;
use kubitect_config::cluster::Host;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Severity, chain, text};

use crate::preflight::check_for;
use crate::reach::Reach;
use crate::trust::Us;
use crate::{Error, libvirt, observe, planner};

/// How each host is, and a check for all that stands in the way of its part of the cluster, or may. One that can't be reached hides
/// nothing of the others. Paths of key files have to be whole.
pub fn hosts(cluster: &Cluster, reach: &dyn Reach, us: &Us) -> Vec<Check> {
    let used: Vec<_> = cluster.used_hosts().collect();
    let checks = in_threads(AT_ONCE, &used, |host| of_host(cluster, host, reach, us));
    checks.into_iter().flatten().collect()
}

fn of_host(cluster: &Cluster, host: &Host, reach: &dyn Reach, us: &Us) -> Vec<Check> {
    let what = format!("host {}", host.name);
    looked_at(cluster, host, reach, us, &what).unwrap_or_else(|error| {
        let uri = libvirt::uri(&host.connection);
        let cure = format!(
            "`virsh --connect '{uri}' list` has to work from here; by SSH, it takes your key there, and a user who may use libvirt"
        );
        vec![Check::wrong(what, text::line(&chain(&error)), text::line(&cure))]
    })
}

fn looked_at(
    cluster: &Cluster,
    host: &Host,
    reach: &dyn Reach,
    us: &Us,
    what: &str,
) -> Result<Vec<Check>, Error> {
    let hosts = reach.hosts(&[host])?;
    // The others' machines are none of its concern.
    let mut own = cluster.clone();
    own.nodes.retain(|node| node.host == host.name);
    let observed = observe::look(&own, &hosts)?;
    let plan = planner::plan_of(&own, &observed)?;
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
        own.nodes.len(),
        own.name
    );
    let mut checks = vec![Check::good(what, found)];
    let refused = plan.refused().map(|refusal| {
        let found = refusal.to_string();
        Check::wrong(what, found, "rename the cluster, or what is in its way")
    });
    checks.extend(refused);
    let findings = check_for(&own, &observed, &plan, us, &|at| reach.answers(at));
    checks.extend(findings.into_iter().map(|finding| match finding.severity {
        Severity::Error => Check::wrong(what, finding.message, finding.help),
        Severity::Warning => Check::note(what, finding.message, finding.help),
    }));
    Ok(checks)
}
