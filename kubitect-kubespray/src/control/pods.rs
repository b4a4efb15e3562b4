//! The pods of a node, and draining it, by kubectl.

use std::convert::Infallible;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::text;
use kubitect_config::value::Label;
use tokio::time::Instant;

use super::nodes::{Item, KUBECTL, List, kubectl};
use super::remote::{LIMIT, PAUSE, is_transient, last_output, parse_json, run_once};
use super::scheduling::PodState;
use super::wait::OnWait;
use crate::Error;

/// The time between two looks at the remaining pods during a drain.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// What `kubectl drain` says at the end of its `--timeout`.
const OUT_OF_TIME: &str = "global timeout reached";

/// Drains a node within `limit`: cordons it and evicts its pods. Meanwhile `on_wait` is called with the pods that remain; the
/// error lists those that remained in the end, each with kubectl's reason.
pub async fn drain(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    tokio::select! {
        result = evict(remote, node, limit, &[]) => result,
        never = watch_pods(remote, node, on_wait) => match never {},
    }
}

/// As [`drain`], for a node whose kubelet does not answer. It does not wait for pods that are being deleted: only the kubelet
/// could confirm that they have ended.
pub async fn drain_unreachable(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
) -> Result<(), Error> {
    evict(remote, node, limit, &["--skip-wait-for-delete-timeout=1"]).await
}

/// Reports the remaining pods of a node, until it is dropped.
async fn watch_pods(remote: &impl Remote, node: &Label, on_wait: OnWait<'_>) -> Infallible {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        if let Ok(remaining) = pods(remote, node).await
            && !remaining.is_empty()
        {
            let names: Vec<_> = remaining
                .iter()
                .take(3)
                .map(|pod| pod.name.as_str())
                .collect();
            let more = match remaining.len() - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            on_wait(&format!("still there: {}{more}", names.join(", ")));
        }
    }
}

/// Runs `kubectl drain`, with `more` options: again within `limit` while it ends early with an error that passes. It gives up for one
/// eviction that an API server under load, or one that restarts, does not answer.
async fn evict(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    more: &[&str],
) -> Result<(), Error> {
    let what = format!("drain {node}");
    let begin = Instant::now();
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        let timeout = format!("--timeout={}s", left.as_millis().div_ceil(1000).max(1));
        let arguments = [
            "drain",
            node.as_str(),
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            &timeout,
        ];
        let argv = [&KUBECTL[..], &arguments, more].concat();
        let output = run_once(remote, &what, &argv, left + LIMIT).await?;
        if output.status == 0 {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let timed_out = stderr.contains(OUT_OF_TIME);
        if !timed_out && is_transient(&stderr) && begin.elapsed() + PAUSE < limit {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let pods = remaining_pods(remote, node, &stderr).await;
        return Err(Error::Drain {
            node: node.to_string(),
            after: if timed_out { limit } else { begin.elapsed() },
            pods: pods.unwrap_or_default(),
            lines: last_output(&output),
        });
    }
}

/// The pods of a node that a drain evicts: not those of DaemonSets, static pods, and pods that have ended.
pub async fn pods(remote: &impl Remote, node: &Label) -> Result<Vec<PodState>, Error> {
    let pods = pod_items(remote, node).await?;
    Ok(pods.iter().map(pod_state).collect())
}

/// As [`pods`], with all fields that are read of a pod.
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
    let list: List<Item> = parse_json(&what, &output.stdout)?;
    let moves = |pod: &Item| {
        let of_daemon_set = pod
            .metadata
            .owner_references
            .iter()
            .any(|owner| owner.kind == "DaemonSet");
        let is_mirror = pod
            .metadata
            .annotations
            .contains_key("kubernetes.io/config.mirror");
        let has_ended = ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
        !of_daemon_set && !is_mirror && !has_ended
    };
    Ok(list.items.into_iter().filter(moves).collect())
}

pub(super) fn pod_state(pod: &Item) -> PodState {
    PodState {
        name: text::line(&format!("{}/{}", pod.metadata.namespace, pod.metadata.name)),
        tolerations: pod.spec.tolerations.clone(),
    }
}

/// The pods that a failed drain left on a node, each with the reason in kubectl's `stderr`.
async fn remaining_pods(
    remote: &impl Remote,
    node: &Label,
    stderr: &str,
) -> Result<Vec<String>, Error> {
    let with_reason = |pod: &PodState| {
        let (_, name) = pod.name.split_once('/').unwrap_or_default();
        let reason = stderr
            .lines()
            .rfind(|line| line.contains(&format!("\"{name}\"")) && line.contains("): "))
            .and_then(|line| line.rsplit_once("): "));
        match reason {
            Some((_, reason)) => text::line(&format!("{}: {reason}", pod.name)),
            None => pod.name.clone(),
        }
    };
    Ok(pods(remote, node).await?.iter().map(with_reason).collect())
}
