//! The definitions of a cluster's machines as text, by path, for `render`. No host is needed.

mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kubitect_config::Cluster;

use crate::libvirt::{domain, network, pool, volume};
use crate::observe::Capability;
use crate::ssh::MachineKeys;
use crate::{cloud_init, desired};

pub use folder::{Folder, fill_for_all};

/// The definitions for libvirt and cloud-init, without keys. The same cluster always gives the same text.
pub fn files(cluster: &Cluster) -> BTreeMap<PathBuf, String> {
    let mut files = libvirt(cluster);
    for node in &cluster.nodes {
        let documents = cloud_init::documents(cluster, node, &MachineKeys::placeholder());
        let dir = Path::new("cloud-init").join(node.name.as_str());
        files.insert(dir.join("user-data"), documents.user_data);
        files.insert(dir.join("network-config"), documents.network_config);
        files.insert(dir.join("meta-data"), documents.meta_data);
    }
    files
}

/// Networks, pools, volumes and domains, as for a host that offers both KVM and emulation.
fn libvirt(cluster: &Cluster) -> BTreeMap<PathBuf, String> {
    let capability = Capability {
        arch: std::env::consts::ARCH.to_owned(),
        virt: vec!["kvm".to_owned(), "qemu".to_owned()],
        cpu_models: vec!["Nehalem".to_owned()],
        ..Capability::default()
    };
    let capabilities = cluster
        .used_hosts()
        .map(|host| (host.name.clone(), capability.clone()))
        .collect();
    let desired = desired::desired(cluster, &capabilities);
    let several = desired.hosts.len() > 1;
    let mut files = BTreeMap::new();
    for (host, wanted) in &desired.hosts {
        // Networks and pools have the same name on each host.
        let prefix = if several {
            format!("{host}-")
        } else {
            String::new()
        };
        let mut add = |name: &str, xml: String| {
            files.insert(PathBuf::from(format!("libvirt/{prefix}{name}.xml")), xml);
        };
        if let Some(wanted) = &wanted.network {
            add(&wanted.name, network::to_xml(wanted));
        }
        for wanted in &wanted.pools {
            add(&wanted.name, pool::to_xml(wanted));
        }
        for machine in &wanted.machines {
            for wanted in std::iter::once(&machine.main).chain(&machine.data) {
                add(&wanted.name, volume::to_xml(wanted));
            }
            add(
                machine.domain.name.as_str(),
                domain::to_xml(&machine.domain),
            );
        }
    }
    files
}
