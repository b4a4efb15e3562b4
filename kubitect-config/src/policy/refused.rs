//! [`refused()`]: which edits can't be had with the plan that carries them out, and which of its other refusals only say so again.

use super::policy;
use crate::cluster::Role;
use crate::edit::{Change, Edit};
use crate::value::Label;
use crate::{Refusal, RefusalKind};

/// Why a plan is refused: for edits that can't be had, and for its `others`, but for those that only say again what is refused of an
/// edit. The plan makes the machines `made`; `unknown` refuses one of which nothing tells what is on its disk.
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
    let others = others.iter().filter(|other| !follows(edits, other));
    let others = others.cloned();
    let mut all = Refusal::merged(edits.iter().filter_map(refusal));
    all.extend(others);
    all
}

/// Whether a refusal only says again what the refusal of an edit says.
fn follows(edits: &[Edit], refusal: &Refusal) -> bool {
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
        // Its range, mode, gateway, and the address that it does not lease, as libvirt has it.
        (Change::Network, Network) | (Change::Vip, Settings | Network) => true,
        // A node of which a run has begun the upgrade is another cause.
        (Change::Versions { .. }, Versions) => refusal.machines.is_empty(),
        (Change::MainDisk { node, .. } | Change::DataDisk { node, .. }, DiskSize)
        | (Change::DataDiskPool { node, .. }, Pool) => refusal.machines.contains(&node.to_string()),
        _ => false,
    })
}
