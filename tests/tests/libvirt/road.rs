//! The whole road on the test driver: observe, plan, apply, plan again, destroy.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kubitect_config::cluster::Connection;
use kubitect_config::value::{Label, Mac, Name};
use kubitect_provision::change::Part;
use kubitect_provision::cloud_init::seed::SIZE;
use kubitect_provision::hypervisor::{Failure, Hypervisor, LockState};
use kubitect_provision::libvirt::Libvirt;
use kubitect_provision::observe::{
    Capability, DomainState, NetworkState, PoolState, PowerState, VolumeState, observe,
    observe_with_addresses,
};
use kubitect_provision::resource::{Disk, Domain, Format, Network, Pool, Reservation, Volume};
use kubitect_provision::{Hosts, Inputs, LocalImage, Plan, apply, plan, plan_destroy};

/// The test driver, which refuses uploads and tells no leases; all else is the real binding.
struct TestDriver {
    libvirt: Libvirt,
}

macro_rules! hand_on {
    ($($verb:ident($($name:ident: $kind:ty),*) -> $result:ty;)+) => {$(
        fn $verb(&self, $($name: $kind),*) -> Result<$result, Failure> {
            self.libvirt.$verb($($name),*)
        }
    )+};
}

impl Hypervisor for TestDriver {
    hand_on! {
        capability() -> Capability;
        networks() -> Vec<NetworkState>;
        pools() -> Vec<PoolState>;
        domains() -> Vec<DomainState>;
        started_pools() -> Vec<String>;
        pool_state(name: &str) -> Option<PoolState>;
        volume_state(pool: &str, name: &str) -> Option<VolumeState>;
        domain_state(name: &Label) -> Option<DomainState>;
        lock(name: &str, holder: &str) -> LockState;
        lock_state(name: &str) -> Option<LockState>;
        unlock(name: &str, id: &str) -> ();
        define_network(network: &Network) -> ();
        start_network(name: &str) -> ();
        reserve(network: &str, reservation: &Reservation) -> ();
        unreserve(network: &str, reservation: &Reservation) -> ();
        remove_network(name: &str) -> ();
        ensure_pool(pool: &Pool) -> ();
        start_pool(name: &str) -> ();
        stop_pool(name: &str) -> ();
        refresh_pool(name: &str) -> ();
        remove_pool(name: &str) -> Option<String>;
        create_volume(volume: &Volume) -> ();
        download(pool: &str, volume: &str, offset: u64, to: &mut dyn Write) -> ();
        grow_volume(pool: &str, volume: &str, capacity: u64, domain: &Label) -> ();
        remove_volume(pool: &str, volume: &str) -> ();
        define_domain(domain: &Domain) -> ();
        note_domain(name: &Label, note: &str) -> ();
        note_given(name: &Label, given: &[String]) -> ();
        authorize_key(name: &Label, user: &str, public_key: &str) -> ();
        start_domain(name: &Label) -> ();
        attach_disk(name: &Label, disk: &Disk) -> ();
        detach_disk(name: &Label, path: &Path) -> ();
        set_vcpus(name: &Label, vcpus: u32) -> ();
        shut_down_domain(name: &Label) -> ();
        power_off_domain(name: &Label) -> ();
        remove_domain(name: &Label) -> ();
        addresses(name: &Label) -> Vec<(Mac, Ipv4Addr)>;
    }

    fn another_connection(&self) -> Option<Arc<dyn Hypervisor>> {
        None
    }

    /// Another volume takes the place of one that would grow.
    fn upload(
        &self,
        pool: &str,
        volume: &str,
        content: &mut dyn Read,
        length: u64,
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, length);
        self.libvirt.remove_volume(pool, volume)?;
        self.libvirt.create_volume(&Volume {
            pool: pool.to_owned(),
            name: volume.to_owned(),
            capacity: length,
            format: Format::Raw,
            backing: None,
        })
    }
}

/// A private libvirt with nothing in it.
fn hosts() -> (tempfile::TempDir, Hosts) {
    hosts_with("")
}

/// A private libvirt with these things in it.
pub fn hosts_with(there: &str) -> (tempfile::TempDir, Hosts) {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("node.xml");
    std::fs::write(&node, format!("<node>{there}</node>")).unwrap();
    let name: Name = "box".parse().unwrap();
    let uri = format!("test://{}", node.display());
    let libvirt = Libvirt::connect(&name, &Connection::Uri(uri)).unwrap();
    let driver: Arc<dyn Hypervisor> = Arc::new(TestDriver { libvirt });
    (
        folder,
        Hosts::from_hypervisors(BTreeMap::from([(name, driver)])),
    )
}

fn image() -> (tempfile::NamedTempFile, LocalImage) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let image = LocalImage {
        path: file.path().to_owned(),
        // Of nothing.
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
        virtual_size: 1 << 30,
        format: Format::Qcow2,
    };
    (file, image)
}

#[test]
fn from_nothing_to_machines_and_back() {
    let cluster = super::cluster(super::DEMO);
    let (_folder, hosts) = hosts();
    let (_file, image) = image();
    let before = observe(&cluster.name, &hosts).unwrap();
    let never = AtomicBool::new(false);

    let first = plan(&cluster, &hosts).unwrap();
    let inputs = Inputs {
        seeds: first
            .needs_seeds()
            .map(|node| (node.clone(), vec![0; SIZE]))
            .collect(),
        image: Some(image),
        journal: None,
    };
    apply(&first, &hosts, &inputs, &never, &|_| {}).unwrap();

    let next = plan(&cluster, &hosts).unwrap();
    assert!(next.is_empty(), "{next}");
    for node in &cluster.nodes {
        let power = hosts.power_state(&node.host, &node.name).unwrap();
        assert_eq!(power, Some(PowerState::Running), "{}", node.name);
    }

    // A note is kept beside the mark, not instead of it.
    let node = &cluster.nodes[0];
    kubitect_provision::machine::note(&hosts, node, "ready & <well>").unwrap();
    let observed = observe(&cluster.name, &hosts).unwrap();
    let notes = observed.notes(&cluster.name);
    assert_eq!(notes[&node.name].as_deref(), Some("ready & <well>"));
    assert!(plan(&cluster, &hosts).unwrap().is_empty());

    // A machine that was cut off is started, and nothing else.
    kubitect_provision::machine::power_off(&hosts, node).unwrap();
    let start = plan(&cluster, &hosts).unwrap();
    assert_eq!(start.changes.len(), 1, "{start}");
    apply(&start, &hosts, &Inputs::default(), &never, &|_| {}).unwrap();
    assert!(plan(&cluster, &hosts).unwrap().is_empty());

    let last = plan_destroy(&cluster.name, &hosts).unwrap();
    apply(&last, &hosts, &Inputs::default(), &never, &|_| {}).unwrap();
    assert_eq!(observe(&cluster.name, &hosts).unwrap(), before);
    assert!(plan_destroy(&cluster.name, &hosts).unwrap().is_empty());
}

/// A lock is there once, says who holds it, and goes by its number only.
#[test]
fn a_lock_is_made_once_and_removed_by_its_number() {
    let (_folder, hosts) = hosts();
    let (_, host) = hosts.iter().next().unwrap();
    let name = "kubitect-lock-demo";
    assert_eq!(host.lock_state(name).unwrap(), None);
    let holder = "{\"host\":\"<&'\\\"> é\"}";
    let made = host.lock(name, holder).unwrap();
    assert_eq!(made.holder, holder);
    assert_eq!(host.lock(name, "another").unwrap(), made);
    assert_eq!(host.lock_state(name).unwrap().as_ref(), Some(&made));
    host.unlock(name, "6d393d2f-a38b-49d4-ad0b-8f226182578a")
        .unwrap();
    assert!(host.lock_state(name).unwrap().is_some());
    host.unlock(name, &made.id).unwrap();
    host.unlock(name, &made.id).unwrap();
    assert_eq!(host.lock_state(name).unwrap(), None);
}

#[test]
fn a_reservation_is_added_once_and_moved() {
    let cluster = super::cluster(super::DEMO);
    let (_folder, hosts) = hosts();
    let host = &cluster.hosts[0].name;
    let hypervisor = hosts.get(host).unwrap();
    let capabilities = BTreeMap::from([(host.clone(), hypervisor.capability().unwrap())]);
    let desired = kubitect_provision::desired::desired(&cluster, &capabilities);
    let network = desired.hosts[host].network.clone().unwrap();
    hypervisor.define_network(&network).unwrap();
    hypervisor.start_network(&network.name).unwrap();
    let node = cluster.nodes.last().unwrap();
    for ip in ["10.77.0.50", "10.77.0.50", "10.77.0.51"] {
        let reservation = Reservation {
            mac: node.mac,
            ip: ip.parse().unwrap(),
            name: node.name.clone(),
        };
        hypervisor.reserve(&network.name, &reservation).unwrap();
        let there = hypervisor.networks().unwrap().remove(0);
        let kept: Vec<_> = there
            .reservations
            .iter()
            .filter(|r| r.mac == node.mac)
            .collect();
        assert_eq!(kept, [&reservation]);
        assert_eq!(there.reservations.len(), network.reservations.len() + 1);
    }
}

/// One run of the tool, as far as provisioning goes.
fn run(cluster: &kubitect_config::Cluster, hosts: &Hosts, image: &LocalImage) -> Plan {
    let made = plan(cluster, hosts).unwrap();
    let seeds = made.needs_seeds().map(|node| (node.clone(), vec![0; SIZE]));
    let inputs = Inputs {
        seeds: seeds.collect(),
        image: Some(image.clone()),
        journal: None,
    };
    apply(&made, hosts, &inputs, &AtomicBool::new(false), &|_| {}).unwrap();
    let next = plan(cluster, hosts).unwrap();
    assert!(next.is_empty(), "{next}");
    made
}

/// What the machine has while it runs: processors and memory in MiB.
fn live(hosts: &Hosts, name: &str) -> (u32, u64) {
    let (_, driver) = hosts.iter().next().unwrap();
    let domains = driver.domains().unwrap();
    let domain = domains.into_iter().find(|d| d.name == name).unwrap();
    let live = domain.live.unwrap();
    (live.vcpus, live.memory_mib)
}

#[test]
fn a_living_cluster_changes() {
    let (_folder, hosts) = hosts();
    let (_file, image) = image();
    let before = super::cluster(super::DEMO);
    let worker = "demo-worker-1";
    run(&before, &hosts, &image);
    let node = before.nodes.last().unwrap();
    kubitect_provision::machine::note(&hosts, node, "ready & <well>").unwrap();

    // Processors come while it runs.
    let mut wanted = before.clone();
    wanted.nodes.last_mut().unwrap().cpu = 4;
    let made = run(&wanted, &hosts, &image);
    let (make, used) = (made.part(Part::Make), made.part(Part::Use));
    assert_eq!((make.changes.len(), used.changes.len()), (1, 1), "{made}");
    assert_eq!(live(&hosts, worker), (4, 4 << 10));

    // Memory needs a restart, and the notes are kept. (Disks this driver does not attach: that is tried on real machines.)
    let (_, hypervisor) = hosts.iter().next().unwrap();
    let given = ["cpus".to_owned(), "main".to_owned()];
    hypervisor.note_given(&node.name, &given).unwrap();
    wanted.nodes.last_mut().unwrap().ram = kubitect_config::value::GiB(6);
    let restart = plan(&wanted, &hosts).unwrap().part(Part::Restart);
    assert_eq!(restart.changes.len(), 1, "{restart}");
    let (nothing, never) = (Inputs::default(), AtomicBool::new(false));
    apply(&restart, &hosts, &nothing, &never, &|_| {}).unwrap();
    assert_eq!(live(&hosts, worker), (4, 6 << 10));
    let domains = hypervisor.domains().unwrap();
    let there = domains.iter().find(|d| d.name == worker).unwrap();
    assert_eq!(there.given, given);
    let used = run(&wanted, &hosts, &image);
    assert_eq!(used.part(Part::Use), used, "{used}");
    let observed = observe_with_addresses(&wanted, &hosts).unwrap();
    let notes = observed.notes(&wanted.name);
    assert_eq!(notes[&node.name].as_deref(), Some("ready & <well>"));

    // The worker leaves, and another one comes.
    wanted.nodes.pop();
    let observed = observe_with_addresses(&wanted, &hosts).unwrap();
    let leaving = kubitect_provision::gather::leaving(&wanted, &observed);
    assert_eq!(leaving.len(), 1);
    assert_eq!((&leaving[0].name, leaving[0].mac), (&node.name, node.mac));
    run(&wanted, &hosts, &image);
    run(&before, &hosts, &image);
    let last = plan_destroy(&before.name, &hosts).unwrap();
    apply(&last, &hosts, &nothing, &never, &|_| {}).unwrap();
    assert!(plan_destroy(&before.name, &hosts).unwrap().is_empty());
}
