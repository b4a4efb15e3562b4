//! Machines that a person gave something, in libvirt's own words: what they have is seen, stays, and goes with them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use kubitect_config::Cluster;
use kubitect_config::value::GiB;
use kubitect_provision::desired::{Machine, desired};
use kubitect_provision::observe::{Added, DomainState, Nic};
use kubitect_provision::resource::{Link, Volume};
use kubitect_provision::{Hosts, Inputs, apply, libvirt, plan, plan_destroy};

use crate::road::hosts_with;

const WORKER: &str = "demo-worker-1";

/// What comes into the devices of the worker.
const DEVICES: &str = "
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg0/ceph-osd-1'/><target dev='vdx' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'/><target dev='vdy' bus='virtio'/></disk>
<interface type='bridge'><mac address='52:54:00:aa:bb:cc'/><source bridge='br-storage'/><model type='virtio'/></interface>
<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></source></hostdev>
<filesystem type='mount' accessmode='passthrough'><source dir='/srv'/><target dir='share'/></filesystem>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
<graphics type='vnc' port='-1' passwd='secret'/>";

/// What comes into its definition.
const SETTINGS: &str =
    "<memoryBacking><hugepages/></memoryBacking><cputune><vcpupin vcpu='0' cpuset='1'/></cputune>";
const FIRMWARE: &str = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader><nvram>/var/lib/nvram/w_VARS.fd</nvram>";
const NOTES: &str = "<backup:plan xmlns:backup='urn:backup'>nightly</backup:plan>";

fn volume(volume: &Volume, path: &std::path::Path) -> String {
    let target = format!("<path>{}</path>", path.display())
        .replace('&', "&amp;")
        .replace("<more>", "&lt;more&gt;");
    let xml = libvirt::volume::to_xml(volume);
    xml.replace("<target>", &format!("<target>{target}"))
}

/// The worker as a person left it.
fn worker(machine: &Machine) -> String {
    let before = libvirt::domain::to_xml(&machine.domain);
    let mut xml = before.clone();
    for (end, more) in [
        ("</devices>", DEVICES),
        ("</os>", FIRMWARE),
        ("</metadata>", NOTES),
        ("</domain>", SETTINGS),
    ] {
        xml = xml.replacen(end, &format!("{more}{end}"), 1);
    }
    xml
}

/// The cluster as it runs, with all that a person gave to its worker.
fn living(cluster: &Cluster) -> (tempfile::TempDir, Hosts) {
    let (_folder, empty) = hosts_with("");
    let (name, hypervisor) = empty.iter().next().unwrap();
    let capabilities = BTreeMap::from([(name.clone(), hypervisor.capability().unwrap())]);
    let wanted = desired(cluster, &capabilities);
    let wanted = &wanted.hosts[name];
    let mut there = libvirt::network::to_xml(wanted.network.as_ref().unwrap());
    for pool in &wanted.pools {
        let seeds = wanted.machines.iter().map(|machine| Volume {
            pool: machine.seed_pool.clone(),
            name: machine.seed.clone(),
            format: kubitect_provision::resource::Format::Raw,
            capacity: 1 << 20,
            backing: None,
        });
        let all = wanted
            .machines
            .iter()
            .flat_map(|m| m.data.iter().chain([&m.main]));
        let own = all
            .cloned()
            .chain(seeds)
            .filter(|own| own.pool == pool.name);
        let volumes: String = own
            .map(|own| volume(&own, &pool.volume(&own.name)))
            .collect();
        there += &libvirt::pool::to_xml(pool).replace("</pool>", &format!("{volumes}</pool>"));
    }
    for machine in &wanted.machines {
        there += &match machine.domain.name.as_str() {
            WORKER => worker(machine),
            _ => libvirt::domain::to_xml(&machine.domain),
        };
    }
    hosts_with(&there)
}

fn state(hosts: &Hosts) -> DomainState {
    let (_, hypervisor) = hosts.iter().next().unwrap();
    let worker = hypervisor.domain_state(&WORKER.parse().unwrap());
    worker.unwrap().unwrap()
}

#[test]
fn a_machine_is_resized_and_keeps_what_a_person_gave_it() {
    let mut cluster = super::cluster(super::DEMO);
    let (_folder, hosts) = living(&cluster);
    let before = state(&hosts);
    let added = Added {
        nics: vec![Nic {
            mac: "52:54:00:aa:bb:cc".parse().unwrap(),
            link: Some(Link::Bridge("br-storage".into())),
        }],
        devices: [
            "filesystem share",
            "tpm tpm-crb",
            "graphics vnc",
            "hostdev 0000:03:00.0",
        ]
        .map(str::to_owned)
        .into(),
        settings: ["memoryBacking", "cputune", "loader", "nvram", "plan"]
            .map(str::to_owned)
            .into(),
        ..Added::default()
    };
    assert_eq!(before.added, added);
    let disks = before.disks.clone();
    assert!(disks.contains(&"/dev/vg0/ceph-osd-1".into()), "{disks:?}");
    assert!(disks.contains(&"rbd:pool/image".into()), "{disks:?}");

    let none = plan(&cluster, &hosts).unwrap();
    assert!(none.is_empty(), "{none}");
    let node = cluster.nodes.last_mut().unwrap();
    (node.ram, node.cpu) = (GiB(6), 9);
    let change = plan(&cluster, &hosts).unwrap();
    assert_eq!(change.changes.len(), 1, "{change}");
    assert_eq!(
        change.changes[0].details,
        "CPUs 2 -> 9, memory 4096 MiB -> 6144 MiB"
    );
    let (nothing, never) = (Inputs::default(), AtomicBool::new(false));
    apply(&change, &hosts, &nothing, &never, &|_| {}).unwrap();
    let none = plan(&cluster, &hosts).unwrap();
    assert!(none.is_empty(), "{none}");
    let after = state(&hosts);
    assert_eq!((&after.added, &after.disks), (&added, &disks));
    let live = after.live.unwrap();
    assert_eq!((live.memory_mib, live.vcpus), (6 << 10, 9));
    assert_eq!((live.added.devices, live.disks), (added.devices, disks));
}

/// libvirt refuses to remove a machine with such variables unless it is told what becomes of them. This driver does not ask, and
/// does not know the answer either.
#[test]
fn a_machine_with_variables_of_its_firmware_is_removed() {
    let cluster = super::cluster(super::DEMO);
    let (_folder, hosts) = living(&cluster);
    assert!(state(&hosts).added.settings.contains(&"nvram".to_owned()));
    let all = plan_destroy(&cluster.name, &hosts).unwrap();
    let (nothing, never) = (Inputs::default(), AtomicBool::new(false));
    apply(&all, &hosts, &nothing, &never, &|_| {}).unwrap();
    let (_, hypervisor) = hosts.iter().next().unwrap();
    assert_eq!(hypervisor.domains().unwrap(), []);
}
