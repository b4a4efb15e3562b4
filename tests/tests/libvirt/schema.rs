//! What we define passes libvirt's own schemas (`virt-xml-validate` of libvirt-clients must be installed).

use std::collections::BTreeMap;
use std::io::Write;

use kubitect_config::cluster::{CpuMode, VirtType};
use kubitect_provision::desired::desired;
use kubitect_provision::libvirt;
use kubitect_provision::observe::Capability;
use kubitect_provision::resource::{Backing, Format, Link};

/// Fails unless the document is valid by the schema of this name.
fn validate(schema: &str, xml: &str) {
    let mut file = tempfile::Builder::new().suffix(".xml").tempfile().unwrap();
    file.write_all(xml.as_bytes()).unwrap();
    tests::checkers::libvirt(schema, file.path());
}

fn capability(virt: &[&str]) -> Capability {
    Capability {
        arch: "x86_64".into(),
        virt: virt.iter().map(|&kind| kind.to_owned()).collect(),
        cpu_models: vec!["Nehalem".into()],
        ..Capability::default()
    }
}

#[test]
fn a_lock_is_a_valid_network() {
    for holder in ["{\"version\":1}", "<&'\"> é"] {
        let xml = libvirt::network::lock_xml("kubitect-lock-demo", holder);
        validate("network", &xml);
    }
}

#[test]
fn all_definitions_are_valid() {
    let mut cluster = super::cluster(super::DEMO);
    let host = cluster.hosts[0].name.clone();
    let mut count = 0;
    for virt in [VirtType::Kvm, VirtType::Qemu, VirtType::Auto] {
        for mode in [
            CpuMode::Custom,
            CpuMode::HostModel,
            CpuMode::HostPassthrough,
            CpuMode::Maximum,
        ] {
            cluster.guest.cpu_mode = mode;
            cluster.hosts[0].virt_type = virt;
            let capabilities = BTreeMap::from([(host.clone(), capability(&["qemu", "kvm"]))]);
            let desired = desired(&cluster, &capabilities);
            let wanted = &desired.hosts[&host];
            validate(
                "network",
                &libvirt::network::to_xml(wanted.network.as_ref().unwrap()),
            );
            for pool in &wanted.pools {
                validate("storagepool", &libvirt::pool::to_xml(pool));
            }
            for machine in &wanted.machines {
                let mut main = machine.main.clone();
                main.backing = Some(Backing {
                    path: "/pools/base & co".into(),
                    format: Format::Qcow2,
                });
                for volume in machine.data.iter().chain([&main]) {
                    validate("storagevol", &libvirt::volume::to_xml(volume));
                }
                let mut domain = machine.domain.clone();
                validate("domain", &libvirt::domain::to_xml(&domain));
                domain.link = Link::Bridge("br0".into());
                validate("domain", &libvirt::domain::to_xml(&domain));
                count += 1;
            }
        }
    }
    assert_eq!(count, 36);
}

#[test]
fn a_machine_as_libvirt_reads_it() {
    let cluster = super::cluster(super::DEMO);
    let host = cluster.hosts[0].name.clone();
    let desired = desired(
        &cluster,
        &BTreeMap::from([(host.clone(), capability(&["qemu"]))]),
    );
    let wanted = &desired.hosts[&host];
    insta::assert_snapshot!(
        "domain",
        libvirt::domain::to_xml(&wanted.machines[2].domain)
    );
    insta::assert_snapshot!(
        "network",
        libvirt::network::to_xml(wanted.network.as_ref().unwrap())
    );
    insta::assert_snapshot!("pool", libvirt::pool::to_xml(&wanted.pools[0]));
    insta::assert_snapshot!(
        "volume",
        libvirt::volume::to_xml(&wanted.machines[2].data[0])
    );
}
