//! [`Site`]: the site file (`site.yaml`), with the settings of this machine rather than of a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Pip, VirtType};
use crate::timeouts::Timeouts;
use crate::value::Checksum;

/// The site file. Every part is optional.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Site {
    /// The default of hosts that have none.
    pub virt_type: VirtType,
    /// Images by distro (`ubuntu22`), instead of the built-in ones.
    pub images: BTreeMap<String, SiteImage>,
    /// Kubespray: a mirror, an interpreter.
    pub kubespray: SiteKubespray,
    /// Where Python packages come from.
    pub pip: Pip,
    /// libvirt URIs that cluster files may use although they do more than connect; each is complete.
    pub libvirt_uris: Vec<String>,
    /// The HTTP proxy of machines.
    pub proxy: SiteProxy,
    /// The deadlines of waits for machines and nodes.
    pub timeouts: Timeouts,
}

/// The site's HTTP proxy. `Debug` does not show the passwords that its URLs may have.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteProxy {
    /// For http addresses.
    pub http: Option<String>,
    /// For https addresses.
    pub https: Option<String>,
    /// Names and addresses that are reached without it, in addition to the cluster's own.
    pub no: Vec<String>,
}

impl std::fmt::Debug for SiteProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(crate::address::shown);
        f.debug_struct("SiteProxy")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("no", &self.no)
            .finish()
    }
}

/// An image of the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteImage {
    /// A path on this machine or an http(s) address.
    pub source: String,
    /// The image's checksum; none: it is not checked.
    pub checksum: Option<Checksum>,
}

/// Kubespray on this site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SiteKubespray {
    /// A git URL or a path, instead of the public repository; a cluster file's `url` wins.
    pub url: Option<String>,
    /// The interpreter for its environment, instead of one chosen by the release's table.
    pub python: Option<PathBuf>,
    /// How many machines Ansible works on at a time, if not 20.
    pub forks: Option<u16>,
    /// Whether tags may stand for other commits than in the public repository, as in one with changes of your own. Left out,
    /// they may where `url` here is a folder of this machine, and nowhere else.
    pub any_commit: Option<bool>,
}
