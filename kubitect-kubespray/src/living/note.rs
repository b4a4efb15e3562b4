//! [`Note`]: what is set up on a machine, as it is kept in libvirt's record of the machine.
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
    /// Whether Kubernetes is set up; else that has begun.
    pub finished: bool,
    /// Whether pods are kept away from it while it is worked on: by us, and not by a person.
    pub busy: bool,
    /// Whether the balancers keep new connections away from it while it is worked on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// The Kubernetes that is set up, and the Kubespray that did it.
    pub release: Hop,
    /// What it is being upgraded to, from before the playbook that does it until all of that is done: it may have parts of both. On
    /// masters from before the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub getting: Option<Hop>,
    /// A digest of the cluster's settings that can't be changed later.
    pub settings: String,
    /// A digest of the addons.
    pub addons: String,
    /// The node's labels, as configured.
    pub labels: BTreeMap<String, String>,
    /// The node's taints, as configured.
    pub taints: BTreeSet<String>,
    /// The masters whose etcd members this master's API server uses.
    pub members: BTreeSet<Label>,
    /// Where a master stands among etcd's members: 0 for those that began together, one more than all others for one that
    /// joined later.
    #[serde(default)]
    pub joined: u32,
    /// Whether its etcd was being brought back to a snapshot, which has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
}

impl Note {
    /// Whether something is kept away from it for work that has not ended.
    pub fn is_held(&self) -> bool {
        self.busy || self.drained
    }

    /// What is noted of a node when the cluster's file is carried out on it with this `release`.
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

    /// Reads a note as it lies in libvirt. One that can't be read is an error and never "not set up": a plan that took it for
    /// that would make a living cluster anew.
    pub fn read(text: &str) -> Result<Self, Error> {
        let unreadable =
            |e| Error::because("read what is noted of it: it is no note of Kubitect's", e);
        let form: Form = serde_json::from_str(text).map_err(unreadable)?;
        if form.version != VERSION {
            return Err(Error::failed(format!(
                "read what is noted of it: the note has version {}, and this Kubitect reads version {VERSION}; use the \
                 Kubitect that wrote it, or a newer one",
                form.version
            )));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The note as it lies in libvirt.
    pub fn text(&self) -> Result<String, Error> {
        let kept = Kept {
            version: VERSION,
            note: self,
        };
        serde_json::to_string(&kept).map_err(|e| Error::because("note what is set up", e))
    }
}

/// The version of the form in which notes lie in libvirt. A field that older programs may ignore needs no new one, but a default
/// for the notes that lack it; a field that changes its meaning needs one, and a way to read the former.
const VERSION: u32 = 1;

/// What is read of a note first.
#[derive(Deserialize)]
struct Form {
    /// The first notes had no version.
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

/// A note with the version of its form.
#[derive(Serialize)]
struct Kept<'a> {
    version: u32,
    #[serde(flatten)]
    note: &'a Note,
}

/// Of the cluster's settings those that reach Kubernetes and that Kubespray can't change later. Neither paths of this
/// machine nor where tools come from.
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

/// The addons: those variables that their tasks carry out. Neither what else the file passes to Kubespray counts, nor the
/// order in which it is written.
pub fn addons(cluster: &Cluster) -> Result<String, Error> {
    let is_addons = |name: &Value| name.as_str().is_some_and(variables::is_addons);
    let addons = cluster.addons.kubespray.iter();
    let addons: Mapping = addons
        .filter(|(name, _)| is_addons(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Whoever may read libvirt sees the digest: where secrets are among the variables, trying them out takes long.
    let secret = variables::hold_secret(&addons);
    let plain = digest(&(in_order(Value::Mapping(addons)), &cluster.addons.rook))?;
    Ok(match secret {
        true => slow(&cluster.name, plain),
        false => plain,
    })
}

/// The same value, mappings in the order of their keys.
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

/// How often a digest with secrets in it is taken: some 50 ms.
const ROUNDS: u32 = 100_000;

/// A digest that is the cluster's own and takes long to make. Every node of a cluster has the same: the last one is remembered.
fn slow(salt: &Label, plain: String) -> String {
    static LAST: Mutex<Option<(Label, String, String)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, from, made)) = &*last
        && (of, from) == (salt, &plain)
    {
        return made.clone();
    }
    let mut made = digest::sha256(format!("{salt}\0{plain}").as_bytes());
    for _ in 0..ROUNDS {
        made = digest::sha256(format!("{salt}\0{made}").as_bytes());
    }
    *last = Some((salt.clone(), plain, made.clone()));
    made
}

fn digest(value: &impl Serialize) -> Result<String, Error> {
    digest::of(value).map_err(|e| Error::because("take a digest of the settings", e))
}

#[cfg(test)]
mod tests;
