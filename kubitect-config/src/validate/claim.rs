//! What each machine has alone: its id within its role, its addresses, and its volumes.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::root::key;
use super::{disk, network};
use crate::cluster::{Network, Role};
use crate::report::{At, Report, quote};
use crate::value::{Label, Mac};

/// What machines have claimed so far, and who did: their roles and their places among the instances.
#[derive(Default)]
pub(super) struct Claims {
    ids: HashMap<(Role, String), usize>,
    ips: HashMap<Ipv4Addr, (Role, usize)>,
    macs: HashMap<Mac, (Role, usize)>,
    /// Those of them that follow from names.
    derived: HashSet<Mac>,
    pub(super) volumes: disk::Volumes,
}

impl Claims {
    /// The id of a machine.
    pub(super) fn id(
        &mut self,
        text: Option<&str>,
        (role, index): (Role, usize),
        at: &At,
        report: &mut Report,
    ) -> Option<Label> {
        let at = at.key("id");
        let Some(text) = text else {
            report.missing(
                &at,
                "give each instance an `id` of its own: a number or a name",
            );
            return None;
        };
        let id: Label = report.parse(&at, "id", text)?;
        if let Some(first) = self.ids.insert((role, text.to_owned()), index) {
            report.error(
                &at,
                "id-duplicate",
                format!("{} is already the id of instances[{first}]", quote(text)),
                "give each instance of a role an id of its own",
            );
            return None;
        }
        Some(id)
    }

    /// The fixed address of a machine.
    pub(super) fn ip(
        &mut self,
        text: &str,
        own: (Role, usize),
        network: Option<&Network>,
        at: &At,
        report: &mut Report,
    ) -> Option<Ipv4Addr> {
        let at = at.key("ip");
        let address = network::machine_address(text, network, &at, report)?;
        if let Some((role, index)) = self.ips.insert(address, own) {
            report.error(
                &at,
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

    /// The Ethernet address of a machine: the one that is given, or the one that its name leads to.
    pub(super) fn mac(
        &mut self,
        text: Option<&str>,
        name: Option<&Label>,
        own: (Role, usize),
        at: &At,
        report: &mut Report,
    ) -> Option<Mac> {
        let at_mac = at.key("mac");
        let mac = match text {
            Some(text) => report.parse(&at_mac, "mac", text)?,
            None => self.derived(name?.as_str()),
        };
        if let Some((role, index)) = self.macs.insert(mac, own) {
            report.error(
                &at_mac,
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

    /// The address that a name leads to. Of two names that lead to one by chance, the machine that stands later gets another:
    /// machines are added behind those that there are, which keep theirs.
    fn derived(&mut self, name: &str) -> Mac {
        let further = (1_u32..).map(|n| Mac::derived(&format!("{name}/{n}")));
        let mut all = std::iter::once(Mac::derived(name)).chain(further);
        all.find(|mac| self.derived.insert(*mac))
            .unwrap_or_else(|| Mac::derived(name))
    }
}
