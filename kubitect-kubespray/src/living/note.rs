//! [`Note`]: what is set up on a machine, as it is kept in libvirt's record of the machine.
//!
//! So a plan needs to ask libvirt only, the cluster's folder may be lost, and a machine that is made anew has no note.

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, digest};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is set up on a master or a worker. A balancer's note is the digest of its files alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether Kubernetes is set up; else that has begun.
    pub finished: bool,
    /// Whether pods are kept away from it while it is worked on: by us, and not by a person.
    pub busy: bool,
    /// The Kubernetes that is set up, and the Kubespray that did it.
    pub release: Hop,
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
}

impl Note {
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
            release: release.clone(),
            settings: settings(cluster)?,
            addons: addons(cluster)?,
            labels: node.labels.clone(),
            taints: node.taints.iter().map(ToString::to_string).collect(),
            members: match node.role {
                Role::Master => members.clone(),
                _ => BTreeSet::new(),
            },
            joined: 0,
        })
    }

    /// A note as it is kept; none if another program wrote it.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The note as it is kept.
    pub fn text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::because("note what is set up", e))
    }
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

/// The addons.
pub fn addons(cluster: &Cluster) -> Result<String, Error> {
    digest(&cluster.addons)
}

fn digest(value: &impl Serialize) -> Result<String, Error> {
    digest::of(value).map_err(|e| Error::because("take a digest of the settings", e))
}
