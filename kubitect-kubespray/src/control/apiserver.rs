//! Which etcd members an API server uses, and giving it other members or arguments: by kubeadm, on one master at a time.
//!
//! Kubespray's playbooks can't be used for this when members join or leave. Up to v2.23 each run writes the list into all
//! manifests at once, so all API servers restart together. From v2.24 on only an upgrade writes it, and upgrades of v2.26.0 to
//! v2.27.0 take the old list from the ConfigMap `kubeadm-config` (Kubespray's issue 11552). So this module calls kubeadm as those
//! playbooks do, with the configuration that they wrote.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::remote::Remote;
use serde::Deserialize;

use super::kubeadm_config;
use super::nodes::kubectl;
use super::ready::why_not_serving;
use super::remote::{LIMIT, last_output, parse_json, run_once, run_retrying, write};
use super::wait::{OnWait, wait};
use crate::Error;

/// The static pod from which the kubelet starts the API server.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// The configuration that Kubespray writes for kubeadm. It holds secrets: the token and the certificate key with which others join.
const KUBEADM_CONFIG: &str = "/etc/kubernetes/kubeadm-config.yaml";
const KUBEADM: &str = "/usr/local/bin/kubeadm";

/// The URL for clients of the member at this address.
pub fn endpoint(ip: Ipv4Addr) -> String {
    format!("https://{ip}:2379")
}

/// The etcd endpoints in the manifest of this master's API server; empty if it has no API server.
pub async fn listed_members(remote: &impl Remote) -> Result<BTreeSet<String>, Error> {
    let what = "read which etcd members the API server uses";
    let output = run_once(remote, what, &["cat", "--", MANIFEST], LIMIT).await?;
    if output.status != 0 {
        let found = run_once(remote, what, &["test", "-e", MANIFEST], LIMIT).await?;
        return match found.status {
            1 => Ok(BTreeSet::new()),
            _ => Err(failure(what, last_output(&output))),
        };
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    Ok(lines.find_map(parse_etcd_servers).unwrap_or_default())
}

/// Parses `--etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379`.
fn parse_etcd_servers(argument: &str) -> Option<BTreeSet<String>> {
    let list = argument
        .trim_matches(['"', '\''])
        .strip_prefix("--etcd-servers=")?;
    Some(list.split(',').map(str::to_owned).collect())
}

/// Makes the API server of this master use the etcd members at these addresses, and waits until it runs with them and serves.
/// Returns whether it had to be restarted.
///
/// No API server has to serve for this: it also repairs one whose members were all removed.
pub async fn use_members(
    remote: &impl Remote,
    members: &[Ipv4Addr],
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<bool, Error> {
    let wanted: Vec<_> = members.iter().copied().map(endpoint).collect();
    let set: BTreeSet<_> = wanted.iter().cloned().collect();
    write_endpoints(remote, &wanted).await?;
    let restarts = listed_members(remote).await? != set;
    if restarts {
        let what = "write the API server's manifest with etcd's members";
        init_phase(remote, what, &["control-plane", "apiserver"]).await?;
        let now = listed_members(remote).await?;
        if now != set {
            return Err(failure(
                what,
                format!(
                    "it lists {}, not {}",
                    comma_separated(&now),
                    comma_separated(&set)
                ),
            ));
        }
    }
    wait_running_with(remote, &set, limit, on_wait).await?;
    Ok(restarts)
}

/// Makes the control plane of this master run with the arguments in kubeadm's configuration there, and waits until the API server
/// does. Returns whether it had to be restarted. The configuration is also uploaded to the cluster, for masters that join later.
pub async fn use_configuration(
    remote: &impl Remote,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<bool, Error> {
    let what = "write the control plane's manifests as kubeadm's configuration says";
    let manifest = async || run_retrying(remote, what, &["cat", "--", MANIFEST], LIMIT).await;
    let (before, previous) = (manifest().await?.stdout, processes(remote).await?);
    init_phase(remote, what, &["control-plane", "all"]).await?;
    let restarts = manifest().await?.stdout != before;
    if restarts {
        let missing = wait(limit, on_wait, async || match processes(remote).await {
            Ok(None) => Some("it does not run".to_owned()),
            Ok(current) if current == previous => {
                Some("it still runs with the arguments of before".to_owned())
            }
            Ok(_) => why_not_serving(remote).await,
            Err(error) => Some(chain(&error)),
        });
        if let Some(missing) = missing.await {
            return Err(failure(
                "restart the API server with other arguments",
                missing,
            ));
        }
    }
    let what = "write the ConfigMap kubeadm-config";
    init_phase(remote, what, &["upload-config", "kubeadm"]).await?;
    Ok(restarts)
}

/// Writes the etcd members at these addresses into the ConfigMap `kubeadm-config`, from which masters join. Returns whether it
/// had to be written. The API has to serve.
pub async fn publish_members(remote: &impl Remote, members: &[Ipv4Addr]) -> Result<bool, Error> {
    let wanted: Vec<_> = members.iter().copied().map(endpoint).collect();
    let set: BTreeSet<_> = wanted.iter().cloned().collect();
    let what = "write the ConfigMap kubeadm-config with etcd's members";
    if published_endpoints(remote, what).await? == set {
        return Ok(false);
    }
    write_endpoints(remote, &wanted).await?;
    init_phase(remote, what, &["upload-config", "kubeadm"]).await?;
    let now = published_endpoints(remote, what).await?;
    match now == set {
        true => Ok(true),
        false => Err(failure(
            what,
            format!(
                "it names {}, not {}",
                comma_separated(&now),
                comma_separated(&set)
            ),
        )),
    }
}

/// Runs a phase of `kubeadm init` with Kubespray's configuration.
async fn init_phase(remote: &impl Remote, what: &str, name: &[&str]) -> Result<(), Error> {
    let argv = [
        &[KUBEADM, "init", "phase"],
        name,
        &["--config", KUBEADM_CONFIG],
    ]
    .concat();
    run_retrying(remote, what, &argv, LIMIT).await.map(drop)
}

#[derive(Deserialize)]
struct ConfigMap {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    cluster_configuration: String,
}

/// The endpoints in the ConfigMap `kubeadm-config`.
async fn published_endpoints(remote: &impl Remote, what: &str) -> Result<BTreeSet<String>, Error> {
    let arguments = [
        "get",
        "configmap",
        "kubeadm-config",
        "--namespace=kube-system",
        "--output=json",
    ];
    let output = kubectl(remote, what, &arguments).await?;
    let map: ConfigMap = parse_json(what, &output.stdout)?;
    let endpoints = kubeadm_config::endpoints(&map.data.cluster_configuration);
    Ok(endpoints
        .map_err(|why| failure(what, why))?
        .into_iter()
        .collect())
}

/// Writes these endpoints into kubeadm's configuration on this master.
async fn write_endpoints(remote: &impl Remote, wanted: &[String]) -> Result<(), Error> {
    let what = format!("write etcd's members into {KUBEADM_CONFIG}");
    let output = run_retrying(remote, &what, &["cat", "--", KUBEADM_CONFIG], LIMIT).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let new = kubeadm_config::with_endpoints(&text, wanted).map_err(|why| failure(&what, why))?;
    if new == text {
        return Ok(());
    }
    write(remote, &what, KUBEADM_CONFIG, new.as_bytes(), 0o640).await
}

/// Waits until the API server runs with these members and serves.
async fn wait_running_with(
    remote: &impl Remote,
    wanted: &BTreeSet<String>,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, on_wait, async || {
        match running_endpoints(remote).await {
            Ok(None) => Some("it does not run".to_owned()),
            Ok(Some(current)) if current != *wanted => {
                Some(format!("it still runs with {}", comma_separated(&current)))
            }
            Ok(Some(_)) => why_not_serving(remote).await,
            Err(error) => Some(chain(&error)),
        }
    });
    match missing.await {
        None => Ok(()),
        Some(missing) => Err(Error::ApiServer {
            members: comma_separated(wanted),
            limit,
            missing,
        }),
    }
}

/// The endpoints with which the running API server was started. The process is asked, not the manifest: after a change of the
/// manifest the old process runs and answers for some seconds.
async fn running_endpoints(remote: &impl Remote) -> Result<Option<BTreeSet<String>>, Error> {
    let processes = processes(remote).await?;
    Ok(processes.and_then(|text| text.split_whitespace().find_map(parse_etcd_servers)))
}

/// The processes of the API server, with their ids and arguments; `None` if there is none.
async fn processes(remote: &impl Remote) -> Result<Option<String>, Error> {
    let what = "see what the API server runs with";
    let argv = ["pgrep", "--list-full", "--full", "^kube-apiserver "];
    let output = run_once(remote, what, &argv, LIMIT).await?;
    match output.status {
        0 => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        // pgrep: no process matches.
        1 => Ok(None),
        _ => Err(failure(what, last_output(&output))),
    }
}

fn failure(what: &str, lines: String) -> Error {
    Error::Program {
        what: what.to_owned(),
        lines,
    }
}

fn comma_separated(endpoints: &BTreeSet<String>) -> String {
    match endpoints.is_empty() {
        true => "none".to_owned(),
        false => endpoints
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(","),
    }
}
