//! The planner: the observed state of the hosts and a cluster's desired state become a [`Plan`]. Changes nothing.

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

/// Observes the hosts, and plans what gives the cluster its desired state. Changes nothing.
pub fn plan(cluster: &Cluster, hosts: &Hosts) -> Result<Plan, Error> {
    plan_of(cluster, &observe(&cluster.name, hosts)?)
}

/// The same from what was observed. An error if a host could not be reached: what is not seen there would be planned a second time.
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

/// What existing machines need before they can be started, on the hosts that can be reached: networks and pools that are stopped.
pub fn prerequisites(cluster: &Cluster, observed: &Observed) -> Result<Plan, Error> {
    let mut own = cluster.clone();
    own.nodes
        .retain(|node| observed.hosts.contains_key(&node.host));
    let reached = Observed {
        hosts: observed.hosts.clone(),
        ..Observed::default()
    };
    Ok(plan_of(&own, &reached)?.prerequisites())
}

/// Plans what removes all of a cluster from the hosts, by what libvirt shows alone: the cluster's folder may be lost. Changes nothing.
pub fn plan_destroy(cluster: &Label, hosts: &Hosts) -> Result<Plan, Error> {
    plan_destroy_without(cluster, hosts, &[])
}

/// As [`plan_destroy`], without the hosts that are left out: what their machines have in a folder that hosts share stays.
pub fn plan_destroy_without(
    cluster: &Label,
    hosts: &Hosts,
    left_out: &[LeftOut],
) -> Result<Plan, Error> {
    removal::removal(cluster, &observe(cluster, hosts)?, left_out)
}
