//! The nodes of a cluster, by kubectl; also the health and the version of an API server.

use std::collections::BTreeMap;
use std::time::Duration;

use kubitect_config::cluster::Taint;
use kubitect_config::remote::{Output, Remote};
use kubitect_config::text;
use kubitect_config::value::Label;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::remote::{Health, LIMIT, bounded, last_output, parse_json, run_once, run_retrying};
use super::scheduling::Toleration;
use crate::Error;

/// How many times in a row the API server's checks of etcd have to fail; see [`api_health`].
const READYZ_TRIES: u32 = 3;
/// The time between two of these tries.
const READYZ_INTERVAL: Duration = Duration::from_secs(2);

/// kubectl as the administrator, through the API server of the master that it runs on.
pub(super) const KUBECTL: [&str; 4] = [
    "/usr/local/bin/kubectl",
    "--kubeconfig=/etc/kubernetes/admin.conf",
    "--server=https://127.0.0.1:6443",
    "--request-timeout=30s",
];

/// What Kubernetes says of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Whether it is Ready, and if not, the message of that condition.
    #[serde(flatten)]
    pub health: Health,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// The kubelet's version, as `v1.23.7`.
    pub version: String,
    /// The kernel's `boot_id` that the kubelet reported last: it shows in which boot of the machine that was.
    pub boot: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Its processors, as the kubelet reports them.
    pub cpu: String,
    /// Its memory, as the kubelet reports it: `4030460Ki`.
    pub memory: String,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct List<T> {
    #[serde(deserialize_with = "bounded")]
    pub items: Vec<T>,
}

/// A node or a pod.
#[derive(Deserialize)]
pub(super) struct Item {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
}

impl Item {
    pub(super) fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| condition.kind == "Ready" && condition.status == "True")
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<Owner>,
    deletion_timestamp: Option<String>,
}

impl Metadata {
    pub(super) fn is_ending(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub(super) fn is_controlled(&self) -> bool {
        self.owner_references.iter().any(|owner| owner.controller)
    }
}

#[derive(Deserialize)]
pub(super) struct Owner {
    pub kind: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Spec {
    unschedulable: bool,
    taints: Vec<SpecTaint>,
    pub tolerations: Vec<Toleration>,
    volumes: Vec<PodVolume>,
}

impl Spec {
    pub(super) fn has_empty_dir(&self) -> bool {
        self.volumes.iter().any(|volume| volume.empty_dir.is_some())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodVolume {
    empty_dir: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct SpecTaint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub phase: String,
    conditions: Vec<Condition>,
    node_info: NodeInfo,
    capacity: Capacity,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    kubelet_version: String,
    #[serde(rename = "bootID")]
    boot_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Capacity {
    cpu: String,
    memory: String,
}

impl From<Item> for NodeState {
    fn from(item: Item) -> Self {
        let Item {
            metadata,
            spec,
            status,
        } = item;
        let ready = status.conditions.iter().find(|c| c.kind == "Ready");
        let health = match ready {
            Some(condition) if condition.status == "True" => Health::Healthy,
            Some(condition) => Health::unhealthy(&condition.message),
            None => Health::Unhealthy("its kubelet has not reported yet".to_owned()),
        };
        let taints = spec.taints.iter().map(|taint| match taint.value.as_str() {
            "" => text::line(&format!("{}:{}", taint.key, taint.effect)),
            value => text::line(&format!("{}={value}:{}", taint.key, taint.effect)),
        });
        Self {
            // Valid names stay unchanged; control characters in others are shown escaped.
            name: text::line(&metadata.name),
            health,
            cordoned: spec.unschedulable,
            version: text::line(&status.node_info.kubelet_version),
            boot: text::line(&status.node_info.boot_id),
            labels: metadata.labels,
            taints: taints.collect(),
            cpu: text::line(&status.capacity.cpu),
            memory: text::line(&status.capacity.memory),
        }
    }
}

pub(super) async fn kubectl(
    remote: &impl Remote,
    what: &str,
    arguments: &[&str],
) -> Result<Output, Error> {
    let argv = [&KUBECTL[..], arguments].concat();
    run_retrying(remote, what, &argv, LIMIT).await
}

/// All nodes, sorted by name.
pub async fn nodes(remote: &impl Remote) -> Result<Vec<NodeState>, Error> {
    let what = "ask Kubernetes for its nodes";
    let output = kubectl(remote, what, &["get", "nodes", "--output=json"]).await?;
    let list: List<Item> = parse_json(what, &output.stdout)?;
    let mut nodes: Vec<_> = list.items.into_iter().map(NodeState::from).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

/// Whether the API server of this master serves, including its etcd.
///
/// Its checks of etcd fail if etcd takes more than 2 s for one answer (the default of `--etcd-healthcheck-timeout` and of
/// `--etcd-readycheck-timeout`), as it does on a busy master for a moment. So they have to fail three times in a row.
pub async fn api_health(remote: &impl Remote) -> Result<Health, Error> {
    let mut health = ask_readyz(remote).await?;
    for _ in 1..READYZ_TRIES {
        match &health {
            Health::Unhealthy(why) if why.starts_with("/readyz fails: etcd") => {
                tokio::time::sleep(READYZ_INTERVAL).await;
                health = ask_readyz(remote).await?;
            }
            _ => break,
        }
    }
    Ok(health)
}

/// The answer of the API server's `/readyz`.
async fn ask_readyz(remote: &impl Remote) -> Result<Health, Error> {
    let argv = [&KUBECTL[..], &["get", "--raw=/readyz"]].concat();
    let output = run_once(
        remote,
        "ask the API server whether it is ready",
        &argv,
        LIMIT,
    )
    .await?;
    Ok(if output.status == 0 {
        Health::Healthy
    } else if last_output(&output).contains("command not found") {
        // sudo's message where kubectl is not installed.
        Health::unhealthy("Kubernetes is not set up on it yet")
    } else {
        Health::unhealthy(&failing_checks(last_output(&output)))
    })
}

/// The names of the checks that fail among the about thirty in the answer of `/readyz`; another error stays as it is.
fn failing_checks(answer: String) -> String {
    // kubectl quotes the answer, and escapes its line breaks.
    let checks = answer
        .split("\\n")
        .filter_map(|line| line.split_once("[-]"));
    let failing: Vec<_> = checks
        .map(|(_, check)| check.split(" failed").next().unwrap_or(check))
        .collect();
    match failing.is_empty() {
        true => answer,
        false => format!("/readyz fails: {}", failing.join(", ")),
    }
}

/// The version of this master's API server, as `v1.23.7`. Nodes report only the version of their kubelet.
pub async fn api_version(remote: &impl Remote) -> Result<String, Error> {
    let what = "ask the API server for its version";
    let output = kubectl(remote, what, &["get", "--raw=/version"]).await?;
    let version: ApiVersion = parse_json(what, &output.stdout)?;
    Ok(text::line(&version.git_version))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiVersion {
    git_version: String,
}

/// Cordons a node: Kubernetes places no new pods on it.
pub async fn cordon(remote: &impl Remote, node: &Label) -> Result<(), Error> {
    let what = format!("cordon {node}");
    kubectl(remote, &what, &["cordon", node.as_str()]).await?;
    Ok(())
}

/// Uncordons a node: Kubernetes places pods on it again.
pub async fn uncordon(remote: &impl Remote, node: &Label) -> Result<(), Error> {
    let what = format!("uncordon {node}");
    kubectl(remote, &what, &["uncordon", node.as_str()]).await?;
    Ok(())
}

/// Sets labels of a node, and removes those of `remove`.
pub async fn label(
    remote: &impl Remote,
    node: &Label,
    set: &BTreeMap<String, String>,
    remove: &[String],
) -> Result<(), Error> {
    if set.is_empty() && remove.is_empty() {
        return Ok(());
    }
    let set = set.iter().map(|(key, value)| format!("{key}={value}"));
    let changes: Vec<_> = set
        .chain(remove.iter().map(|key| format!("{key}-")))
        .collect();
    let mut arguments = vec!["label", "node", node.as_str(), "--overwrite"];
    arguments.extend(changes.iter().map(String::as_str));
    kubectl(remote, &format!("label {node}"), &arguments).await?;
    Ok(())
}

/// Adds taints to a node; an existing one with the same key and effect gets the new value.
pub async fn taint(remote: &impl Remote, node: &Label, taints: &[Taint]) -> Result<(), Error> {
    let taints: Vec<_> = taints.iter().map(ToString::to_string).collect();
    change_taints(remote, node, &taints).await
}

/// Removes taints from a node; those that it does not have are skipped, because kubectl would fail for them.
pub async fn untaint(remote: &impl Remote, node: &Label, taints: &[Taint]) -> Result<(), Error> {
    let nodes = nodes(remote).await?;
    let current = nodes.iter().find(|state| state.name == node.as_str());
    let has = |taint: &&Taint| current.is_some_and(|node| node.taints.contains(&taint.to_string()));
    let taints: Vec<_> = taints
        .iter()
        .filter(has)
        .map(|taint| format!("{}:{:?}-", taint.key, taint.effect))
        .collect();
    change_taints(remote, node, &taints).await
}

async fn change_taints(remote: &impl Remote, node: &Label, taints: &[String]) -> Result<(), Error> {
    if taints.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["taint", "node", node.as_str(), "--overwrite"];
    arguments.extend(taints.iter().map(String::as_str));
    kubectl(remote, &format!("taint {node}"), &arguments).await?;
    Ok(())
}

/// Deletes a node object.
pub async fn delete_node(remote: &impl Remote, node: &Label) -> Result<(), Error> {
    let what = format!("delete the node {node}");
    let arguments = [
        "delete",
        "node",
        node.as_str(),
        "--ignore-not-found",
        "--wait=false",
    ];
    kubectl(remote, &what, &arguments).await?;
    Ok(())
}

/// Restarts the container runtime of the connected machine; `manager` is Kubespray's name for it. Running containers are not
/// affected, except Docker's, which restart.
pub async fn restart_runtime(remote: &impl Remote, manager: &str) -> Result<(), Error> {
    let argv = ["systemctl", "restart", manager];
    run_retrying(remote, "restart the container runtime", &argv, LIMIT).await?;
    Ok(())
}

/// Restarts the kubelet of the connected machine, so that it reads the machine's resources again.
pub async fn restart_kubelet(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["systemctl", "restart", "kubelet"];
    run_retrying(remote, "restart the kubelet", &argv, LIMIT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::failing_checks;

    #[test]
    fn of_what_readyz_answers_only_what_fails_is_said() {
        let answer = r#"Error from server (InternalError): an error on the server ("[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed") has prevented the request from succeeding"#;
        let failing = "/readyz fails: etcd, poststarthook/rbac/bootstrap-roles";
        assert_eq!(failing_checks(answer.to_owned()), failing);
        let other = "Unable to connect to the server: EOF";
        assert_eq!(failing_checks(other.to_owned()), other);
    }
}
