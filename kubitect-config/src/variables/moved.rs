//! [`moved`]: what to set instead of variables that only older releases read, or that only other programs have.

/// Variables of older releases, with what to do instead.
pub(super) const MOVED: [(&str, &str); 28] = [
    ("metallb_ip_range", METALLB),
    ("metallb_additional_address_pools", METALLB),
    ("metallb_pool_name", METALLB),
    ("metallb_auto_assign", METALLB),
    ("metallb_avoid_buggy_ips", METALLB),
    ("metallb_peers", METALLB),
    ("metallb_protocol", METALLB),
    (
        "metallb_speaker_nodeselector",
        "set metallb_config.speaker.nodeselector",
    ),
    (
        "metallb_speaker_tolerations",
        "set metallb_config.speaker.tolerations",
    ),
    (
        "metallb_controller_nodeselector",
        "set metallb_config.controller.nodeselector",
    ),
    (
        "metallb_controller_tolerations",
        "set metallb_config.controller.tolerations",
    ),
    ("matallb_auto_assign", METALLB),
    ("containerd_registries", MIRRORS),
    ("containerd_insecure_registries", MIRRORS),
    ("crio_insecure_registries", "set crio_registries"),
    ("disable_swap", "set kubelet_fail_swap_on"),
    (
        "enable_dual_stack_networks",
        "set ipv6_stack: true beside ipv4_stack",
    ),
    (
        "dynamic_kubelet_configuration",
        "Kubernetes has no dynamic configuration of kubelets since v1.24",
    ),
    (
        "podsecuritypolicy_enabled",
        "Kubernetes has no PodSecurityPolicy since v1.25; set kube_pod_security_use_default",
    ),
    (
        "kube_apiserver_insecure_port",
        "Kubernetes has no insecure port since v1.24",
    ),
    ("cri_dockerd_enabled", "Docker always gets it since v2.20"),
    (
        "kubelet_static_pod_path",
        "static pods always come from /etc/kubernetes/manifests",
    ),
    ("ingress_nginx_enabled", HELM),
    ("dashboard_enabled", HELM),
    ("deploy_netchecker", HELM),
    ("cephfs_provisioner_enabled", HELM),
    ("rbd_provisioner_enabled", HELM),
    ("kata_containers_enabled", HELM),
];

/// Other programs' names, with the variable that is meant.
const SYNONYMS: [(&str, &str); 9] = [
    ("cluster_cidr", PODS),
    ("kube_pod_cidr", PODS),
    ("pod_cidr", PODS),
    ("pod_network_cidr", PODS),
    ("pod_subnet", PODS),
    ("kube_service_cidr", SERVICES),
    ("kube_service_subnet", SERVICES),
    ("service_cidr", SERVICES),
    ("service_subnet", SERVICES),
];

const METALLB: &str = "addresses and peers are parts of metallb_config: `metallb_config: {address_pools: {primary: \
                       {ip_range: [FIRST-LAST]}}, layer2: [primary]}`";
const PODS: &str = "set kube_pods_subnet";
const SERVICES: &str = "set kube_service_addresses";
const MIRRORS: &str = "set containerd_registries_mirrors";
const HELM: &str = "Kubespray no longer installs it; install it into the finished cluster";

/// What to do instead of a variable that the release does not have.
pub(crate) fn moved(name: &str) -> Option<&'static str> {
    MOVED
        .iter()
        .chain(&SYNONYMS)
        .find(|(moved, _)| *moved == name)
        .map(|(_, instead)| *instead)
}
