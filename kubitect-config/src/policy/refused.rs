//! [`refused()`]: the refusals of a plan: those of its edits, and those of its planners, without the ones that repeat an edit's.

use super::policy;
use crate::cluster::Role;
use crate::edit::{Change, Edit};
use crate::value::Label;
use crate::{Refusal, RefusalKind};

/// The refusals of a plan: of the edits that are not possible, and the `others`, which its planners found. One cause is named
/// once: an other refusal is left out where the refusal of an edit has the same cause. `made` are the machines that the plan
/// makes; `unknown` gives the refusal of a machine of which no note says what its disk has, if the machine is one.
pub fn refused(
    edits: &[Edit],
    made: &[&Label],
    unknown: impl Fn(&Label) -> Option<Refusal>,
    others: &[Refusal],
) -> Vec<Refusal> {
    let refusal = |edit: &Edit| match &edit.change {
        Change::HostConnection { carries, .. }
            if !carries.is_empty() && carries.iter().all(|name| made.contains(&name)) =>
        {
            let why = "none of the machines that this host carries is behind the new connection, where they would be made a \
                       second time";
            let instead = "check the connection, or bring them back";
            Some(Refusal::of_edit(RefusalKind::Edit, edit, why, instead))
        }
        Change::NodeAdded { role, node } if *role != Role::LoadBalancer => {
            let Refusal { why, instead, .. } = unknown(node)?;
            Some(Refusal::of_edit(RefusalKind::Unknown, edit, why, instead))
        }
        _ => policy(edit).refusal(edit),
    };
    let others = others.iter().filter(|other| !repeats(edits, other));
    let others = others.cloned();
    let mut all = Refusal::merged(edits.iter().filter_map(refusal));
    all.extend(others);
    all
}

/// Whether a refusal has the same cause as the refusal of one of the edits.
fn repeats(edits: &[Edit], refusal: &Refusal) -> bool {
    use RefusalKind::{DiskSize, Network, Pool, Settings, Versions};
    let mut refused = edits.iter();
    refused.any(|edit| match (&edit.change, refusal.kind) {
        _ if policy(edit).refusal(edit).is_none() => false,
        (
            Change::NetworkPlugin
            | Change::DnsMode
            | Change::ContainerManager
            | Change::CertificateRenewal
            | Change::Endpoint,
            Settings,
        ) => true,
        // The planner compares the network as libvirt has it: range, mode, gateway, and the VIP, which its DHCP must not lease.
        (Change::Network, Network) | (Change::Vip, Settings | Network) => true,
        // A refusal that names machines has another cause: a run began to upgrade these nodes and did not end.
        (Change::Versions { .. }, Versions) => refusal.machines.is_empty(),
        (Change::MainDisk { node, .. } | Change::DataDisk { node, .. }, DiskSize)
        | (Change::DataDiskPool { node, .. }, Pool) => refusal.machines.contains(&node.to_string()),
        _ => false,
    })
}
