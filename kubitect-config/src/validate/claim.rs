//! [`Claims`]: what no two machines may share: the id within a role, the addresses, and the names of volumes.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::root::key;
use super::{disk, network};
use crate::cluster::{Network, Role};
use crate::report::{KeyPath, Report, quote};
use crate::value::{Label, Mac};

/// The ids and addresses of the machines so far, each with its owner: role and index among the instances.
#[derive(Default)]
pub(super) struct Claims {
    ids: HashMap<(Role, String), usize>,
    ips: HashMap<Ipv4Addr, (Role, usize)>,
    macs: HashMap<Mac, (Role, usize)>,
    /// The MAC addresses that were derived from names.
    derived: HashSet<Mac>,
    pub(super) volumes: disk::Volumes,
}

impl Claims {
    /// A machine's id, which no other machine of its role may have.
    pub(super) fn id(
        &mut self,
        text: Option<&str>,
        (role, index): (Role, usize),
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<Label> {
        let path = path.key("id");
        let Some(text) = text else {
            report.missing(
                &path,
                "give each instance an `id` of its own: a number or a name",
            );
            return None;
        };
        let id: Label = report.parse(&path, "id", text)?;
        if let Some(first) = self.ids.insert((role, text.to_owned()), index) {
            report.error(
                &path,
                "id-duplicate",
                format!("{} is already the id of instances[{first}]", quote(text)),
                "give each instance of a role an id of its own",
            );
            return None;
        }
        Some(id)
    }

    /// A machine's fixed address, which no other machine may have.
    pub(super) fn ip(
        &mut self,
        text: &str,
        own: (Role, usize),
        network: Option<&Network>,
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<Ipv4Addr> {
        let path = path.key("ip");
        let address = network::machine_address(text, network, &path, report)?;
        if let Some((role, index)) = self.ips.insert(address, own) {
            report.error(
                &path,
                "address-duplicate",
                format!(
                    "{address} is already the address of cluster.nodes.{}.instances[{index}]",
                    key(role)
                ),
                "give each machine an address of its own",
            );
        }
        Some(address)
    }

    /// A machine's MAC address, which no other machine may have: the one in the file, else the one derived from its name.
    pub(super) fn mac(
        &mut self,
        text: Option<&str>,
        name: Option<&Label>,
        own: (Role, usize),
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<Mac> {
        let mac_path = path.key("mac");
        let mac = match text {
            Some(text) => report.parse(&mac_path, "mac", text)?,
            None => self.derived(name?.as_str()),
        };
        if let Some((role, index)) = self.macs.insert(mac, own) {
            report.error(
                &mac_path,
                "mac-duplicate",
                format!(
                    "{mac} is already the Ethernet address of cluster.nodes.{}.instances[{index}]",
                    key(role)
                ),
                match text {
                    Some(_) => "give each machine a `mac` of its own, or leave it out",
                    None => "it follows from this machine's name: give the other one another `mac`",
                },
            );
        }
        Some(mac)
    }

    /// The MAC address derived from a name. If two names lead to the same one by chance, the machine that is later in the file
    /// gets the next: new machines are added at the end, and the existing ones must keep theirs.
    fn derived(&mut self, name: &str) -> Mac {
        let further = (1_u32..).map(|n| Mac::derived(&format!("{name}/{n}")));
        let mut all = std::iter::once(Mac::derived(name)).chain(further);
        all.find(|mac| self.derived.insert(*mac))
            .unwrap_or_else(|| Mac::derived(name))
    }
}
