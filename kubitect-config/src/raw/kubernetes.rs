//! Section `kubernetes`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::VERSION;
use crate::defaults;

/// Which Kubernetes, and how it is set up.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Kubernetes {
    /// Kubernetes' release, with or without `v`. Left out, a living cluster keeps what it has.
    #[schemars(regex(pattern = VERSION), extend("default" = crate::release::default_kubernetes().to_string()))]
    pub version: Option<String>,
    /// Network plugin, one that the Kubespray release knows.
    #[schemars(extend("default" = defaults::NETWORK_PLUGIN, "examples" = ["calico", "cilium", "flannel", "kube-router"]))]
    pub network_plugin: Option<String>,
    /// DNS inside of the cluster, one that the Kubespray release knows.
    #[schemars(extend("default" = defaults::DNS_MODE))]
    pub dns_mode: Option<String>,
    /// Container runtime, one that the Kubespray release knows. `kubespray`, as other programs' files have it, means
    /// the default; their `k3s` is not possible.
    #[schemars(extend("default" = defaults::CONTAINER_MANAGER, "examples" = ["containerd", "crio", "docker"]))]
    pub manager: Option<String>,
    /// Kubespray, which sets Kubernetes up.
    pub kubespray: Kubespray,
    /// Further settings.
    pub other: Other,
}

/// Kubespray, which sets Kubernetes up.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Kubespray {
    /// Release, with or without `v`. Default: what a living cluster has, while that fits; for a new one the newest known that supports the Kubernetes version.
    #[schemars(regex(pattern = VERSION))]
    pub version: Option<String>,
    /// Git URL or absolute path of the repository. Default: the site file's mirror, else the public repository.
    pub url: Option<String>,
}

/// Further settings of Kubernetes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Other {
    /// Whether the control plane renews its certificates by itself, on the first Monday of each month.
    /// Fixed once the cluster is made.
    #[schemars(extend("default" = false))]
    pub auto_renew_certificates: Option<bool>,
    /// Whether the cluster's kubeconfig is merged into `~/.kube/config`.
    #[schemars(extend("default" = false))]
    pub merge_kubeconfig: Option<bool>,
    /// Older name of `mergeKubeconfig`. Nothing is overwritten: the kubeconfig is merged.
    #[schemars(extend("default" = false))]
    pub copy_kubeconfig: Option<bool>,
}
