//! kubeadm: the traces of an unfinished `init` or `join`, and how they are cleared or the join is finished.
//!
//! Kubespray does not repeat `kubeadm init` or `join` on a master that has [`KUBELET_CONFIG`], although kubeadm writes that file
//! long before it is done. Nor does it repeat `join` on a worker that has [`KUBELET_CONF`]. So the traces of an unfinished run
//! have to be cleared first.

use std::time::Duration;

use kubitect_config::Remote;

use super::nodes::{KUBECTL, NodeState};
use super::remote::{LIMIT, last_output, run_once, run_retrying};
use crate::Error;

pub(super) const KUBEADM: &str = "/usr/local/bin/kubeadm";

/// The kubelet's configuration, one of the first files of `kubeadm init` and `join`. Kubespray treats a master that has it as set
/// up.
pub(super) const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The kubelet's kubeconfig. The kubelet writes it itself once the API server has issued its certificate, in a join.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// The static pod from which a kubelet starts the API server.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// The configurations that Kubespray writes for kubeadm: on the first master, on further masters, on workers.
pub(super) const KUBEADM_CONFIGS: [&str; 3] = [
    "/etc/kubernetes/kubeadm-config.yaml",
    "/etc/kubernetes/kubeadm-controlplane.yaml",
    "/etc/kubernetes/kubeadm-client.conf",
];
/// The ConfigMaps that `kubeadm init` creates, each with its namespace. Others can join once the second exists.
const LEFT_BY_INIT: [[&str; 2]; 2] = [
    ["kube-system", "kubeadm-config"],
    ["kube-public", "cluster-info"],
];
/// The label of a master's node, which kubeadm sets in its last step.
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// How long `kubeadm reset` may take: it stops containers one by one.
const RESET_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Which files of kubeadm a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// The kubelet's configuration.
    pub config: bool,
    /// The kubelet's kubeconfig.
    pub kubelet_conf: bool,
    /// The manifest of the API server.
    pub manifest: bool,
}

/// What has to be done with a machine before Kubespray can join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing.
    Nothing,
    /// Delete the node object: it belongs to an earlier machine of this name.
    DeleteNode,
    /// Reset kubeadm, which did not finish, and delete the node object if there is one.
    Reset,
    /// Restart the kubelet: the node has joined, but is not Ready.
    RestartKubelet,
    /// Set the label and taints of a master, and restart the kubelet: the node has joined, but kubeadm did not reach this last
    /// step.
    MarkControlPlane,
}

impl Traces {
    /// Whether there is any trace of kubeadm.
    pub fn any(self) -> bool {
        self.config || self.kubelet_conf || self.manifest
    }

    /// What has to be done with a machine with these traces; `node` is its node object, if there is one.
    ///
    /// A node object is deleted only where no kubelet can run for it: a kubelet registers its node only at its start, so a
    /// running one would stay without a node.
    pub fn remedy(self, is_master: bool, node: Option<&NodeState>) -> Remedy {
        match node {
            None if self.kubelet_conf || (is_master && self.any()) => Remedy::Reset,
            None => Remedy::Nothing,
            Some(_) if !self.kubelet_conf && is_master && self.any() => Remedy::Reset,
            Some(_) if !self.kubelet_conf => Remedy::DeleteNode,
            Some(node) if is_master && !node.has_control_plane_label() => Remedy::MarkControlPlane,
            Some(node) if node.health != super::Health::Healthy => Remedy::RestartKubelet,
            Some(_) => Remedy::Nothing,
        }
    }
}

impl NodeState {
    /// Whether the node has the label of a master, which a join sets last.
    pub fn has_control_plane_label(&self) -> bool {
        self.labels.contains_key(CONTROL_PLANE_LABEL)
    }
}

/// Looks for the traces of kubeadm on the connected machine.
pub async fn traces(remote: &impl Remote) -> Result<Traces, Error> {
    Ok(Traces {
        config: exists(remote, KUBELET_CONFIG).await?,
        kubelet_conf: exists(remote, KUBELET_CONF).await?,
        manifest: exists(remote, MANIFEST).await?,
    })
}

pub(super) async fn exists(remote: &impl Remote, path: &str) -> Result<bool, Error> {
    let what = format!("look for {path}");
    let output = run_once(remote, &what, &["test", "-e", path], LIMIT).await?;
    match output.status {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(Error::Program {
            what,
            lines: last_output(&output),
        }),
    }
}

/// Whether `kubeadm init` has got far enough on this master that others can join: the administrator's kubeconfig and
/// the ConfigMaps of `init` exist.
pub async fn is_initialised(remote: &impl Remote) -> Result<bool, Error> {
    if !exists(remote, crate::ADMIN_CONF).await? {
        return Ok(false);
    }
    for [namespace, name] in LEFT_BY_INIT {
        let what = format!("ask for the ConfigMap {name} of {namespace}");
        let arguments = [
            "get",
            "configmap",
            name,
            "--namespace",
            namespace,
            "--ignore-not-found",
            "--output=name",
        ];
        let argv = [&KUBECTL[..], &arguments].concat();
        let output = run_retrying(remote, &what, &argv, LIMIT).await?;
        if output.stdout.trim_ascii().is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Clears the traces of an unfinished `kubeadm init` or `join` on the connected machine.
///
/// etcd is not touched: Kubespray runs it as a service, not kubeadm. But newer versions of `kubeadm reset` empty `/var/lib/etcd`
/// if there is no manifest of etcd, although the member runs. So that phase is skipped.
pub async fn reset(remote: &impl Remote) -> Result<(), Error> {
    let what = "clear what kubeadm has left";
    let socket = cri_socket(remote).await?;
    let socket = socket.map(|socket| format!("--cri-socket={socket}"));
    let mut argv = vec![
        KUBEADM,
        "reset",
        "--force",
        "--skip-phases=remove-etcd-member",
    ];
    argv.extend(socket.as_deref());
    run_retrying(remote, what, &argv, RESET_LIMIT).await?;
    fail::fail_point!("kubespray::reset");
    // Kubespray and this program judge by these files, so none may stay: kubeadm might leave a half-written one.
    run_retrying(
        remote,
        what,
        &["rm", "-f", "--", MANIFEST, KUBELET_CONF, KUBELET_CONFIG],
        LIMIT,
    )
    .await?;
    Ok(())
}

/// The socket of the container runtime, as Kubespray gave it to kubeadm. Needed where two runtimes are installed: kubeadm then
/// refuses to choose one.
async fn cri_socket(remote: &impl Remote) -> Result<Option<String>, Error> {
    for path in KUBEADM_CONFIGS {
        if !exists(remote, path).await? {
            continue;
        }
        let what = format!("read {path}");
        let output = run_retrying(remote, &what, &["cat", "--", path], LIMIT).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(str::trim);
        let socket = lines.find_map(|line| line.strip_prefix("criSocket:"));
        let socket = socket.map(|text| text.trim().trim_matches(['"', '\'']).to_owned());
        if let Some(socket) = socket.filter(|socket| !socket.is_empty()) {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

/// Gives the node of the connected master the label and the taints of a master, as `kubeadm init` and `join` do near their end.
pub async fn mark_control_plane(remote: &impl Remote) -> Result<(), Error> {
    let config = format!("--config={}", KUBEADM_CONFIGS[0]);
    let argv = [KUBEADM, "init", "phase", "mark-control-plane", &config];
    run_retrying(remote, "mark the node as a master", &argv, LIMIT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Health;
    use super::*;

    fn node(health: Health, marked: bool) -> NodeState {
        let labels = marked.then(|| (CONTROL_PLANE_LABEL.to_owned(), String::new()));
        NodeState {
            name: "c-master-1".to_owned(),
            health,
            cordoned: false,
            version: "v1.34.4".to_owned(),
            boot: String::new(),
            labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
            taints: Vec::new(),
            cpu: String::new(),
            memory: String::new(),
        }
    }

    #[test]
    fn nothing_is_cleared_under_a_kubelet_whose_node_is_there() {
        let ill = || Health::Unhealthy("no network plugin".to_owned());
        let nodes = [
            None,
            Some(node(ill(), false)),
            Some(node(ill(), true)),
            Some(node(Health::Healthy, false)),
            Some(node(Health::Healthy, true)),
        ];
        let traces = |config, kubelet_conf, manifest| Traces {
            config,
            kubelet_conf,
            manifest,
        };
        let all = |traces: Traces, is_master| {
            nodes
                .each_ref()
                .map(|node| traces.remedy(is_master, node.as_ref()))
        };
        use Remedy::{DeleteNode, MarkControlPlane, Nothing, Reset, RestartKubelet};
        let nothing = Traces::default();
        let delete = [Nothing, DeleteNode, DeleteNode, DeleteNode, DeleteNode];
        assert_eq!(all(nothing, true), delete);
        assert_eq!(all(nothing, false), delete);
        // Killed before the kubelet got its certificate.
        for begun in [traces(true, false, true), traces(false, false, true)] {
            assert_eq!(all(begun, true), [Reset; 5]);
        }
        // Kubespray itself repeats the join of a worker that has no kubelet.conf.
        assert_eq!(all(traces(true, false, false), false), delete);
        let joined = traces(true, true, true);
        assert_eq!(
            all(joined, true),
            [
                Reset,
                MarkControlPlane,
                RestartKubelet,
                MarkControlPlane,
                Nothing
            ]
        );
        assert_eq!(
            all(traces(true, true, false), false),
            [Reset, RestartKubelet, RestartKubelet, Nothing, Nothing]
        );
    }
}
