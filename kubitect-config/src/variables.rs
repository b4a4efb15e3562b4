//! Kubespray's variables in `addons.kubespray`: which are Kubitect's own, which a cluster keeps for life, and which the
//! tasks of the addons carry out.

/// Certificates' further names; the one variable that users and Kubitect both add to.
pub const SANS: &str = "supplementary_addresses_in_ssl_keys";

/// The HTTP proxy for http addresses, which machines need before Kubespray knows them.
pub const HTTP_PROXY: &str = "http_proxy";
/// The HTTP proxy for https addresses.
pub const HTTPS_PROXY: &str = "https_proxy";
/// What is reached without the proxy: names, addresses and ranges between commas.
pub const NO_PROXY: [&str; 2] = ["no_proxy", "additional_no_proxy"];

/// Kubespray's default of `cluster_name`, and so of `dns_domain`.
pub(crate) const CLUSTER_NAME: &str = "cluster.local";
/// Kubespray's default of `kube_service_addresses`.
pub(crate) const SERVICES: &str = "10.233.0.0/18";
/// Kubespray's default of `kube_pods_subnet`.
pub(crate) const PODS: &str = "10.233.64.0/18";

/// Whether one of these variables is a secret: by its name, or as an address that holds one.
pub fn hold_secret(variables: &crate::yaml::Mapping) -> bool {
    crate::edit::hold_secret(variables)
}

/// Variables that follow from the rest of the configuration, and where there.
const MANAGED: [(&str, &str); 18] = [
    ("kube_version", "set kubernetes.version"),
    ("kube_network_plugin", "set kubernetes.networkPlugin"),
    ("dns_mode", "set kubernetes.dnsMode"),
    ("container_manager", "set kubernetes.manager"),
    (
        "auto_renew_certificates",
        "set kubernetes.other.autoRenewCertificates",
    ),
    (
        "loadbalancer_apiserver",
        "it follows from cluster.nodes.loadBalancer",
    ),
    (
        "apiserver_loadbalancer_domain_name",
        "it follows from cluster.nodes.loadBalancer",
    ),
    (
        "kube_apiserver_port",
        "the load balancer leads to port 6443 of the masters",
    ),
    (
        "kube_config_dir",
        "the kubeconfig is fetched from /etc/kubernetes",
    ),
    ("etcd_member_name", "it follows from the master's id"),
    ("ip", "set the node's ip"),
    ("access_ip", "set the node's ip"),
    ("node_labels", "set the node's labels"),
    ("node_taints", "set the node's taints"),
    ("override_system_hostname", "nodes are known by their names"),
    ("kube_override_hostname", "nodes are known by their names"),
    ("node", "it would choose what is removed"),
    (
        "skip_confirmation",
        "Kubitect asks before it removes anything",
    ),
];

/// Variables of Kubespray that a cluster is built on: Kubernetes, etcd and the network plugin keep what they were first
/// set up with, and a later run would set up new nodes otherwise than the old ones.
const FIXED: [&str; 15] = [
    "bin_dir",
    "calico_datastore",
    "cluster_name",
    "dns_domain",
    "etcd_data_dir",
    "etcd_deployment_type",
    "kube_apiserver_ip",
    "kube_cert_dir",
    "kube_network_node_prefix",
    "kube_network_node_prefix_ipv6",
    "kube_pods_subnet",
    "kube_pods_subnet_ipv6",
    "kube_service_addresses",
    "kube_service_addresses_ipv6",
    "skydns_server",
];

/// What the names of addons' variables begin with: those that the sample configurations of Kubespray v2.19 to v2.31 have
/// in their file of addons. kube-vip's are not among them: it is set up together with the nodes.
const ADDONS: [&str; 19] = [
    "alb_ingress",
    "argocd",
    "cephfs_provisioner",
    "cert_manager",
    "csi_snapshot_controller",
    "dashboard",
    "gateway_api",
    "helm",
    "ingress_alb",
    "ingress_nginx",
    "ingress_publish_status_address",
    "krew",
    "local_path_provisioner",
    "local_volume_provisioner",
    "metallb",
    "metrics_server",
    "node_feature_discovery",
    "rbd_provisioner",
    "snapshot_controller",
];

/// The registry is an addon, too, but not every variable that begins so is about it: `registry_host` is where all images
/// come from in offline set-ups.
const REGISTRY: [&str; 4] = [
    "registry_enabled",
    "registry_namespace",
    "registry_storage_class",
    "registry_disk_size",
];

/// What to do instead of setting this variable, if it is one of Kubitect's own.
pub fn managed(name: &str) -> Option<&'static str> {
    if name.starts_with("ansible_") {
        return Some("how Ansible reaches the machines is Kubitect's");
    }
    MANAGED
        .iter()
        .find(|(managed, _)| *managed == name)
        .map(|(_, instead)| *instead)
}

/// Whether a cluster keeps the value of this variable that it was first set up with.
pub(crate) fn is_fixed(name: &str) -> bool {
    FIXED.contains(&name)
}

/// Whether the tasks of the addons carry this variable out: it is named after an addon. All others come to a node when
/// it is set up or upgraded.
pub(crate) fn is_addons(name: &str) -> bool {
    let is_of = |addon: &str| {
        name.strip_prefix(addon)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    ADDONS.iter().any(|addon| is_of(addon)) || REGISTRY.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addons_are_told_by_their_names() {
        for name in [
            "helm_enabled",
            "metrics_server_replicas",
            "ingress_publish_status_address",
            "registry_disk_size",
            "cert_manager_version",
        ] {
            assert!(is_addons(name), "{name}");
        }
        for name in [
            SANS,
            "kubelet_max_pods",
            "containerd_registries_mirrors",
            "http_proxy",
            "kube_vip_enabled",
            "ntp_enabled",
            "registry_host",
            "helmet",
        ] {
            assert!(!is_addons(name), "{name}");
        }
    }

    #[test]
    fn what_is_managed_or_fixed_is_no_addons() {
        let managed = MANAGED.iter().map(|(name, _)| *name);
        for name in managed.chain(FIXED) {
            assert!(!is_addons(name), "{name}");
        }
    }
}
