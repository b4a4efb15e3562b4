//! Conditions about variables alone: the values that a release takes, and variables that depend on one another.

use super::{Context, Variables, calico, cilium, forms, kube_proxy, metallb, older, runtime};
use crate::release::Release;
use crate::report::{KeyPath, Report, nearest, quote};
use crate::value::Version;

/// A release of Kubespray: `(28, 1)` is v2.28.1.
type Tag = (u64, u64);

/// The releases from the first tag on and before the second.
struct When(Tag, Tag);

const ALWAYS: When = When((0, 0), (u64::MAX, 0));

/// The values that the releases' assertions allow, for variables that are always checked.
const VALUES: [(&str, When, &[&str]); 12] = [
    (
        "kube_proxy_mode",
        When((0, 0), (28, 0)),
        &["iptables", "ipvs"],
    ),
    (
        "kube_proxy_mode",
        When((28, 0), (u64::MAX, 0)),
        &["iptables", "ipvs", "nftables"],
    ),
    (
        "resolvconf_mode",
        ALWAYS,
        &["docker_dns", "host_resolvconf", "none"],
    ),
    ("cert_management", ALWAYS, &["script", "none"]),
    (
        "cloud_provider",
        When((0, 0), (27, 0)),
        &[
            "gce",
            "aws",
            "azure",
            "openstack",
            "vsphere",
            "oci",
            "external",
        ],
    ),
    (
        "cloud_provider",
        When((27, 0), (u64::MAX, 0)),
        &["", "external"],
    ),
    (
        "external_cloud_provider",
        When((27, 0), (27, 1)),
        &["", "hcloud", "huaweicloud", "oci", "openstack", "vsphere"],
    ),
    (
        "external_cloud_provider",
        When((27, 1), (u64::MAX, 0)),
        &[
            "",
            "hcloud",
            "huaweicloud",
            "oci",
            "openstack",
            "vsphere",
            "manual",
        ],
    ),
    (
        "registry_service_type",
        ALWAYS,
        &["ClusterIP", "LoadBalancer", "NodePort"],
    ),
    (
        "kube_encryption_algorithm",
        ALWAYS,
        &["aescbc", "aesgcm", "secretbox"],
    ),
    ("cilium_encryption_type", ALWAYS, &["ipsec", "wireguard"]),
    (
        "cilium_identity_allocation_mode",
        ALWAYS,
        &["crd", "kvstore"],
    ),
];

/// Variables that a release refuses, whatever their value.
const GONE: [(&str, When, &str); 6] = [
    (
        "containerd_config",
        When((0, 0), (28, 0)),
        "set containerd_registries_mirrors, containerd_extra_args and others that begin with containerd_",
    ),
    ("ipip", ALWAYS, "set calico_ipip_mode"),
    ("ipip_mode", ALWAYS, "set calico_ipip_mode"),
    (
        "calcio_ipam_autoallocateblocks",
        When((20, 0), (u64::MAX, 0)),
        "set calico_ipam_autoallocateblocks",
    ),
    (
        "etcd_kubeadm_enabled",
        When((28, 0), (29, 0)),
        "leave it out: etcd is set up on the hosts",
    ),
    (
        "kubelet_static_pod_path",
        When((31, 0), (32, 0)),
        "leave it out: static pods come from /etc/kubernetes/manifests",
    ),
];

/// A bound of the versions that a file may set.
enum Bound {
    From(&'static str),
    Before(&'static str),
}

const VERSIONS: [(&str, When, Bound); 5] = [
    ("containerd_version", ALWAYS, Bound::From("v1.3.7")),
    (
        "cilium_version",
        When((20, 0), (28, 0)),
        Bound::From("v1.10.0"),
    ),
    (
        "cilium_version",
        When((28, 0), (u64::MAX, 0)),
        Bound::From("v1.15.0"),
    ),
    // MetalLB is configured by a ConfigMap up to 0.12, and by its own resources since.
    (METALLB, When((0, 0), (22, 0)), Bound::Before("v0.13.0")),
    (
        METALLB,
        When((22, 0), (u64::MAX, 0)),
        Bound::From("v0.13.0"),
    ),
];

const METALLB: &str = "metallb_version";

/// All allowed values of the tables.
pub(super) fn known_values() -> impl Iterator<Item = &'static str> {
    let values = VALUES.iter().map(|(_, _, values)| *values);
    let values = values.chain(calico::VALUES.iter().map(|(_, values)| *values));
    values.flatten().copied()
}

impl When {
    fn holds(&self, release: &Release) -> bool {
        let tag = &release.tag;
        let tag = (tag.minor().1, tag.patch());
        self.0 <= tag && tag < self.1
    }
}

pub(super) fn rules(context: &Context, variables: &Variables, path: &KeyPath, report: &mut Report) {
    for (name, when, values) in VALUES {
        if when.holds(context.release) {
            one_of(name, values, context, variables, report);
        }
    }
    for (name, when, instead) in GONE {
        if when.holds(context.release) && variables.all.contains_key(name) {
            let message = format!("Kubespray {} refuses {}", context.release.tag, quote(name));
            variables.error(name, message, instead, report);
        }
    }
    for name in ["containerd_version", "cilium_version"] {
        version(name, context, variables, report);
    }
    if variables.is_on("metallb_enabled") {
        version(METALLB, context, variables, report);
    }
    if context.kubernetes.network_plugin == "calico" {
        calico::calico(context, variables, report);
    }
    cilium::cilium(context, variables, report);
    kube_proxy::kube_proxy(context, variables, report);
    forms::forms(context, variables, report);
    metallb::address_resolution(variables, report);
    metallb::kube_vip(variables, report);
    let path = path.key("kubernetes");
    runtime::runtime(context, variables, &path, report);
    dependencies(context, variables, &path, report);
    registry(variables, report);
    older::older(context, variables, report);
}

pub(super) fn one_of(
    name: &str,
    values: &[&str],
    context: &Context,
    variables: &Variables,
    report: &mut Report,
) {
    let Some(value) = variables.text(name) else {
        return;
    };
    if !values.contains(&value) {
        let possible: Vec<_> = values
            .iter()
            .copied()
            .filter(|value| !value.is_empty())
            .collect();
        variables.error(
            name,
            format!(
                "Kubespray {} does not know {}",
                context.release.tag,
                quote(value)
            ),
            match guess(name, value, &possible) {
                Some(guess) => format!("did you mean `{guess}`? Possible: {}", possible.join(", ")),
                None => format!("use one of {}", possible.join(", ")),
            },
            report,
        );
    }
}

/// The allowed value that a misspelt one probably means; none if another release allows the value: then it is not misspelt.
fn guess<'v>(name: &str, value: &str, possible: &[&'v str]) -> Option<&'v str> {
    let of_others = VALUES
        .iter()
        .any(|(own, _, values)| *own == name && values.contains(&value));
    match of_others {
        true => None,
        false => nearest(value, possible.iter().copied()),
    }
}

/// The versions of a component that the release allows, if this version is not one of them.
fn refused_version(name: &str, text: &str, release: &Release) -> Option<String> {
    let version = text.parse::<Version>().ok()?;
    let mut of_release = VERSIONS
        .iter()
        .filter(|(own, when, _)| *own == name && when.holds(release));
    let (_, _, bound) = of_release.next()?;
    let is_below = |end: &str| end.parse().is_ok_and(|end| version < end);
    match bound {
        Bound::From(first) => is_below(first).then(|| format!("{first} or later")),
        Bound::Before(end) => (!is_below(end)).then(|| format!("versions before {end}")),
    }
}

/// Whether the release allows this version of the component, with or without `v`.
pub(in crate::validate) fn fits(name: &str, text: &str, release: &Release) -> bool {
    refused_version(name, text, release).is_none()
}

fn version(name: &str, context: &Context, variables: &Variables, report: &mut Report) {
    let release = context.release;
    let text = variables.text(name);
    if let Some(possible) = text.and_then(|text| refused_version(name, text, release)) {
        variables.error(
            name,
            format!("Kubespray {} sets up {possible}", release.tag),
            "leave it out, and the release takes its own",
            report,
        );
    }
}

/// Variables that turn a webhook of the API server on, with the variable of its URL, which has no default.
const WEBHOOKS: [(&str, &str); 2] = [
    ("kube_webhook_token_auth", "kube_webhook_token_auth_url"),
    (
        "kube_webhook_authorization",
        "kube_webhook_authorization_url",
    ),
];

/// Variables that need others, or exclude them.
fn dependencies(context: &Context, variables: &Variables, path: &KeyPath, report: &mut Report) {
    let kubernetes = context.kubernetes;
    let release = context.release;
    let empty = |name: &str| match variables.get(name) {
        None => true,
        Some(value) => value.as_sequence().is_some_and(Vec::is_empty) || value.as_str() == Some(""),
    };
    if kubernetes.dns_mode == "manual" && empty("manual_dns_server") {
        let message = "the DNS mode manual needs the address of your name server";
        let help = "set `manual_dns_server` in addons.kubespray, or leave dnsMode out";
        let path = path.key("dnsMode");
        variables.error_or("manual_dns_server", &path, message, help, report);
    }
    let mut refuse_if = |broken: bool, name: &str, message: &str, help: &str| {
        if broken {
            let plugin = path.key("networkPlugin");
            variables.error_or(name, &plugin, message, help, report);
        }
    };
    refuse_if(
        variables.is_on("download_localhost") && !variables.is_on("download_run_once"),
        "download_localhost",
        "it needs `download_run_once: true`",
        "set download_run_once, too",
    );
    refuse_if(
        variables.is_on("kube_external_ca_mode") && kubernetes.auto_renew_certificates,
        "kube_external_ca_mode",
        "certificates that are made elsewhere can't be renewed here",
        "leave it out, or set kubernetes.other.autoRenewCertificates to false",
    );
    refuse_if(
        variables.is_on("dynamic_kubelet_configuration")
            && !release.is_from(20)
            && kubernetes.version.minor() >= (1, 22),
        "dynamic_kubelet_configuration",
        "Kubernetes has it up to v1.21 only",
        "leave it out",
    );
    for (name, url) in WEBHOOKS {
        let help = format!("set {url}, too, or leave this out");
        let message = format!("it needs `{url}`, the address that is asked");
        refuse_if(variables.is_on(name) && empty(url), name, &message, &help);
    }
    refuse_if(
        kubernetes.network_plugin == "custom_cni"
            && empty("custom_cni_manifests")
            && empty("custom_cni_chart_release_name"),
        "custom_cni_manifests",
        "the network plugin custom_cni needs manifests or a chart",
        "set custom_cni_manifests or custom_cni_chart_release_name in addons.kubespray",
    );
    refuse_if(
        variables.is_on("kube_vip_bgp_enabled")
            && release.is_from(31)
            && !empty("kube_vip_bgp_sourceip")
            && !empty("kube_vip_bgp_sourceif"),
        "kube_vip_bgp_sourceip",
        "kube-vip takes a source address or a source interface, not both",
        "leave out kube_vip_bgp_sourceip or kube_vip_bgp_sourceif",
    );
}

/// The address and port of the registry's service must fit the service's type.
fn registry(variables: &Variables, report: &mut Report) {
    let kind = match variables.get("registry_service_type") {
        None => Some("ClusterIP"),
        Some(_) => variables.text("registry_service_type"),
    };
    let of = [
        ("registry_service_cluster_ip", "ClusterIP"),
        ("registry_service_loadbalancer_ip", "LoadBalancer"),
        ("registry_service_nodeport", "NodePort"),
    ];
    for (name, wanted) in of {
        let set = variables
            .get(name)
            .is_some_and(|value| value.as_str() != Some(""));
        if variables.is_on("registry_enabled") && set && kind.is_some_and(|kind| kind != wanted) {
            variables.error(
                name,
                format!("it needs `registry_service_type: {wanted}`"),
                "leave it out, or set registry_service_type",
                report,
            );
        }
    }
}
