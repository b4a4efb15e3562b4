//! [`UnfinishedRun`]: which edits are possible after a run that did not end, against the configuration that it was to apply.
//!
//! The machines that such a run made have that configuration, although it was never recorded as applied. So edits against it have
//! to be judged, too: what a machine got at its first boot cannot be changed afterwards.

use std::collections::BTreeSet;

use super::{Policy, policy, remark};
use crate::cluster::Cluster;
use crate::edit::{Change, Edit, edits};
use crate::value::Label;
use crate::{Refusal, RefusalKind};

/// A run that did not end: what it was to apply, and how far it came.
#[derive(Debug)]
pub struct UnfinishedRun<'a> {
    /// The configuration that it was to apply.
    pub cluster: &'a Cluster,
    /// The configuration that was applied before; none: the cluster was never applied to its end.
    pub applied: Option<&'a Cluster>,
    /// The machines that exist on the hosts and are not recreated by the plan.
    pub existing: BTreeSet<&'a Label>,
    /// Whether it began to set up Kubernetes.
    pub kubernetes: bool,
}

impl UnfinishedRun<'_> {
    /// The edits from that configuration to the wanted one: refusals of those that are not possible, and remarks on the others.
    pub fn judge(&self, wanted: &Cluster) -> (Vec<Refusal>, Vec<String>) {
        let edits = edits(self.cluster, wanted);
        let edits: Vec<_> = edits.iter().filter(|edit| self.concerns(edit)).collect();
        let instead = match self.applied {
            None => {
                "put back what was there until the cluster is finished, or destroy the cluster and make it again"
            }
            Some(_) => {
                "put back what was there; or apply the file without this machine, and then with it"
            }
        };
        let refused = edits.iter().filter_map(|edit| match policy(edit) {
            Policy::Refused { why, .. } => {
                let why =
                    format!("a run that did not end has made machines of it already, and {why}");
                Some(Refusal::of_edit(
                    RefusalKind::Unfinished,
                    edit,
                    why,
                    instead,
                ))
            }
            Policy::InPlace(_) => None,
        });
        let remarks = edits.iter().filter_map(|edit| remark(edit));
        (Refusal::merged(refused), remarks.collect())
    }

    /// Whether an edit is to be judged here: it is about something that exists, and nothing else compares that with the wanted
    /// configuration. Machines of the applied configuration are left out, as their edits are judged against that one.
    fn concerns(&self, edit: &Edit) -> bool {
        let is_made = |node: &Label| {
            let applied = self.applied.iter().flat_map(|applied| &applied.nodes);
            self.existing.contains(node) && !applied.into_iter().any(|own| own.name == *node)
        };
        let any_made = |nodes: &[Label]| nodes.iter().any(is_made);
        let never_applied = self.applied.is_none();
        match &edit.change {
            Change::ClusterName
            | Change::Network
            | Change::User
            | Change::Image
            | Change::Interface
            | Change::PrivateKey
            | Change::Dns
            | Change::UpdateOnBoot => never_applied && !self.existing.is_empty(),
            Change::NodeHost { node } | Change::NodeIp { node } | Change::NodeMac { node } => {
                is_made(node)
            }
            Change::MainPoolPath { carries, .. }
            | Change::DataPoolRemoved { carries, .. }
            | Change::DataPoolPath { carries, .. } => any_made(carries),
            Change::Endpoint => never_applied && self.kubernetes,
            Change::AddonVariable { .. } => {
                let is_fixed = matches!(policy(edit), Policy::Refused { .. });
                never_applied && self.kubernetes && is_fixed
            }
            // The planner of Kubernetes compares these with the nodes' notes.
            Change::Vip
            | Change::Versions { .. }
            | Change::NetworkPlugin
            | Change::DnsMode
            | Change::ContainerManager
            | Change::CertificateRenewal
            | Change::Rook => false,
            // The planner of machines compares these with the hosts' state, or the next run carries them out in any case.
            Change::HostAdded { .. }
            | Change::HostRemoved { .. }
            | Change::HostConnection { .. }
            | Change::VirtType { .. }
            | Change::DataPoolAdded { .. }
            | Change::KnownHosts
            | Change::CpuMode
            | Change::RouterId { .. }
            | Change::ForwardPort { .. }
            | Change::NodeAdded { .. }
            | Change::NodeRemoved { .. }
            | Change::Cpu { .. }
            | Change::Ram { .. }
            | Change::MainDisk { .. }
            | Change::DataDiskAdded { .. }
            | Change::DataDiskRemoved { .. }
            | Change::DataDisk { .. }
            | Change::DataDiskPool { .. }
            | Change::NodeLabel { .. }
            | Change::NodeTaint { .. }
            | Change::Priority { .. }
            | Change::MergeKubeconfig
            | Change::KubespraySource
            | Change::Proxy => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::tests::base;

    /// The refusals and the remarks, if these machines exist.
    fn judged(
        existing: &[&str],
        kubernetes: bool,
        edit: impl Fn(&mut Cluster),
    ) -> (Vec<String>, Vec<String>) {
        let (was, mut wanted) = (base(), base());
        edit(&mut wanted);
        let existing: Vec<Label> = existing.iter().map(|name| name.parse().unwrap()).collect();
        let run = UnfinishedRun {
            cluster: &was,
            applied: None,
            existing: existing.iter().collect(),
            kubernetes,
        };
        let (refused, remarks) = run.judge(&wanted);
        (refused.iter().map(ToString::to_string).collect(), remarks)
    }

    #[test]
    fn what_machines_are_made_with_is_refused_or_named_once_one_is_there() {
        let node = base().nodes[0].name.clone();
        let existing = [node.as_str()];
        type Case = fn(&mut Cluster);
        let refused: [Case; 5] = [
            |wanted| wanted.network.gateway = "192.168.113.250".parse().unwrap(),
            |wanted| wanted.guest.user = "jane".to_owned(),
            |wanted| wanted.guest.interface = "eth9".to_owned(),
            |wanted| wanted.guest.private_key = Some("/other".into()),
            |wanted| wanted.nodes[0].mac = "52:54:00:99:99:99".parse().unwrap(),
        ];
        for edit in refused {
            let (refused, remarks) = judged(&existing, false, edit);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(
                refused[0].contains("a run that did not end has made machines of it already")
                    && refused[0].ends_with("or destroy the cluster and make it again"),
                "{refused:?}"
            );
            assert_eq!(remarks, [""; 0]);
            // No machine was made: then every edit is possible.
            assert_eq!(judged(&[], false, edit), (Vec::new(), Vec::new()));
        }
        let remarked: [Case; 2] = [
            |wanted| wanted.guest.dns = vec!["9.9.9.9".parse().unwrap()],
            |wanted| wanted.guest.image.distro = "other".to_owned(),
        ];
        for edit in remarked {
            let (refused, remarks) = judged(&existing, false, edit);
            assert_eq!(refused, [""; 0]);
            assert!(
                remarks.len() == 1 && remarks[0].contains("machines that are made from now on"),
                "{remarks:?}"
            );
            assert_eq!(judged(&[], false, edit), (Vec::new(), Vec::new()));
        }
    }

    #[test]
    fn what_kubernetes_is_first_set_up_with_is_refused_once_that_has_begun() {
        let node = base().nodes[0].name.clone();
        let subnet = |wanted: &mut Cluster| {
            let (key, value) = ("kube_pods_subnet", "10.200.0.0/16");
            let all = &mut wanted.addons.kubespray;
            all.insert(key.into(), value.into());
        };
        assert!(judged(&[node.as_str()], false, subnet).0.is_empty());
        let (refused, _) = judged(&[node.as_str()], true, subnet);
        assert!(
            refused.len() == 1 && refused[0].contains("kube_pods_subnet"),
            "{refused:?}"
        );
    }

    /// A machine that the unfinished run added has its configuration; the others have the applied one.
    #[test]
    fn a_machine_that_was_to_be_added_is_as_it_was_made() {
        let (mut applied, was, mut wanted) = (base(), base(), base());
        let last = applied.nodes.pop().unwrap();
        let existing = [last.name.clone(), applied.nodes[0].name.clone()];
        for node in &mut wanted.nodes {
            node.mac = "52:54:00:99:99:99".parse().unwrap();
        }
        let run = UnfinishedRun {
            cluster: &was,
            applied: Some(&applied),
            existing: existing.iter().collect(),
            kubernetes: true,
        };
        let (refused, _) = run.judge(&wanted);
        assert!(
            refused.len() == 1
                && refused[0]
                    .instead
                    .contains("or apply the file without this machine"),
            "{refused:?}"
        );
    }
}
