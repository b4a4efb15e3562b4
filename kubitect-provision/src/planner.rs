//! The planner: what is on the hosts, and what is wanted, become a [`Plan`]. Changes nothing.

use std::collections::BTreeMap;

use kubitect_config::Cluster;
use kubitect_config::value::Label;

use crate::desired::desired;
use crate::error::Error;
use crate::hosts::LeftOut;
use crate::hypervisor::Hosts;
use crate::observe::{Observed, observe};
use crate::plan::Plan;
use crate::{diff, removal};

/// What must be done on the hosts to give the cluster what it wants. Changes nothing.
pub fn plan(cluster: &Cluster, hosts: &Hosts) -> Result<Plan, Error> {
    plan_of(cluster, &observe(&cluster.name, hosts)?)
}

/// The same, by what was seen: all hosts, or it is an error.
pub fn plan_of(cluster: &Cluster, observed: &Observed) -> Result<Plan, Error> {
    if let [why, ..] = &observed.problems()[..] {
        return Err(Error::failed(format!("plan {}: {why}", cluster.name)));
    }
    let capabilities: BTreeMap<_, _> = observed
        .hosts
        .iter()
        .map(|(name, host)| (name.clone(), host.capability.clone()))
        .collect();
    diff::diff(&cluster.name, &desired(cluster, &capabilities), observed)
}

/// What machines that are there need before they can be started, on the hosts that were seen.
pub fn ground(cluster: &Cluster, observed: &Observed) -> Result<Plan, Error> {
    let mut own = cluster.clone();
    own.nodes
        .retain(|node| observed.hosts.contains_key(&node.host));
    let seen = Observed {
        hosts: observed.hosts.clone(),
        ..Observed::default()
    };
    Ok(plan_of(&own, &seen)?.ground())
}

/// What must be done on the hosts to remove all of a cluster, told from libvirt alone. Changes nothing.
pub fn plan_destroy(cluster: &Label, hosts: &Hosts) -> Result<Plan, Error> {
    plan_destroy_without(cluster, hosts, &[])
}

/// As [`plan_destroy`], of the hosts that are not left out: what machines on those that are have in a shared folder stays.
pub fn plan_destroy_without(
    cluster: &Label,
    hosts: &Hosts,
    left_out: &[LeftOut],
) -> Result<Plan, Error> {
    removal::removal(cluster, &observe(cluster, hosts)?, left_out)
}
