//! Cluster and facts → Kubespray's group variables, as the release needs them.

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
use crate::goal::{Goal, waits_for_ready_masters};

/// The generated files. Kubitect's own variables are in `all`: there they also apply to the host whose variables Kubespray's
/// checks read, whatever groups it is in.
pub(crate) const FILES: [&str; 2] = [
    "group_vars/all/cluster.yaml",
    "group_vars/k8s_cluster/addons.yaml",
];

/// The variables for the whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Variables<'a> {
    kube_version: String,
    kube_network_plugin: &'a str,
    dns_mode: &'a str,
    container_manager: &'a str,
    auto_renew_certificates: bool,
    /// How often Kubespray looks whether a joining member serves; its default is 4. A user's value overrides this one and the
    /// next: it is written for `k8s_cluster`, whose variables win over those of `all`.
    etcd_retries: u32,
    /// How many backups of etcd to keep in `/var/backups`: each restart of etcd makes one, and by default none is ever removed.
    etcd_backup_retention_count: u32,
    /// MetalLB and kube-vip need it, whatever kube-proxy's mode. It is set from the beginning, because it is part of kube-proxy's
    /// configuration, which does not change when such an addon is enabled later.
    #[serde(skip_serializing_if = "Option::is_none")]
    kube_proxy_strict_arp: Option<bool>,
    /// Before v2.20.0 Kubespray's default block size differs from that of all later releases, which fail if the pool has another
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    calico_pool_blocksize: Option<Value>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    balancing: Option<Balancing>,
    /// Checks of kubeadm to ignore: `CreateJob`. Before it upgrades a master, kubeadm waits 15 s for a pod to run, including the
    /// download of its image. No node takes the pod if every worker has a taint, since the master is cordoned. Set for releases
    /// that would fail at this check.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeadm_ignore_preflight_errors: Option<[&'static str; 1]>,
    /// How often, every 5 s, Kubespray looks whether a joining master is Ready. Its default of 24 may be too short for the
    /// download of the network plugin's images.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane_node_become_ready_tries: Option<u32>,
    /// Keeps Kubespray from configuring the proxy of package managers: cloud-init has done it, and Kubespray would remove a proxy
    /// that is only for https from dnf.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_http_proxy_on_os_packages: Option<bool>,
    /// From v2.29 on Kubespray's containerd is linked with a libc that older distros do not have, so it does not start there; the
    /// static one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    containerd_static_binary: Option<bool>,
    /// From v2.21 to v2.25 multus' last task reads this registered result on every node, even without multus, and even on nodes
    /// outside of the run's limit, which have none: without an empty result, no node could join or be upgraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    multus_manifest_2: Option<EmptyResults>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    supplementary_addresses_in_ssl_keys: Vec<Value>,
    /// See [`OBSERVED_VARIABLES`].
    #[serde(flatten)]
    observed: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_proxy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    https_proxy: Option<&'a str>,
    /// The complete list: a release to which it is given adds nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_proxy: Option<String>,
}

/// The load balancer, which Kubitect sets up before Kubespray runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Balancing {
    loadbalancer_apiserver: Endpoint,
    /// The address, not a name: the default is a name that releases from v2.29 on don't make resolvable on the nodes.
    apiserver_loadbalancer_domain_name: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Endpoint {
    address: Ipv4Addr,
    port: u16,
}

/// The registered result of a task with a loop, without any result.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct EmptyResults {
    results: [(); 0],
}

/// The size of calico's blocks, as a prefix length. For a running cluster, the caller adds the value of its pool to the variables.
pub(crate) const BLOCKSIZE: &str = "calico_pool_blocksize";

/// The same for calico's IPv6 pool.
pub(crate) const BLOCKSIZE_IPV6: &str = "calico_pool_blocksize_ipv6";
/// cilium's IPAM mode.
pub(crate) const CILIUM_IPAM: &str = "cilium_ipam_mode";

/// Names that a run leaves out of the certificates of API servers, because the release would fail at them: see
/// [`fails_on_missing_names`](crate::goal::fails_on_missing_names). It is Kubitect's variable, not Kubespray's; for a running
/// cluster, the caller adds it to the variables.
pub(crate) const NAMES_LEFT_OUT: &str = "kubitect_names_left_out";

/// CRI-O's default runtime, and whether Kubespray installs runc for it.
pub(crate) const CRIO_RUNTIME: [&str; 2] = ["crio_default_runtime", "runc_enabled"];

/// Variables with the settings of a running cluster, which the caller has read there. They are written with Kubitect's variables,
/// not as addons of the user.
const OBSERVED_VARIABLES: [&str; 5] = [
    BLOCKSIZE_IPV6,
    CILIUM_IPAM,
    CRIO_RUNTIME[0],
    CRIO_RUNTIME[1],
    NAMES_LEFT_OUT,
];

/// The block size of a new calico pool, if the release's default differs from that of its successors: theirs.
fn calico_blocksize(goal: &Goal, cluster: &Cluster, release: &Release) -> Option<Value> {
    let is_affected = cluster.kubernetes.network_plugin == "calico" && !release.is_from(20);
    let is_created = matches!(goal, Goal::Create | Goal::Network(_));
    (is_affected && is_created).then_some(Value::from(26))
}

/// Whether the machines' libc (2.31) is older than the one with which the release's containerd is linked.
fn needs_static_containerd(cluster: &Cluster, release: &Release) -> bool {
    let is_old = ["debian11", "ubuntu20"].contains(&&*cluster.guest.image.distro);
    is_old && cluster.kubernetes.container_manager == "containerd" && release.is_from(29)
}

/// The files by name; that of the addons only if there are any.
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
    let (mut addons, user_names) = split_variables(kubespray)?;
    let proxy = cluster.proxy.as_ref();
    if proxy.is_some() {
        for name in [HTTP_PROXY, HTTPS_PROXY].iter().chain(&NO_PROXY) {
            addons.remove(*name);
        }
    }
    let calico_pool_blocksize = addons
        .remove(BLOCKSIZE)
        .or_else(|| calico_blocksize(goal, cluster, release));
    let observed = OBSERVED_VARIABLES
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
    for name in user_names {
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
        control_plane_node_become_ready_tries: waits_for_ready_masters(release).then_some(60),
        skip_http_proxy_on_os_packages: proxy.map(|_| true),
        containerd_static_binary: (unless_set("containerd_static_binary")
            && needs_static_containerd(cluster, release))
        .then_some(true),
        multus_manifest_2: (release.is_from(21) && !release.is_from(26))
            .then(EmptyResults::default),
        balancing,
        supplementary_addresses_in_ssl_keys: names,
        observed,
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

/// The hosts and networks for which the proxy is not used, including leased addresses.
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

/// Splits the user's variables: the names for certificates, which are added to Kubitect's, and all others, which stay as they
/// are. Variables that Kubitect sets itself are an error.
fn split_variables(kubespray: &Mapping) -> Result<(Mapping, Vec<Value>), Error> {
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
