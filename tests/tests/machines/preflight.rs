//! What is found about hosts in memory before the example is made on them.

use kubitect_config::{Cluster, Severity};
use kubitect_provision::change::Step;
use kubitect_provision::observe::PowerState;
use kubitect_provision::plan;
use kubitect_provision::preflight::{Finding, check};

use super::gather::make;
use super::{example, hosts};

/// The example on another machine, so that this one's own folders and firewall are not looked at.
fn elsewhere() -> Cluster {
    let mut cluster = example();
    cluster.hosts[0].connection = kubitect_config::cluster::Connection::Remote {
        user: "root".to_owned(),
        address: "192.0.2.1".to_owned(),
        port: 22,
        keyfile: None,
        verify: true,
    };
    cluster
}

fn findings(change: impl FnOnce(&mut Cluster)) -> Vec<Finding> {
    let mut cluster = elsewhere();
    change(&mut cluster);
    let (_, hosts) = hosts(&cluster);
    check(&cluster, &hosts, &plan(&cluster, &hosts).unwrap()).unwrap()
}

/// They have it: it is not asked for once more as they go on.
#[test]
fn the_memory_of_paused_machines_counts_once() {
    let mut cluster = elsewhere();
    // 56 of the host's 64 GiB.
    cluster.nodes.iter_mut().for_each(|node| node.ram.0 = 8);
    let (fake, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    for node in &cluster.nodes {
        fake.meddle(node.name.as_str(), |own| own.power = PowerState::Paused);
    }
    let plan = plan(&cluster, &hosts).unwrap();
    let started = plan.changes.iter();
    let started = started.filter(|change| matches!(change.step, Step::StartDomain(_)));
    assert_eq!(started.count(), cluster.nodes.len(), "{plan}");
    assert_eq!(check(&cluster, &hosts, &plan).unwrap(), []);
}

#[test]
fn the_example_fits_on_a_large_host() {
    assert_eq!(findings(|_| ()), []);
}

#[test]
fn machines_that_ask_for_more_than_there_is_are_errors_and_come_first() {
    let found = findings(|cluster| {
        for node in &mut cluster.nodes {
            node.ram.0 = 20;
            node.cpu = 17;
        }
    });
    let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning]);
    assert!(
        found[0]
            .message
            .contains("140 GiB of memory and the host has 64 GiB"),
        "{found:?}"
    );
    assert!(
        found[1].message.contains("17 processors and the host 16"),
        "{found:?}"
    );
}

#[test]
fn nothing_to_do_is_nothing_to_check() {
    let cluster = example();
    let (_, hosts) = hosts(&cluster);
    let mut nothing = plan(&cluster, &hosts).unwrap();
    nothing.changes.clear();
    assert_eq!(check(&cluster, &hosts, &nothing).unwrap(), []);
}
