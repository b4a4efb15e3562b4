//! Which variables are refused, and which are those of addons.

use super::moved::MOVED;
use super::*;
use crate::release;

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
    let relied = RELIED.iter().map(|relied| relied.name);
    for name in managed.chain(relied).chain(FIXED) {
        assert!(!is_addons(name), "{name}");
    }
}

#[test]
fn what_kubitect_relies_on_may_be_said_and_not_changed() {
    let value = |text: &str| crate::yaml::read(text, crate::yaml::Limits::OWN).unwrap();
    for (name, text) in [
        ("bin_dir", "/usr/local/bin"),
        ("bin_dir", "/usr/local/bin/"),
        ("kube_cert_dir", "\"{{ kube_config_dir }}/ssl\""),
        ("kube_cert_dir", "\"{{kube_config_dir}}/ssl\""),
        ("kube_api_anonymous_auth", "true"),
        ("kube_api_anonymous_auth", "\"yes\""),
        ("kube_apiserver_port", "6443"),
        ("kube_apiserver_port", "\"6443\""),
        ("anything", "else"),
    ] {
        assert_eq!(broken(name, &value(text)), None, "{name}: {text}");
    }
    for (name, text) in [
        ("bin_dir", "/opt/bin"),
        ("kube_api_anonymous_auth", "false"),
        ("kube_api_anonymous_auth", "\"no\""),
        ("etcd_deployment_type", "kubeadm"),
        ("etcd_deployment_type", "\"{{ mine }}\""),
        ("kube_apiserver_port", "~"),
    ] {
        assert!(broken(name, &value(text)).is_some(), "{name}: {text}");
    }
}

/// Every listed name is a variable of some release: another would have no effect.
#[test]
fn what_is_listed_is_a_variable_of_some_release() {
    let is_read = |name: &str| release::names::last_with(name).is_some();
    for relied in RELIED {
        assert!(is_read(relied.name), "{}", relied.name);
    }
    for name in FIXED {
        assert!(is_read(name), "{name}");
    }
    for (name, _) in MOVED {
        assert!(is_read(name), "{name}");
    }
}
