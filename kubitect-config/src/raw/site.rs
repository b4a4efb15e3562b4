//! The site file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::cluster::VirtType;

/// What is true of this machine rather than of a cluster: `site.yaml` in Kubitect's home. All of it may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "Kubitect site")]
pub(crate) struct Site {
    /// What guests run on, for hosts that do not say.
    #[schemars(extend("default" = "auto"))]
    pub virt_type: Option<VirtType>,
    /// Images by distro (`ubuntu22`, or `ubuntu` for the same), instead of the built-in ones.
    pub images: BTreeMap<String, SiteImage>,
    /// Kubespray on this site.
    pub kubespray: SiteKubespray,
    /// Where Python packages come from.
    pub pip: SitePip,
    /// libvirt URIs that cluster files may name although they run a program or say whom to trust (`command=`, `netcat=`,
    /// `socket=`, `pkipath=`, …); each written whole, as in `connection.uri`.
    #[schemars(extend("examples" = [["qemu+unix:///system?socket=/run/lab/libvirt-sock"]]))]
    pub libvirt_uris: Vec<String>,
    /// The HTTP proxy by which machines reach the outside: for their packages, their container runtime and Kubespray.
    /// Kubespray's variables `http_proxy`, `https_proxy` and `no_proxy` of a cluster file win.
    pub proxy: SiteProxy,
    /// How long is waited, each as `90s`, `20m` or `2h`, of 1 s to 24 h. Options of `apply` win.
    pub timeouts: SiteTimeouts,
}

/// How long is waited.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SiteTimeouts {
    /// For a machine that starts: for its address, and then until cloud-init is done.
    #[schemars(extend("default" = "20m"))]
    pub boot: Option<String>,
    /// For pods to leave a node.
    #[schemars(extend("default" = "5m"))]
    pub drain: Option<String>,
    /// For a node to be Ready, and for the API of a master to serve.
    #[schemars(extend("default" = "10m"))]
    pub ready: Option<String>,
}

/// The HTTP proxy by which machines reach the outside.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SiteProxy {
    /// For http addresses, as `http://proxy.example:3128`.
    pub http: Option<String>,
    /// For https addresses; mostly the same.
    pub https: Option<String>,
    /// Names, addresses and ranges that are reached without it. The cluster's own (machines, VIP, services, pods and their
    /// domain) come by themselves.
    pub no: Vec<String>,
}

/// An image of the site.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["source"]))]
pub(crate) struct SiteImage {
    /// An absolute path on this machine or an http(s) address.
    pub source: Option<String>,
    /// What it must hash to: `sha256:<digits>`, `sha512:<digits>`, or the http(s) address of a list of digests.
    /// Default: it is not checked.
    pub checksum: Option<String>,
}

/// Kubespray on this site.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SiteKubespray {
    /// A mirror: git URL or absolute path. A cluster file's `url` wins.
    pub url: Option<String>,
    /// The Python interpreter for Kubespray, an absolute path. Default: chosen by the release's table.
    pub python: Option<String>,
    /// How many machines Ansible works on at a time: fewer where this host emulates them, more for a large cluster. Not
    /// fewer than a majority of the masters, whose etcd starts together. Default: 20.
    #[schemars(range(min = 1))]
    pub forks: Option<u16>,
    /// Whether tags may stand for other commits than in the public repository, as in one with changes of your own. Default:
    /// true where `url` here is a folder of this machine (and the cluster file has none), else false.
    pub any_commit: Option<bool>,
}

/// Where Python packages come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SitePip {
    /// An index instead of PyPI, as pip's `--index-url`.
    pub index_url: Option<String>,
    /// A folder (absolute) or http(s) page of wheels, as pip's `--find-links`.
    pub find_links: Option<String>,
}
