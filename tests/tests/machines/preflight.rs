//! The findings about hosts in memory before the example is created on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Host;
use kubitect_config::{Cluster, Remote, Severity};
use kubitect_provision::change::Step;
use kubitect_provision::observe::{self, PowerState};
use kubitect_provision::preflight::{Finding, check};
use kubitect_provision::reach::{BoxFuture, Reach, Waiting};
use kubitect_provision::ssh::{Target, wait};
use kubitect_provision::trust::TrustedUsers;
use kubitect_provision::{Error, Event, Hosts, doctor, plan_of};

use super::gather::make;
use super::{example, hosts};

/// The example on another machine, so that this machine's folders and firewall are not checked.
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
    let observed = observe::observe_with_addresses(&cluster, &hosts).unwrap();
    check(&cluster, &observed, &plan_of(&cluster, &observed).unwrap())
}

/// Running machines have their memory already: it is not counted a second time.
#[test]
fn the_memory_of_paused_machines_counts_once() {
    let mut cluster = elsewhere();
    // 56 of the host's 64 GiB.
    cluster.nodes.iter_mut().for_each(|node| node.ram.0 = 8);
    let (fake, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    for node in &cluster.nodes {
        fake.change_domain(node.name.as_str(), |own| own.power = PowerState::Paused);
    }
    let observed = observe::observe_with_addresses(&cluster, &hosts).unwrap();
    let plan = plan_of(&cluster, &observed).unwrap();
    let started = plan.changes.iter();
    let started = started.filter(|change| matches!(change.step, Step::StartDomain(_)));
    assert_eq!(started.count(), cluster.nodes.len(), "{plan}");
    assert_eq!(check(&cluster, &observed, &plan), []);
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
    let observed = observe::observe_with_addresses(&cluster, &hosts).unwrap();
    let mut nothing = plan_of(&cluster, &observed).unwrap();
    nothing.changes.clear();
    assert_eq!(check(&cluster, &observed, &nothing), []);
}

/// The only way to hosts in memory.
struct Way(Hosts);

impl Reach for Way {
    fn hosts(&self, _: &[&Host]) -> Result<Hosts, Error> {
        Ok(self.0.clone())
    }

    fn answers(&self, _: SocketAddr) -> bool {
        false
    }

    fn connect(&self, _: Target, _: Duration) -> BoxFuture<'_, Arc<dyn Remote>> {
        unreachable!("no machine is there")
    }

    fn wait<'a>(
        &'a self,
        _: Vec<wait::Machine>,
        _: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Waiting<'a> {
        unreachable!("no machine is there")
    }
}

/// A slow host takes long for each answer: its resources are asked for only once.
#[test]
fn a_host_is_asked_once_for_a_plan_and_for_what_stands_in_its_way() {
    let cluster = elsewhere();
    let (fake, hosts) = hosts(&cluster);
    observe::observe_with_addresses(&cluster, &hosts).unwrap();
    let once = fake.calls();
    let checks = doctor::hosts(&cluster, &Way(hosts), &TrustedUsers::new(None));
    assert!(checks.iter().all(|check| check.good), "{checks:?}");
    assert_eq!(fake.calls() - once, once);
}
