//! [`Note`]: what is set up on a machine, stored in the `<metadata>` of its libvirt domain.
//!
//! So a plan needs to ask libvirt only, the cluster's folder may be lost, and a machine that is recreated has no note.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::yaml::{Mapping, Value};
use kubitect_config::{Cluster, digest, variables};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is set up on a master or a worker. A balancer's note is the digest of its files alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether Kubernetes is set up. If not, a run has begun to set it up, or to remove it.
    pub finished: bool,
    /// Whether Kubitect has cordoned the node for work that has not ended. A person's cordon is not noted.
    pub busy: bool,
    /// Whether the balancers send this master no new connections, for work that has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// The Kubernetes version that is set up, and the Kubespray release that did it.
    pub release: Hop,
    /// The release to which it is being upgraded: from before the playbook until the upgrade is done. Meanwhile the node may have
    /// parts of both. All masters have it from before the first master's playbook, so that it is not lost with one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub getting: Option<Hop>,
    /// A digest of the settings that Kubespray can't change on an existing cluster.
    pub settings: String,
    /// A digest of the addons.
    pub addons: String,
    /// The node's labels, as configured.
    pub labels: BTreeMap<String, String>,
    /// The node's taints, as configured.
    pub taints: BTreeSet<String>,
    /// The masters whose etcd members this master's API server uses.
    pub members: BTreeSet<Label>,
    /// A master's position among etcd's members: 0 for all that were created with the cluster, one more than the highest for each
    /// that joined later.
    #[serde(default)]
    pub joined: u32,
    /// Whether a restoration of its etcd from a snapshot has begun and not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
}

impl Note {
    /// Whether a run has taken the node out of service, and has not returned it.
    pub fn is_held(&self) -> bool {
        self.busy || self.drained
    }

    /// The note of a node on which the cluster's file is set up with this `release`.
    pub fn of(
        cluster: &Cluster,
        node: &Node,
        release: &Hop,
        members: &BTreeSet<Label>,
        finished: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            finished,
            busy: false,
            drained: false,
            release: release.clone(),
            getting: None,
            settings: settings(cluster)?,
            addons: addons(cluster)?,
            labels: node.labels.clone(),
            taints: node.taints.iter().map(ToString::to_string).collect(),
            members: match node.role {
                Role::Master => members.clone(),
                _ => BTreeSet::new(),
            },
            joined: 0,
            restoring: false,
        })
    }

    /// Reads a note from its text in libvirt. A note that can't be read is an error, and never counts as "not set up": a plan would
    /// create the existing cluster again.
    pub fn read(text: &str) -> Result<Self, Error> {
        let unreadable =
            |e| Error::because("read what is noted of it: it is no note of Kubitect's", e);
        let header: Header = serde_json::from_str(text).map_err(unreadable)?;
        if header.version != VERSION {
            return Err(Error::failed(format!(
                "read what is noted of it: the note has version {}, and this Kubitect reads version {VERSION}; use the \
                 Kubitect that wrote it, or a newer one",
                header.version
            )));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The note's text for libvirt.
    pub fn text(&self) -> Result<String, Error> {
        let versioned = Versioned {
            version: VERSION,
            note: self,
        };
        serde_json::to_string(&versioned).map_err(|e| Error::because("note what is set up", e))
    }
}

/// The version of the notes' format. A new field that older programs may ignore needs no new version, but a default for notes that
/// lack it. A field whose meaning changes needs a new version, and code that reads the former one.
const VERSION: u32 = 1;

/// The part of a note that is read first.
#[derive(Deserialize)]
struct Header {
    /// The first notes had no version.
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

/// A note with the version of its format.
#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    note: &'a Note,
}

/// The digest of the settings that Kubespray can't change on an existing cluster: a plan refuses a file in which it differs.
pub fn settings(cluster: &Cluster) -> Result<String, Error> {
    let kubernetes = &cluster.kubernetes;
    digest(&(
        (
            &kubernetes.network_plugin,
            &kubernetes.dns_mode,
            &kubernetes.container_manager,
        ),
        kubernetes.auto_renew_certificates,
        cluster.balancing.vip,
    ))
}

/// The digest of the addons: of the variables that Kubespray's tasks for addons use. Other variables do not count, nor does the
/// order in which they are written.
pub fn addons(cluster: &Cluster) -> Result<String, Error> {
    let is_addons = |name: &Value| name.as_str().is_some_and(variables::is_addons);
    let addons = cluster.addons.kubespray.iter();
    let addons: Mapping = addons
        .filter(|(name, _)| is_addons(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Everyone who may read libvirt's domains sees the digest. If secrets are among the variables, guessing them has to take long.
    let secret = variables::hold_secret(&addons);
    let plain = digest(&(in_order(Value::Mapping(addons)), &cluster.addons.rook))?;
    Ok(match secret {
        true => slow(&cluster.name, plain),
        false => plain,
    })
}

/// The same value, with the entries of all mappings in the order of their keys.
fn in_order(value: Value) -> Value {
    match value {
        Value::Mapping(mapping) => {
            let mut entries: Vec<_> = mapping
                .into_iter()
                .map(|(key, value)| (key, in_order(value)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
            Value::Mapping(entries.into_iter().collect())
        }
        Value::Sequence(list) => Value::Sequence(list.into_iter().map(in_order).collect()),
        other => other,
    }
}

/// How many times a digest of secrets is hashed: this takes about 50 ms.
const ROUNDS: u32 = 100_000;

/// A slow, salted digest of a digest. All nodes of a cluster have the same one, so the last result is cached.
fn slow(salt: &Label, plain: String) -> String {
    static LAST: Mutex<Option<(Label, String, String)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((last_salt, last_plain, result)) = &*last
        && (last_salt, last_plain) == (salt, &plain)
    {
        return result.clone();
    }
    let mut result = digest::sha256(format!("{salt}\0{plain}").as_bytes());
    for _ in 0..ROUNDS {
        result = digest::sha256(format!("{salt}\0{result}").as_bytes());
    }
    *last = Some((salt.clone(), plain, result.clone()));
    result
}

fn digest(value: &impl Serialize) -> Result<String, Error> {
    digest::of(value).map_err(|e| Error::because("take a digest of the settings", e))
}

#[cfg(test)]
mod tests;
