//! What a machine gets for its first boot: cloud-init's three documents, and the volume with them (the seed).
//!
//! The documents are written as JSON, which is YAML with every string in quotes: cloud-init reads YAML 1.1, where the
//! unquoted Ethernet address `52:54:00:12:34:56` would be a number to base 60 and the user `on` a truth value.

mod network_config;
pub mod seed;
mod user_data;

#[cfg(test)]
mod tests;

use kubitect_config::Cluster;
use kubitect_config::cluster::Node;
use serde::Serialize;

use crate::ssh::MachineKeys;

/// cloud-init's documents for one machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Documents {
    /// Accounts, keys, packages; begins with `#cloud-config`. Holds the private host key.
    pub user_data: String,
    /// Interfaces and addresses.
    pub network_config: String,
    /// The instance id and the host name.
    pub meta_data: String,
}

kubitect_config::debug_fields!(Documents, network_config, meta_data);

/// The documents of `node`. The same input always gives the same text.
pub fn documents(cluster: &Cluster, node: &Node, keys: &MachineKeys) -> Documents {
    Documents {
        user_data: format!(
            "#cloud-config\n{}",
            text(&user_data::of(cluster, node, keys))
        ),
        network_config: text(&network_config::of(cluster, node)),
        meta_data: text(&MetaData {
            // The same also when the documents change: cloud-init sets a machine up only once, and later changes are made by
            // other means.
            instance_id: node.name.as_str(),
            local_hostname: node.name.as_str(),
        }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MetaData<'a> {
    instance_id: &'a str,
    local_hostname: &'a str,
}

#[expect(
    clippy::expect_used,
    reason = "structs of strings and lists: nothing in them can fail to be JSON"
)]
fn text(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("plain data is JSON");
    text.push('\n');
    text
}
