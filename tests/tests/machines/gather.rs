//! Facts from fixed addresses, reservations and leases.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kubitect_config::cluster::{Image, Node};
use kubitect_config::{Cluster, Facts};
use kubitect_provision::gather::{self, complete_facts, gather, gather_within};
use kubitect_provision::ssh::Keys;
use kubitect_provision::{Error, Hosts, Inputs, apply, image, machine, observe, plan};

use super::{cluster, example, hosts};

/// The example with workers without fixed addresses.
fn leased() -> Cluster {
    let text = include_str!("../../../examples/multi-master.yaml");
    let remaining: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("ip: 192.168.113.2"))
        .collect();
    cluster(&remaining.join("\n"))
}

/// Creates the machines, in memory.
pub fn make(cluster: &Cluster, hosts: &Hosts) {
    let mut disk = vec![0; 1024];
    disk[510..512].copy_from_slice(b"\x55\xaa");
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("disk.img");
    std::fs::write(&path, disk).unwrap();
    let image = Image {
        source: path.display().to_string(),
        checksum: None,
        ..cluster.guest.image.clone()
    };
    let cancelled = AtomicBool::new(false);
    let wanted = plan(cluster, hosts).unwrap();
    let inputs = Inputs {
        image: Some(image::fetch(&image, home.path(), &cancelled, &|_| ()).unwrap()),
        seeds: wanted
            .needs_seeds()
            .map(|node| (node.clone(), vec![0; 512]))
            .collect(),
        journal: None,
    };
    apply(&wanted, hosts, &inputs, &cancelled, &|_| {}).unwrap();
}

async fn gathered(cluster: &Cluster, hosts: &Hosts, within: Duration) -> Result<Facts, Error> {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::ensure(home.path(), cluster, None).unwrap();
    gather_within(
        cluster,
        hosts,
        &keys,
        within,
        &AtomicBool::new(false),
        &|_| {},
    )
    .await
}

#[tokio::test]
async fn fixed_addresses_need_no_machine() {
    let cluster = example();
    let (_, hosts) = hosts(&cluster);
    let facts = gathered(&cluster, &hosts, Duration::ZERO).await.unwrap();
    assert_eq!(facts.nodes.len(), cluster.nodes.len());
    for (node, facts) in cluster.nodes.iter().zip(&facts.nodes) {
        assert_eq!((&node.name, node.ip), (&facts.name, Some(facts.ip)));
        assert!(facts.host_key.starts_with("ssh-ed25519 AAAA"), "{facts:?}");
    }
    let complete = complete_facts(&cluster, &hosts).unwrap().unwrap();
    assert_eq!(complete.nodes.len(), facts.nodes.len());
    assert!(complete.nodes.iter().all(|node| node.host_key.is_empty()));
}

#[tokio::test]
async fn leases_are_waited_for_and_kept() {
    let cluster = leased();
    let (fake, hosts) = hosts(&cluster);
    assert_eq!(complete_facts(&cluster, &hosts).unwrap(), None);
    make(&cluster, &hosts);
    assert_eq!(complete_facts(&cluster, &hosts).unwrap(), None);
    let workers: Vec<_> = cluster
        .nodes
        .iter()
        .filter(|node| node.ip.is_none())
        .cloned()
        .collect();
    assert_eq!(workers.len(), 3);
    let late = fake.clone();
    let to_lease = workers.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (i, node) in to_lease.iter().enumerate() {
            late.lease(
                node.name.as_str(),
                node.mac,
                [192, 168, 113, 200 + i as u8].into(),
            );
        }
    });
    let facts = gathered(&cluster, &hosts, Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(
        facts.node(&workers[1].name).unwrap().ip.to_string(),
        "192.168.113.201"
    );
    machine::reserve(&cluster, &hosts, &facts).unwrap();
    // Reserved addresses stay also while a machine is off.
    fake.stop(workers[1].name.as_str());
    let complete = complete_facts(&cluster, &hosts).unwrap().unwrap();
    assert_eq!(
        complete.node(&workers[1].name).unwrap().ip.to_string(),
        "192.168.113.201"
    );
}

/// From the answers alone it can't be decided which machine lies; all others are known as before.
#[test]
fn an_address_that_two_claim_is_neithers_and_hides_no_other_machine() {
    let cluster = leased();
    let (fake, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    let open: Vec<_> = cluster.nodes.iter().filter(|n| n.ip.is_none()).collect();
    for (node, last) in open.iter().zip([200, 200, 201]) {
        fake.lease(node.name.as_str(), node.mac, [192, 168, 113, last].into());
    }
    let now = gather::available_facts(&cluster, &hosts).unwrap();
    let has_address = |node: &Node| now.node(&node.name).is_some();
    assert_eq!(
        open.iter().map(|n| has_address(n)).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(now.nodes.len(), cluster.nodes.len() - 2);
    let observed = observe::observe_with_addresses(&cluster, &hosts).unwrap();
    let error = gather::observed_facts(&cluster, &observed).unwrap_err();
    assert!(matches!(error, Error::AddressTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_machine_that_never_asks_for_a_lease_is_named() {
    let cluster = leased();
    let (_, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    let error = gathered(&cluster, &hosts, Duration::from_millis(50))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("bring up 3 machines: see an address of local-k8s-cluster-worker-1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_cancelled_wait_ends() {
    let cluster = leased();
    let (_, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::ensure(home.path(), &cluster, None).unwrap();
    let error = gather(&cluster, &hosts, &keys, &AtomicBool::new(true), &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
}

/// The wait ends after its time and the time to read consoles, however long libvirt takes.
#[tokio::test]
async fn a_host_that_hangs_makes_no_wait_longer() {
    let cluster = leased();
    let (fake, hosts) = hosts(&cluster);
    make(&cluster, &hosts);
    fake.set_call_time(Duration::from_secs(8));
    let began = std::time::Instant::now();
    let error = gathered(&cluster, &hosts, Duration::from_millis(300)).await;
    let text = error.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(20), "{text}");
    assert!(text.contains("does not answer"), "{text}");
}
