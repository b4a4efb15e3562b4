//! [`Begun`]: what becomes of edits between two runs of which the first did not end. Machines that it made are as it made them, though
//! nothing was applied.

use std::collections::BTreeSet;

use super::{Policy, policy, remark};
use crate::cluster::Cluster;
use crate::edit::{Change, Edit, edits};
use crate::value::Label;
use crate::{Refusal, RefusalKind};

/// What there is of what a run was to make that did not end.
#[derive(Debug)]
pub struct Begun<'a> {
    /// What it was to make.
    pub cluster: &'a Cluster,
    /// What was applied before; none: nothing ever was.
    pub applied: Option<&'a Cluster>,
    /// The machines that are there.
    pub there: BTreeSet<&'a Label>,
    /// Whether Kubernetes has begun to be set up.
    pub kubernetes: bool,
}

impl Begun<'_> {
    /// Which edits between that and what is wanted now can't be had, and what a person should know of the others.
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
        let notes = edits.iter().filter_map(|edit| remark(edit));
        (Refusal::merged(refused), notes.collect())
    }

    /// Whether an edit is about something that is there and that nothing else compares with what is wanted. What was applied is
    /// compared with that by itself.
    fn concerns(&self, edit: &Edit) -> bool {
        let is_there = |node: &Label| {
            let applied = self.applied.iter().flat_map(|applied| &applied.nodes);
            self.there.contains(node) && !applied.into_iter().any(|own| own.name == *node)
        };
        let any = |nodes: &[Label]| nodes.iter().any(is_there);
        let is_new = self.applied.is_none();
        match &edit.change {
            Change::ClusterName
            | Change::Network
            | Change::User
            | Change::Image
            | Change::Interface
            | Change::PrivateKey
            | Change::Dns
            | Change::UpdateOnBoot => is_new && !self.there.is_empty(),
            Change::NodeHost { node } | Change::NodeIp { node } | Change::NodeMac { node } => {
                is_there(node)
            }
            Change::MainPoolPath { carries, .. }
            | Change::DataPoolRemoved { carries, .. }
            | Change::DataPoolPath { carries, .. } => any(carries),
            Change::Endpoint => is_new && self.kubernetes,
            Change::AddonVariable { .. } => {
                let is_fixed = matches!(policy(edit), Policy::Refused { .. });
                is_new && self.kubernetes && is_fixed
            }
            // Compared with what is noted of nodes.
            Change::Vip
            | Change::Versions { .. }
            | Change::NetworkPlugin
            | Change::DnsMode
            | Change::ContainerManager
            | Change::CertificateRenewal
            | Change::Rook => false,
            // Compared with what the hosts have, or carried out with the next run.
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

    /// What is refused, and what is noted, with these machines there.
    fn judged(
        there: &[&str],
        kubernetes: bool,
        edit: impl Fn(&mut Cluster),
    ) -> (Vec<String>, Vec<String>) {
        let (was, mut wanted) = (base(), base());
        edit(&mut wanted);
        let there: Vec<Label> = there.iter().map(|name| name.parse().unwrap()).collect();
        let begun = Begun {
            cluster: &was,
            applied: None,
            there: there.iter().collect(),
            kubernetes,
        };
        let (refused, notes) = begun.judge(&wanted);
        (refused.iter().map(ToString::to_string).collect(), notes)
    }

    #[test]
    fn what_machines_are_made_with_is_refused_or_named_once_one_is_there() {
        let node = base().nodes[0].name.clone();
        let there = [node.as_str()];
        type Case = fn(&mut Cluster);
        let refused: [Case; 5] = [
            |wanted| wanted.network.gateway = "192.168.113.250".parse().unwrap(),
            |wanted| wanted.guest.user = "jane".to_owned(),
            |wanted| wanted.guest.interface = "eth9".to_owned(),
            |wanted| wanted.guest.private_key = Some("/other".into()),
            |wanted| wanted.nodes[0].mac = "52:54:00:99:99:99".parse().unwrap(),
        ];
        for edit in refused {
            let (refused, notes) = judged(&there, false, edit);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(
                refused[0].contains("a run that did not end has made machines of it already")
                    && refused[0].ends_with("or destroy the cluster and make it again"),
                "{refused:?}"
            );
            assert_eq!(notes, [""; 0]);
            // Nothing was made: then all can be had.
            assert_eq!(judged(&[], false, edit), (Vec::new(), Vec::new()));
        }
        let noted: [Case; 2] = [
            |wanted| wanted.guest.dns = vec!["9.9.9.9".parse().unwrap()],
            |wanted| wanted.guest.image.distro = "other".to_owned(),
        ];
        for edit in noted {
            let (refused, notes) = judged(&there, false, edit);
            assert_eq!(refused, [""; 0]);
            assert!(
                notes.len() == 1 && notes[0].contains("machines that are made from now on"),
                "{notes:?}"
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

    /// A machine that was to be added is as that run made it; the others are compared with what was applied.
    #[test]
    fn a_machine_that_was_to_be_added_is_as_it_was_made() {
        let (mut applied, was, mut wanted) = (base(), base(), base());
        let last = applied.nodes.pop().unwrap();
        let there = [last.name.clone(), applied.nodes[0].name.clone()];
        for node in &mut wanted.nodes {
            node.mac = "52:54:00:99:99:99".parse().unwrap();
        }
        let begun = Begun {
            cluster: &was,
            applied: Some(&applied),
            there: there.iter().collect(),
            kubernetes: true,
        };
        let (refused, _) = begun.judge(&wanted);
        assert!(
            refused.len() == 1
                && refused[0]
                    .instead
                    .contains("or apply the file without this machine"),
            "{refused:?}"
        );
    }
}
