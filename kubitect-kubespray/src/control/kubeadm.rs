//! kubeadm: what it left on a machine, and how that is cleared, or finished.
//!
//! Kubespray repeats neither `kubeadm init` nor `kubeadm join` on a master that has [`CONFIG`], which kubeadm writes long
//! before it is done, and no `join` on a worker that has [`KUBELET_CONF`]. So what a run left half done has to go first.

use std::time::Duration;

use kubitect_config::Remote;

use super::nodes::{KUBECTL, NodeState};
use super::remote::{PATIENCE, once, said, succeed};
use crate::Error;

pub(super) const KUBEADM: &str = "/usr/local/bin/kubeadm";

/// One of the first files of `kubeadm init` and `join`: Kubespray takes a master that has it for set up.
pub(super) const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// What a kubelet logs in with. It writes it itself, once a join has let it in.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// What has a kubelet start the API server.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// What Kubespray has given kubeadm on a first and on a further master, and on a worker.
pub(super) const SETTINGS: [&str; 3] = [
    "/etc/kubernetes/kubeadm-config.yaml",
    "/etc/kubernetes/kubeadm-controlplane.yaml",
    "/etc/kubernetes/kubeadm-client.conf",
];
/// The ConfigMaps that `kubeadm init` leaves, with namespaces: others can join once the second is there.
const LEFT_BY_INIT: [[&str; 2]; 2] = [
    ["kube-system", "kubeadm-config"],
    ["kube-public", "cluster-info"],
];
/// The label that `kubeadm` gives a master last of all.
const MARK: &str = "node-role.kubernetes.io/control-plane";

/// How long a reset may take: it stops containers one by one.
const RESET: Duration = Duration::from_secs(5 * 60);

/// What kubeadm has left on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// Whether the kubelet's configuration is there.
    pub config: bool,
    /// Whether the kubelet has what it logs in with.
    pub kubelet_conf: bool,
    /// Whether the API server's manifest is there.
    pub manifest: bool,
}

/// What a machine that is to join needs before Kubespray can join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing.
    Nothing,
    /// The node object is another machine's, which had this name before: it goes.
    Forget,
    /// kubeadm did not get far: what it left is cleared, and the node object goes, if there is one.
    Reset,
    /// The node has joined, and its kubelet is restarted, because it is not Ready.
    RestartKubelet,
    /// The node has joined, but is not marked as a master yet; its kubelet is restarted, too.
    Mark,
}

impl Traces {
    /// Whether kubeadm has been here.
    pub fn any(self) -> bool {
        self.config || self.kubelet_conf || self.manifest
    }

    /// What a machine with these traces needs, whose `node` Kubernetes knows, or does not know.
    ///
    /// A node object is deleted only where no kubelet can be running for it: a kubelet registers its node once, at its start.
    pub fn remedy(self, is_master: bool, node: Option<&NodeState>) -> Remedy {
        match node {
            None if self.kubelet_conf || (is_master && self.any()) => Remedy::Reset,
            None => Remedy::Nothing,
            Some(_) if !self.kubelet_conf && is_master && self.any() => Remedy::Reset,
            Some(_) if !self.kubelet_conf => Remedy::Forget,
            Some(node) if is_master && !node.is_marked() => Remedy::Mark,
            Some(node) if node.health != super::Health::Well => Remedy::RestartKubelet,
            Some(_) => Remedy::Nothing,
        }
    }
}

impl NodeState {
    /// Whether the node is marked as a master, which a join does last.
    pub fn is_marked(&self) -> bool {
        self.labels.contains_key(MARK)
    }
}

/// Looks for what kubeadm has left on the machine at the other end.
pub async fn traces(remote: &impl Remote) -> Result<Traces, Error> {
    Ok(Traces {
        config: exists(remote, CONFIG).await?,
        kubelet_conf: exists(remote, KUBELET_CONF).await?,
        manifest: exists(remote, MANIFEST).await?,
    })
}

pub(super) async fn exists(remote: &impl Remote, path: &str) -> Result<bool, Error> {
    let what = format!("look for {path}");
    let output = once(remote, &what, &["test", "-e", path], PATIENCE).await?;
    match output.status {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(Error::Program {
            what,
            lines: said(&output),
        }),
    }
}

/// Whether `kubeadm init` has got so far on this master that others can join: its API server has what it leaves there.
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
        let output = succeed(remote, &what, &argv, PATIENCE).await?;
        if output.stdout.trim_ascii().is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Clears what a `kubeadm init` or `join` that was not finished has left on the machine at the other end.
///
/// etcd stays as it is. It is none of kubeadm's, but `kubeadm reset` of newer versions takes `/var/lib/etcd` for its own
/// where no manifest of etcd lies, and empties it under the running member: so that phase is left out.
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
    succeed(remote, what, &argv, RESET).await?;
    fail::fail_point!("kubespray::reset");
    // By these Kubespray and we go; whatever kubeadm makes of a half-written one, none stays.
    succeed(
        remote,
        what,
        &["rm", "-f", "--", MANIFEST, KUBELET_CONF, CONFIG],
        PATIENCE,
    )
    .await?;
    Ok(())
}

/// The socket of the container runtime, as Kubespray gave it to kubeadm: where there are two, kubeadm would not choose.
async fn cri_socket(remote: &impl Remote) -> Result<Option<String>, Error> {
    for path in SETTINGS {
        if !exists(remote, path).await? {
            continue;
        }
        let what = format!("read {path}");
        let output = succeed(remote, &what, &["cat", "--", path], PATIENCE).await?;
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

/// Gives the node of the master at the other end the label and the taints of a master, as kubeadm does last of all.
pub async fn mark(remote: &impl Remote) -> Result<(), Error> {
    let config = format!("--config={}", SETTINGS[0]);
    let argv = [KUBEADM, "init", "phase", "mark-control-plane", &config];
    succeed(remote, "mark the node as a master", &argv, PATIENCE).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Health;
    use super::*;

    fn node(health: Health, marked: bool) -> NodeState {
        let labels = marked.then(|| (MARK.to_owned(), String::new()));
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
        let ill = || Health::Ill("no network plugin".to_owned());
        let nodes = [
            None,
            Some(node(ill(), false)),
            Some(node(ill(), true)),
            Some(node(Health::Well, false)),
            Some(node(Health::Well, true)),
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
        use Remedy::{Forget, Mark, Nothing, Reset, RestartKubelet};
        let nothing = Traces::default();
        let forget = [Nothing, Forget, Forget, Forget, Forget];
        assert_eq!(all(nothing, true), forget);
        assert_eq!(all(nothing, false), forget);
        // Killed before the kubelet was let in.
        for begun in [traces(true, false, true), traces(false, false, true)] {
            assert_eq!(all(begun, true), [Reset; 5]);
        }
        // Kubespray itself repeats a worker's join as long as it has no kubelet.conf.
        assert_eq!(all(traces(true, false, false), false), forget);
        let joined = traces(true, true, true);
        assert_eq!(
            all(joined, true),
            [Reset, Mark, RestartKubelet, Mark, Nothing]
        );
        assert_eq!(
            all(traces(true, true, false), false),
            [Reset, RestartKubelet, RestartKubelet, Nothing, Nothing]
        );
    }
}
