//! Kubespray's variables in `addons.kubespray`: those that Kubitect sets itself, those whose values it relies on, those that
//! can't be changed in an existing cluster, those that were renamed or removed, and those of addons.

mod moved;

use crate::value::Version;
use crate::yaml::{Mapping, Value};

pub(crate) use moved::moved;

/// Further names in the API server's certificates: the one list to which both the file and Kubitect add items.
pub const SANS: &str = "supplementary_addresses_in_ssl_keys";

/// The HTTP proxy for http addresses. Machines need it before Kubespray runs, so Kubitect reads it, too.
pub const HTTP_PROXY: &str = "http_proxy";
/// The HTTP proxy for https addresses.
pub const HTTPS_PROXY: &str = "https_proxy";
/// Names, addresses and ranges that are reached without the proxy, separated by commas.
pub const NO_PROXY: [&str; 2] = ["no_proxy", "additional_no_proxy"];

/// Kubespray's default of `cluster_name`, and so of `dns_domain`.
pub(crate) const CLUSTER_NAME: &str = "cluster.local";
/// Kubespray's default of `kube_service_addresses`.
pub(crate) const SERVICES: &str = "10.233.0.0/18";
/// Kubespray's default of `kube_pods_subnet`.
pub(crate) const PODS: &str = "10.233.64.0/18";

pub use crate::secret::hold_secret;

/// Variables that Kubitect sets itself, with what to do instead: they follow from other keys of the file, or control a single run.
const MANAGED: [(&str, &str); 26] = [
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
    ("etcd_member_name", "it follows from the master's id"),
    ("ip", "set the node's ip"),
    ("access_ip", "set the node's ip"),
    ("etcd_access_address", "set the master's ip"),
    ("node_labels", "set the node's labels"),
    ("node_taints", "set the node's taints"),
    ("kube_override_hostname", "nodes are known by their names"),
    ("node", "it would choose what is removed"),
    (
        "skip_confirmation",
        "Kubitect asks before it removes anything",
    ),
    ("reset_nodes", REMOVAL),
    ("allow_ungraceful_removal", REMOVAL),
    (
        "upgrade_node_always_cordon",
        "Kubitect cordons and uncordons nodes itself, and leaves those alone that a person cordoned",
    ),
    (
        "drain_nodes",
        "Kubitect decides which nodes are drained, and shows it in the plan",
    ),
    ("serial", "Kubitect works on one node after another"),
    (
        "upgrade_cluster_setup",
        "set kubernetes.version: Kubitect upgrades one node after another",
    ),
    (
        "etcd_cluster_setup",
        "etcd's members follow from cluster.nodes.master",
    ),
    (
        "first_kube_control_plane",
        "it follows from cluster.nodes.master",
    ),
    (
        "kube_apiserver_authentication_config_anonymous",
        "leave it out: load balancers ask each master's /readyz without credentials",
    ),
    ("reset_confirmation", "use `kubitect destroy`"),
];

const REMOVAL: &str = "Kubitect decides it by whether the machine answers";

/// A variable that may only have some values, as Kubitect's own steps on the machines rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relied {
    /// The variable.
    pub name: &'static str,
    /// Its allowed values as a file has them, the default first.
    pub values: &'static [&'static str],
    /// What would fail with another value.
    pub why: &'static str,
}

/// All variables that Kubitect relies on. `tests/tests/structure/assumptions.rs` checks the paths, ports and units in the code
/// against them.
pub const RELIED: [Relied; 19] = [
    relied(
        "bin_dir",
        &["/usr/local/bin"],
        "kubectl, kubeadm and etcdctl are called by their paths",
    ),
    relied(
        "kube_config_dir",
        &["/etc/kubernetes"],
        "the kubeconfig is fetched from /etc/kubernetes",
    ),
    relied(
        "kube_cert_dir",
        &["/etc/kubernetes/ssl", "{{ kube_config_dir }}/ssl"],
        "`status` reads the certificates there",
    ),
    relied(
        "kube_manifest_dir",
        &[
            "/etc/kubernetes/manifests",
            "{{ kube_config_dir }}/manifests",
        ],
        "which members of etcd an API server asks is read from its manifest there",
    ),
    relied(
        "etcd_config_dir",
        &["/etc/ssl/etcd"],
        "`status` reads etcd's certificates below it",
    ),
    relied(
        "etcd_cert_dir",
        &["/etc/ssl/etcd/ssl", "{{ etcd_config_dir }}/ssl"],
        "`status` reads etcd's certificates there",
    ),
    relied(
        "etcd_data_dir",
        &["/var/lib/etcd"],
        "what an old member left on a machine is looked for there before it joins",
    ),
    relied(
        "etcd_deployment_type",
        &["host"],
        "snapshots, upgrades, restarts and changes of masters ask etcd by /etc/etcd.env and its systemd unit",
    ),
    relied(
        "etcd_kubeadm_enabled",
        &["false"],
        "snapshots, upgrades, restarts and changes of masters ask etcd by /etc/etcd.env and its systemd unit",
    ),
    relied(
        "etcd_events_cluster_enabled",
        &["false"],
        "changes of masters, snapshots and `status` know one etcd only",
    ),
    relied(
        "etcd_events_cluster_setup",
        &["false"],
        "changes of masters, snapshots and `status` know one etcd only",
    ),
    relied(
        "force_etcd_cert_refresh",
        &["true"],
        "without it, masters and workers that join may miss certificates of etcd",
    ),
    relied(
        "kube_api_anonymous_auth",
        &["true"],
        "load balancers ask each master's /readyz without credentials, and would take every master for dead",
    ),
    relied(
        "rbac_enabled",
        &["true"],
        "load balancers may ask /readyz by a rule of RBAC",
    ),
    relied(
        "kube_apiserver_port",
        &["6443"],
        "the load balancer leads to port 6443 of the masters",
    ),
    relied(
        "kube_apiserver_bind_address",
        &["0.0.0.0", "::"],
        "each master's API server is asked on the machine itself, at 127.0.0.1",
    ),
    relied(
        "loadbalancer_apiserver_localhost",
        &["false"],
        "nodes reach the masters through cluster.nodes.loadBalancer",
    ),
    relied(
        "override_system_hostname",
        &["true"],
        "nodes are known by their names",
    ),
    relied(
        "system_upgrade",
        &["false"],
        "it upgrades packages and restarts machines in the middle of Kubitect's own order",
    ),
];

const fn relied(name: &'static str, values: &'static [&'static str], why: &'static str) -> Relied {
    Relied { name, values, why }
}

/// Arguments of the API server that are not allowed in `kube_kubeadm_apiserver_extra_args`: they would override variables of
/// [`RELIED`] and [`MANAGED`].
pub(crate) const API_SERVER_ARGUMENTS: [&str; 7] = [
    "anonymous-auth",
    "authentication-config",
    "authorization-config",
    "authorization-mode",
    "bind-address",
    "etcd-servers",
    "secure-port",
];

/// Variables that can't be changed in an existing cluster. Kubernetes, etcd and the network plugin keep the values of their first
/// set-up, so a later run would set up new nodes differently from the existing ones.
const FIXED: [&str; 30] = [
    "bin_dir",
    "calico_datastore",
    "calico_ipip_mode",
    "calico_network_backend",
    "calico_pool_blocksize",
    "calico_pool_blocksize_ipv6",
    "calico_pool_cidr",
    "calico_pool_cidr_ipv6",
    "calico_pool_name",
    "calico_vxlan_mode",
    "cilium_identity_allocation_mode",
    "cilium_ipam_mode",
    "cluster_name",
    "crio_default_runtime",
    "dns_domain",
    "enable_dual_stack_networks",
    "etcd_data_dir",
    "etcd_deployment_type",
    "ipv4_stack",
    "ipv6_stack",
    "kube_apiserver_ip",
    "kube_cert_dir",
    "kube_network_node_prefix",
    "kube_network_node_prefix_ipv6",
    "kube_pods_subnet",
    "kube_pods_subnet_ipv6",
    "kube_proxy_mode",
    "kube_service_addresses",
    "kube_service_addresses_ipv6",
    "skydns_server",
];

/// The prefixes of addons' variables: the addons in the sample files of Kubespray v2.19 to v2.31, and others that these releases
/// install. kube-vip is left out, as it is set up together with the nodes.
const ADDONS: [&str; 20] = [
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
    "prometheus_operator_crds",
    "rbd_provisioner",
    "snapshot_controller",
];

/// The variables of the addon `registry`. They are listed, as not every variable with that prefix is the addon's: `registry_host`
/// is the source of all images in offline set-ups.
const REGISTRY: [&str; 4] = [
    "registry_enabled",
    "registry_namespace",
    "registry_storage_class",
    "registry_disk_size",
];

/// What to do instead of setting this variable; none if Kubitect does not set it itself.
pub fn managed(name: &str) -> Option<&'static str> {
    if name.starts_with("ansible_") {
        return Some("how Ansible reaches the machines is Kubitect's");
    }
    MANAGED
        .iter()
        .find(|(managed, _)| *managed == name)
        .map(|(_, instead)| *instead)
}

/// The entry of [`RELIED`] that this value would break; none if the value is allowed.
pub fn broken(name: &str, value: &Value) -> Option<&'static Relied> {
    let relied = RELIED.iter().find(|relied| relied.name == name)?;
    let text = match value {
        Value::String(text) => text.trim_end_matches('/').to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        _ => return Some(relied),
    };
    let same = |value: &&str| *value == text || value.replace(' ', "") == text.replace(' ', "");
    let means = |value: &&str| truth(&text).is_some_and(|is| is.to_string() == **value);
    (!relied.values.iter().any(|v| same(v) || means(v))).then_some(relied)
}

/// The truth value as which Ansible reads a text.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// Whether this variable can't be changed in an existing cluster.
pub(crate) fn is_fixed(name: &str) -> bool {
    FIXED.contains(&name)
}

/// Whether kubelets of this Kubernetes start only with cgroups of version 2: from v1.35 on, unless `kubelet_fail_cgroup_v1` is
/// false.
pub fn needs_cgroup2(kubernetes: &Version, kubespray: &Mapping) -> bool {
    let fails_on_v1 = match kubespray.get("kubelet_fail_cgroup_v1") {
        Some(Value::Bool(is)) => Some(*is),
        Some(Value::String(text)) => truth(text),
        _ => None,
    };
    kubernetes.minor() >= (1, 35) && fails_on_v1 != Some(false)
}

/// Whether this is a variable of an addon, by its name: then Kubespray's tasks for addons apply it at once. All others take
/// effect on a node when it is set up or upgraded.
pub fn is_addons(name: &str) -> bool {
    let is_of = |addon: &str| {
        name.strip_prefix(addon)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    ADDONS.iter().any(|addon| is_of(addon)) || REGISTRY.contains(&name)
}

#[cfg(test)]
mod tests;
