//! Kubernetes, the Kubespray release that sets it up, and addons.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::release::Hop;
use crate::value::Version;

/// The Kubernetes version and its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kubernetes {
    /// Kubernetes' release.
    pub version: Version,
    /// Kubespray's `kube_network_plugin`; one that the release allows.
    pub network_plugin: String,
    /// Kubespray's `dns_mode`; one that the release allows.
    pub dns_mode: String,
    /// Kubespray's `container_manager`; one that the release allows.
    pub container_manager: String,
    /// The Kubespray that sets it up.
    pub kubespray: Kubespray,
    /// Whether the control plane renews its certificates by itself.
    pub auto_renew_certificates: bool,
    /// Whether the kubeconfig is merged into the user's own.
    pub merge_kubeconfig: bool,
}

impl Kubernetes {
    /// The versions of Kubernetes and Kubespray, as one hop of an upgrade has them.
    pub fn hop(&self) -> Hop {
        Hop {
            kubernetes: self.version.clone(),
            kubespray: self.kubespray.version.clone(),
        }
    }
}

/// Kubespray: its release, where it comes from and which Python runs it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kubespray {
    /// Its release; [`crate::release::find_or_newest`] gives the release's facts.
    pub version: Version,
    /// A git URL or a path.
    pub url: String,
    /// Whether the tag may have another commit than [`crate::release::commit`] gives: a setting of the site file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_commit: bool,
    /// The Python interpreter, from the site file; none: one whose version the release's table allows.
    pub python: Option<PathBuf>,
    /// How many machines Ansible works on at a time.
    pub forks: u16,
    /// Where its Python packages come from.
    pub pip: Pip,
}

/// Where Python packages come from, if not from pip's own configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pip {
    /// Instead of PyPI, as pip's `--index-url`.
    pub index_url: Option<String>,
    /// A folder of wheels, as pip's `--find-links`.
    pub find_links: Option<String>,
}

/// Further programs that are installed into Kubernetes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Addons {
    /// Kubespray's addon variables, passed through as they are.
    pub kubespray: crate::yaml::Mapping,
    /// Rook (Ceph), if enabled.
    pub rook: Option<Rook>,
}

/// Rook, a storage operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rook {
    /// Its release; none: the newest.
    pub version: Option<Version>,
    /// Labels of the nodes that it uses; empty: all workers.
    pub node_selector: std::collections::BTreeMap<String, String>,
}
