//! Cluster and facts to Kubespray's group variables, as the release wants them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use kubitect_config::cluster::{API_PORT, Addons, Kubernetes, Proxy, Role};
use kubitect_config::release::Release;
use kubitect_config::variables::{HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SANS, broken, managed};
use kubitect_config::yaml::{Mapping, Value};
use kubitect_config::{Cluster, Facts};
use serde::Serialize;

use crate::Error;
use crate::goal::{Goal, waits_for_network};

/// The files that are generated. What is ours stands in `all`, where also the checks that look at the first host see it.
pub(crate) const FILES: [&str; 2] = [
    "group_vars/all/cluster.yaml",
    "group_vars/k8s_cluster/addons.yaml",
];

/// What is set for the whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Variables<'a> {
    kube_version: String,
    kube_network_plugin: &'a str,
    dns_mode: &'a str,
    container_manager: &'a str,
    auto_renew_certificates: bool,
    /// Patience with members that join; 4 by default. As the next, the user's own value stands in a group whose variables win.
    etcd_retries: u32,
    /// Each restart of etcd leaves a copy of all that it holds in `/var/backups`; by default none is ever removed.
    etcd_backup_retention_count: u32,
    /// MetalLB and kube-vip need it, in whichever mode kube-proxy is; it is part of kube-proxy's own configuration, which
    /// an addon that is switched on later does not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    kube_proxy_strict_arp: Option<bool>,
    /// Before v2.20.0 Kubespray makes larger blocks than all later releases ask for, and these refuse what they find.
    #[serde(skip_serializing_if = "Option::is_none")]
    calico_pool_blocksize: Option<Value>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    balancing: Option<Balancing>,
    /// Before it upgrades a master, kubeadm runs a pod for 15 s wherever one fits, its image's download included: none does where each
    /// worker has a taint, and the master itself is cordoned by then. Releases that pass over none of its checks stop at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeadm_ignore_preflight_errors: Option<[&'static str; 1]>,
    /// How often, every 5 s, a joining master is looked at until it is Ready, the download of the network plugin's images included;
    /// 24 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane_node_become_ready_tries: Option<u32>,
    /// The package managers have the proxy from their first boot on; Kubespray would take one for https alone away from dnf.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_http_proxy_on_os_packages: Option<bool>,
    /// From v2.29 on Kubespray's containerd is linked with a libc that older distros do not have: it does not start there.
    #[serde(skip_serializing_if = "Option::is_none")]
    containerd_static_binary: Option<bool>,
    /// From v2.21 to v2.25 the last of multus' tasks asks every node for what the others have registered there, also nodes that a
    /// run leaves out, and also where there is no multus: without this, no node can join, and none is upgraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    multus_manifest_2: Option<Registered>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    supplementary_addresses_in_ssl_keys: Vec<Value>,
    /// See [`AS_MADE`].
    #[serde(flatten)]
    as_made: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_proxy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    https_proxy: Option<&'a str>,
    /// Whole: a release that is given it adds nothing of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_proxy: Option<String>,
}

/// The load balancer that we set up ourselves, and that answers before Kubespray runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Balancing {
    loadbalancer_apiserver: Endpoint,
    /// The address itself: the default is a name that no release from v2.29 on makes known to the nodes.
    apiserver_loadbalancer_domain_name: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Endpoint {
    address: Ipv4Addr,
    port: u16,
}

/// What tasks in a loop have registered: nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Registered {
    results: [(); 0],
}

/// The size of calico's blocks, as the length of their prefix. Whoever works on a living cluster adds what its pool says to
/// the variables.
pub(crate) const BLOCKSIZE: &str = "calico_pool_blocksize";

/// The same of its pool for IPv6.
pub(crate) const BLOCKSIZE_IPV6: &str = "calico_pool_blocksize_ipv6";
/// How cilium gives pods their addresses.
pub(crate) const CILIUM_IPAM: &str = "cilium_ipam_mode";

/// Names that a run leaves out of the certificates of API servers, because the release would stop at them. Whoever works on a
/// living cluster adds it to the variables; it is no variable of Kubespray's.
pub(crate) const NAMES_LEFT_OUT: &str = "kubitect_names_left_out";

/// With which program CRI-O runs containers, and whether Kubespray gives it runc.
pub(crate) const CRIO_RUNTIME: [&str; 2] = ["crio_default_runtime", "runc_enabled"];

/// What is added to the variables of a living cluster: no addon of the user's.
const AS_MADE: [&str; 5] = [
    BLOCKSIZE_IPV6,
    CILIUM_IPAM,
    CRIO_RUNTIME[0],
    CRIO_RUNTIME[1],
    NAMES_LEFT_OUT,
];

/// Where the release would make blocks of another size than its successors ask for: theirs.
fn calico_blocksize(goal: &Goal, cluster: &Cluster, release: &Release) -> Option<Value> {
    let concerned = cluster.kubernetes.network_plugin == "calico" && !release.is_from(20);
    let created = matches!(goal, Goal::Create | Goal::Network(_));
    (concerned && created).then_some(Value::from(26))
}

/// Whether the machines' libc (2.31) is older than what the release's containerd is linked with.
fn needs_static_containerd(cluster: &Cluster, release: &Release) -> bool {
    let is_old = ["debian11", "ubuntu20"].contains(&&*cluster.guest.image.distro);
    is_old && cluster.kubernetes.container_manager == "containerd" && release.is_from(29)
}

/// The files by name; the addons' only where there are any.
pub(crate) fn render(
    cluster: &Cluster,
    facts: &Facts,
    release: &Release,
    goal: &Goal,
) -> Result<BTreeMap<PathBuf, String>, Error> {
    let Kubernetes {
        version,
        network_plugin,
        dns_mode,
        container_manager,
        kubespray: _,
        auto_renew_certificates,
        merge_kubeconfig: _,
    } = &cluster.kubernetes;
    let Addons { kubespray, rook } = &cluster.addons;
    if rook.is_some() {
        return Err(Error::Unsupported(
            "addons.rook is enabled, and this version of Kubitect cannot install Rook yet; leave it out and install \
             Rook into the finished cluster"
                .to_owned(),
        ));
    }
    let (mut addons, own_names) = passed_through(kubespray)?;
    let proxy = cluster.proxy.as_ref();
    if proxy.is_some() {
        for name in [HTTP_PROXY, HTTPS_PROXY].iter().chain(&NO_PROXY) {
            addons.remove(*name);
        }
    }
    let calico_pool_blocksize = addons
        .remove(BLOCKSIZE)
        .or_else(|| calico_blocksize(goal, cluster, release));
    let as_made = AS_MADE
        .iter()
        .filter_map(|name| Some((*name, addons.remove(*name)?)))
        .collect();

    let mut balancers = Vec::new();
    for node in cluster.role(Role::LoadBalancer) {
        balancers.push(crate::address(node, facts)?);
    }
    let balancing = if balancers.is_empty() {
        None
    } else {
        let address = crate::api_address(cluster, facts)?;
        Some(Balancing {
            loadbalancer_apiserver: Endpoint {
                address,
                port: API_PORT,
            },
            apiserver_loadbalancer_domain_name: address,
        })
    };
    let mut names: Vec<Value> = cluster
        .balancing
        .vip
        .into_iter()
        .chain(balancers)
        .map(|ip| ip.to_string().into())
        .collect();
    for name in own_names {
        if !names.contains(&name) {
            names.push(name);
        }
    }

    let unless_set = |name: &str| !addons.contains_key(name);
    let variables = Variables {
        kube_version: if release.v {
            version.to_string()
        } else {
            version.bare()
        },
        kube_network_plugin: network_plugin,
        dns_mode,
        container_manager,
        auto_renew_certificates: *auto_renew_certificates,
        etcd_retries: 10,
        etcd_backup_retention_count: 3,
        kube_proxy_strict_arp: unless_set("kube_proxy_strict_arp").then_some(true),
        calico_pool_blocksize,
        kubeadm_ignore_preflight_errors: release.preflight.then_some(["CreateJob"]),
        control_plane_node_become_ready_tries: waits_for_network(release).then_some(60),
        skip_http_proxy_on_os_packages: proxy.map(|_| true),
        containerd_static_binary: (unless_set("containerd_static_binary")
            && needs_static_containerd(cluster, release))
        .then_some(true),
        multus_manifest_2: (release.is_from(21) && !release.is_from(26)).then(Registered::default),
        balancing,
        supplementary_addresses_in_ssl_keys: names,
        as_made,
        http_proxy: proxy.and_then(|proxy| proxy.http.as_deref()),
        https_proxy: proxy.and_then(|proxy| proxy.https.as_deref()),
        no_proxy: proxy.map(|proxy| no_proxy(proxy, facts)),
    };
    let [all_file, addons_file] = FILES;
    let mut files = BTreeMap::new();
    files.insert(all_file.into(), crate::write_yaml(all_file, &variables)?);
    if !addons.is_empty() {
        files.insert(addons_file.into(), crate::write_yaml(addons_file, &addons)?);
    }
    Ok(files)
}

/// What is reached without the proxy, leased addresses included.
fn no_proxy(proxy: &Proxy, facts: &Facts) -> String {
    let mut all: Vec<String> = proxy.without().into_iter().map(str::to_owned).collect();
    for node in &facts.nodes {
        let ip = node.ip.to_string();
        if !node.ip.is_unspecified() && !all.contains(&ip) {
            all.push(ip);
        }
    }
    all.join(",")
}

/// The user's own variables as they are, and apart from them the names that go into the certificates beside ours.
fn passed_through(kubespray: &Mapping) -> Result<(Mapping, Vec<Value>), Error> {
    let mut names = Vec::new();
    let mut rest = Mapping::new();
    for (key, value) in kubespray {
        let Some(name) = key.as_str() else {
            return Err(Error::Unsupported(format!(
                "addons.kubespray has a key that is not text: {key:?}; Ansible's variables have names"
            )));
        };
        if let Some(instead) = managed(name) {
            return Err(Error::ManagedVariable {
                key: name.to_owned(),
                instead,
            });
        }
        if let Some(relied) = broken(name, value) {
            return Err(Error::ManagedVariable {
                key: name.to_owned(),
                instead: relied.why,
            });
        }
        if name == SANS {
            let Some(list) = value.as_sequence() else {
                return Err(Error::Unsupported(format!(
                    "addons.kubespray.{SANS} is not a list; write the names as a list"
                )));
            };
            names.clone_from(list);
        } else {
            rest.insert(key.clone(), value.clone());
        }
    }
    Ok((rest, names))
}
