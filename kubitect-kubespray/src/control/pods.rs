//! Pods of a node, by kubectl: which there are, and moving them elsewhere.

use std::convert::Infallible;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::text;
use kubitect_config::value::Label;

use super::elsewhere::PodState;
use super::nodes::{Item, KUBECTL, List, kubectl};
use super::remote::{PATIENCE, json, once, said};
use super::wait::Waits;
use crate::Error;

/// Between two looks at the pods of a node that is drained.
const PODS: Duration = Duration::from_secs(5);

/// Cordons a node and moves its pods elsewhere, within `limit`; the error names those that would not go, and `waits` hears of
/// those that have not gone yet.
pub async fn drain(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    tokio::select! {
        result = evict(remote, node, limit, &[]) => result,
        never = watch_pods(remote, node, waits) => match never {},
    }
}

/// As [`drain`], of a node whose kubelet does not answer: nobody says that its pods have ended, and it is not waited for.
pub async fn drain_lost(remote: &impl Remote, node: &Label, limit: Duration) -> Result<(), Error> {
    evict(remote, node, limit, &["--skip-wait-for-delete-timeout=1"]).await
}

/// Says which pods are still on a node, for as long as it is asked.
async fn watch_pods(remote: &impl Remote, node: &Label, waits: Waits<'_>) -> Infallible {
    loop {
        tokio::time::sleep(PODS).await;
        if let Ok(left) = pods(remote, node).await
            && !left.is_empty()
        {
            let names: Vec<_> = left.iter().take(3).map(|pod| pod.name.as_str()).collect();
            let more = match left.len() - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            waits(&format!("still there: {}{more}", names.join(", ")));
        }
    }
}

async fn evict(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    more: &[&str],
) -> Result<(), Error> {
    let what = format!("drain {node}");
    let timeout = format!("--timeout={}s", limit.as_secs());
    let arguments = [
        "drain",
        node.as_str(),
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        &timeout,
    ];
    let argv = [&KUBECTL[..], &arguments, more].concat();
    let output = once(remote, &what, &argv, limit + PATIENCE).await?;
    if output.status == 0 {
        return Ok(());
    }
    Err(Error::Drain {
        node: node.to_string(),
        limit,
        pods: stuck(remote, node, &String::from_utf8_lossy(&output.stderr))
            .await
            .unwrap_or_default(),
        lines: said(&output),
    })
}

/// The pods of a node that draining would move: not those of its daemons, its own, and those that are over.
pub async fn pods(remote: &impl Remote, node: &Label) -> Result<Vec<PodState>, Error> {
    let pods = pod_items(remote, node).await?;
    Ok(pods.iter().map(pod_state).collect())
}

/// The same, with all that is asked of a pod.
pub(super) async fn pod_items(remote: &impl Remote, node: &Label) -> Result<Vec<Item>, Error> {
    let what = format!("ask for the pods of {node}");
    let selector = format!("--field-selector=spec.nodeName={node}");
    let arguments = [
        "get",
        "pods",
        "--all-namespaces",
        &selector,
        "--output=json",
    ];
    let output = kubectl(remote, &what, &arguments).await?;
    let list: List<Item> = json(&what, &output.stdout)?;
    let moves = |pod: &Item| {
        let daemon = pod
            .metadata
            .owner_references
            .iter()
            .any(|owner| owner.kind == "DaemonSet");
        let mirror = pod
            .metadata
            .annotations
            .contains_key("kubernetes.io/config.mirror");
        let over = ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
        !daemon && !mirror && !over
    };
    Ok(list.items.into_iter().filter(moves).collect())
}

pub(super) fn pod_state(pod: &Item) -> PodState {
    PodState {
        name: text::line(&format!("{}/{}", pod.metadata.namespace, pod.metadata.name)),
        tolerations: pod.spec.tolerations.clone(),
    }
}

/// The pods that draining a node would have moved and that are still there, each with what was said of it.
async fn stuck(remote: &impl Remote, node: &Label, said: &str) -> Result<Vec<String>, Error> {
    let told = |pod: &PodState| {
        let (_, own) = pod.name.split_once('/').unwrap_or_default();
        let reason = said
            .lines()
            .rfind(|line| line.contains(&format!("\"{own}\"")) && line.contains("): "))
            .and_then(|line| line.rsplit_once("): "));
        match reason {
            Some((_, reason)) => text::line(&format!("{}: {reason}", pod.name)),
            None => pod.name.clone(),
        }
    };
    Ok(pods(remote, node).await?.iter().map(told).collect())
}
