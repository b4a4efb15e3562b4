//! Machines without a hypervisor: the documents of their first boot, the addresses at which they are found, and whether hosts can
//! carry them.

mod documents;
mod gather;
mod login;
mod preflight;
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use kubitect_config::{Cluster, Site};
use kubitect_provision::Hosts;
use kubitect_provision::fake::FakeHost;
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::HostState;

/// The cluster of a configuration.
fn cluster(yaml: &str) -> Cluster {
    kubitect_config::parse(yaml, "test.yaml", &Site::default())
        .expect("the test's configuration is valid")
        .cluster
}

/// The user's example.
fn example() -> Cluster {
    cluster(include_str!("../../../examples/multi-master.yaml"))
}

/// An empty host for each of the cluster's.
fn hosts(cluster: &Cluster) -> (Arc<FakeHost>, Hosts) {
    let fake = Arc::new(FakeHost::new(HostState::default()));
    let mut hypervisors: BTreeMap<_, Arc<dyn Hypervisor>> = BTreeMap::new();
    for host in cluster.used_hosts() {
        hypervisors.insert(host.name.clone(), fake.clone());
    }
    (fake, Hosts::from_hypervisors(hypervisors))
}
