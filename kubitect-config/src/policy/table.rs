//! [`policy`]: the table of all kinds of edits, with the reason of each refusal.

use super::{Disturbs, Policy};
use crate::cluster::Role;
use crate::edit::{Change, Edit};
use crate::release::{self, Cilium, Hop};
use crate::value::{GiB, Label};
use crate::variables;

use Policy::InPlace;

/// Whether an edit is carried out on a living cluster: what it disturbs, or why it is refused and what to do instead.
pub fn policy(edit: &Edit) -> Policy {
    match &edit.change {
        Change::HostAdded { .. }
        | Change::HostConnection { .. }
        | Change::DataPoolAdded { .. }
        | Change::KnownHosts
        | Change::DataDiskAdded { .. }
        | Change::NodeLabel { .. }
        | Change::MergeKubeconfig
        | Change::KubespraySource => InPlace(Disturbs::Nothing),
        Change::Image | Change::Dns | Change::UpdateOnBoot => InPlace(Disturbs::NewMachinesOnly),
        // Kubespray sets the proxy up on a node. What was downloaded by way of the old one stays.
        Change::Proxy => InPlace(Disturbs::NextUpgrade),
        Change::ForwardPort { .. } | Change::Priority { .. } => InPlace(Disturbs::Reload),
        Change::NodeTaint { evicts, .. } => InPlace(disturbs_if(*evicts, Disturbs::Eviction)),
        Change::CpuMode | Change::Cpu { .. } | Change::Ram { .. } => InPlace(Disturbs::Reboot),
        Change::VirtType { carries, .. } => {
            InPlace(disturbs_if(!carries.is_empty(), Disturbs::Reboot))
        }
        Change::RouterId { vip } => InPlace(disturbs_if(*vip, Disturbs::Failover)),
        Change::NodeAdded { role, .. } => InPlace(match role {
            Role::LoadBalancer | Role::Worker => Disturbs::Reload,
            // Each API server has the list of etcd's members in its arguments, and restarts with the new one.
            Role::Master => Disturbs::ApiServers,
        }),
        Change::NodeRemoved { .. } => InPlace(Disturbs::MachineLoss),
        Change::DataDiskRemoved { .. } => InPlace(Disturbs::DiskLoss),
        Change::MainDisk { from, to, .. } => resized(*from, *to, NEW_MACHINE),
        Change::DataDisk { from, to, .. } => resized(*from, *to, NEW_DISK),
        Change::Versions { cilium, from, to } => versions(*cilium, from, to),
        Change::AddonVariable { key, off } => variable(key, *off),
        // The machines that it carries have edits of their own: they are removed, or refused where they are wanted on another host.
        Change::HostRemoved { .. } => InPlace(Disturbs::Nothing),
        Change::MainPoolPath { carries, .. } => unless_carrying(
            carries,
            |names| format!("the main disks of {names} lie there, and disks are not moved"),
            "keep the path; or give the machines other ids on a host with another name: new ones then take their place, without \
             these ones' disks",
        ),
        Change::DataPoolRemoved { pool, carries, .. } => unless_carrying(
            carries,
            |names| format!("disks of {names} lie in pool {pool}"),
            "apply a file without these disks first, the pool still in it",
        ),
        Change::DataPoolPath {
            host,
            pool,
            carries,
        } => unless_carrying(
            carries,
            |_| format!("pool {pool} is set up on host {host} already, and disks are not moved"),
            "keep the path, and add a pool with another name for new disks",
        ),
        Change::ClusterName => refused(
            "the name is part of every machine's, disk's and network's own name, and of the Kubernetes nodes'",
            NEW_CLUSTER,
        ),
        Change::Network => refused(
            "the machines' addresses, the certificates and etcd's members are bound to the network",
            NEW_CLUSTER,
        ),
        Change::User => refused(
            "the account is made at a machine's first boot; under another name no living machine could be reached",
            "keep the account that was applied",
        ),
        Change::Interface => refused(
            "a machine's interface is named at its first boot, and balancers and network plugin go by that name",
            "keep the name that was applied",
        ),
        Change::PrivateKey => refused(
            "a machine is given its key at its first boot; with another one no living machine could be reached",
            "keep the path that was applied; if the same key has moved, put a link there",
        ),
        Change::Vip => refused(
            "the address under which all nodes know the API is part of their configuration and of the certificates",
            "keep what was applied; in a new cluster, give a `vip` from the start, also with a single balancer",
        ),
        Change::Endpoint => refused(
            "the address under which all nodes know the API would be another one, and it is part of their \
             configuration and of the certificates",
            "keep the machine whose address it is; in a new cluster, give a balancer and a `vip` from the start, so \
             that any machine can be exchanged",
        ),
        Change::NodeHost { .. } => refused("a machine's disks lie on its host", NEW_MACHINE),
        Change::NodeIp { .. } => refused(
            "a machine's address is configured at its first boot, and certificates, etcd and Kubernetes know it by it; \
             one that was leased is kept for life, too",
            NEW_MACHINE,
        ),
        Change::NodeMac { .. } => refused(
            "a machine's network set-up goes by its Ethernet address and is written at its first boot",
            NEW_MACHINE,
        ),
        Change::DataDiskPool { .. } => refused("a disk is not moved between pools", NEW_DISK),
        Change::NetworkPlugin => refused(
            "Kubespray cannot exchange the network plugin of a living cluster: running pods would lose their network",
            NEW_CLUSTER,
        ),
        Change::DnsMode => refused(
            "Kubespray leaves what the old mode set up, and running pods keep the resolver they were started with",
            NEW_CLUSTER,
        ),
        Change::ContainerManager => refused(
            "Kubespray does not support another container manager on a living node; its documentation has experimental \
             steps to be taken by hand",
            NEW_CLUSTER,
        ),
        Change::CertificateRenewal => refused(
            "Kubespray sets the renewal up with the control plane itself, and has no tasks that take it away",
            "keep what was applied; each upgrade of Kubernetes renews the certificates, too, and `kubeadm certs renew \
             all` on a master does it by hand",
        ),
        Change::Rook => refused(
            "Kubitect neither installs nor removes Rook yet",
            "leave addons.rook as it was applied, and install Rook into the cluster",
        ),
    }
}

/// What to do instead of an edit that no living cluster can take.
const NEW_CLUSTER: &str =
    "keep what was applied; for another one, make a new cluster and move the workload";

/// What to do instead of an edit that needs another machine.
const NEW_MACHINE: &str = "keep what was applied; or give the machine another id: a new one then takes its place, without this one's disks";

/// What to do instead of an edit that needs another data disk.
const NEW_DISK: &str = "keep what was applied; or add a disk with another name, move the data, and then take this one out of the file";

fn refused(why: impl Into<String>, instead: impl Into<String>) -> Policy {
    Policy::Refused {
        why: why.into(),
        instead: instead.into(),
    }
}

fn disturbs_if(condition: bool, disturbs: Disturbs) -> Disturbs {
    if condition {
        disturbs
    } else {
        Disturbs::Nothing
    }
}

/// A disk can grow while its machine runs, and can never shrink: its file system would be cut off.
fn resized(from: GiB, to: GiB, instead: &str) -> Policy {
    if from <= to {
        return InPlace(Disturbs::Nothing);
    }
    refused(
        format!("a disk cannot shrink from {from} to {to}: its file system would be cut off"),
        instead,
    )
}

/// In place if no machine is concerned (`carries` is empty), else refused; `why` makes the reason from the machines' names.
fn unless_carrying(carries: &[Label], why: impl Fn(&str) -> String, instead: &str) -> Policy {
    if carries.is_empty() {
        return InPlace(Disturbs::Nothing);
    }
    refused(why(&names(carries)), instead)
}

/// The policy of a variable of Kubespray's. `off`: it is removed from the file, or set to `false` or null.
fn variable(key: &str, off: bool) -> Policy {
    if variables::is_fixed(key) {
        return refused(
            format!(
                "{key} is what a cluster is first set up with, and what runs does not follow it"
            ),
            NEW_CLUSTER,
        );
    }
    if !variables::is_addons(key) {
        return InPlace(Disturbs::NextUpgrade);
    }
    // Kubespray has no tasks that remove an addon.
    InPlace(disturbs_if(off, Disturbs::Leftovers))
}

fn versions(cilium: Cilium, from: &Hop, to: &Hop) -> Policy {
    match release::path_with(cilium, from, to) {
        Ok(_) => InPlace(Disturbs::Upgrade),
        Err(error) => refused(error.to_string(), no_path_instead(&error)),
    }
}

fn no_path_instead(error: &release::PathError) -> String {
    use release::PathError;
    match error {
        PathError::KubernetesBack { from, .. } => format!(
            "keep {from} or go up; to go back, make a new cluster and restore the workload from a backup"
        ),
        PathError::KubesprayBack { from, .. } => {
            format!("write `kubernetes.kubespray.version: {from}` or a later one")
        }
        PathError::Unknown { .. } | PathError::Unsupported { .. } => {
            "leave out kubernetes.kubespray.version, and the newest release that fits is taken"
                .to_owned()
        }
        PathError::Cilium { .. } => {
            "stay on Kubespray v2.27.1 or before; for a newer one, make a new cluster and move the workload".to_owned()
        }
        PathError::CiliumSkips { .. } => {
            "set addons.kubespray.cilium_version to a release of v1.14 for the upgrade to Kubespray v2.25, and leave it out again for \
             the one after it"
                .to_owned()
        }
        PathError::OlderPrograms { instead, .. } => {
            format!("write `kubernetes.kubespray.version: {instead}`")
        }
        PathError::NoPath { .. } => {
            "go there by versions in between, or update Kubitect: a newer one knows newer releases"
                .to_owned()
        }
    }
}

/// `a`, `a and b`, `a, b and c`; of more than four, the first four and the number of the others.
fn names(nodes: &[Label]) -> String {
    const SHOWN: usize = 4;
    let mut names: Vec<String> = nodes.iter().take(SHOWN).map(ToString::to_string).collect();
    match nodes.len().saturating_sub(SHOWN) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
