//! Which etcd members an API server uses, and how it gets others, or other arguments: one master at a time, by kubeadm.
//!
//! Kubespray does not do it when members come and go: up to v2.23 each run writes the list into all manifests at once; from
//! v2.24 on only an upgrade writes it, and those of v2.26.0 to v2.27.0 take the old list from the ConfigMap `kubeadm-config`
//! (Kubespray's issue 11552). So kubeadm is called as those playbooks call it, with the configuration that they have left.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::remote::Remote;
use serde::Deserialize;

use super::awake::lacks;
use super::kubeadm_config;
use super::nodes::kubectl;
use super::remote::{PATIENCE, json, once, said, succeed, write};
use super::wait::{Waits, wait};
use crate::Error;

/// What kubelet starts the API server from.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// What Kubespray gives kubeadm; the token and the key with which others join are in it.
const CONFIG: &str = "/etc/kubernetes/kubeadm-config.yaml";
const KUBEADM: &str = "/usr/local/bin/kubeadm";

/// By which clients reach the member at an address.
pub fn endpoint(ip: Ipv4Addr) -> String {
    format!("https://{ip}:2379")
}

/// The etcd endpoints that the manifest of this master's API server lists; none where it has no API server.
pub async fn listed_members(remote: &impl Remote) -> Result<BTreeSet<String>, Error> {
    let what = "read which etcd members the API server uses";
    let output = once(remote, what, &["cat", "--", MANIFEST], PATIENCE).await?;
    if output.status != 0 {
        let there = once(remote, what, &["test", "-e", MANIFEST], PATIENCE).await?;
        return match there.status {
            1 => Ok(BTreeSet::new()),
            _ => Err(failed(what, said(&output))),
        };
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    Ok(lines.find_map(listed).unwrap_or_default())
}

/// The endpoints in `--etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379`.
fn listed(argument: &str) -> Option<BTreeSet<String>> {
    let list = argument
        .trim_matches(['"', '\''])
        .strip_prefix("--etcd-servers=")?;
    Some(list.split(',').map(str::to_owned).collect())
}

/// Has the API server of this master use the etcd members at these addresses, and waits until it runs with them and serves;
/// whether it had to be restarted. It needs no API that serves: one whose members are all gone is brought back.
pub async fn use_members(
    remote: &impl Remote,
    members: &[Ipv4Addr],
    limit: Duration,
    waits: Waits<'_>,
) -> Result<bool, Error> {
    let wanted: Vec<_> = members.iter().copied().map(endpoint).collect();
    let set: BTreeSet<_> = wanted.iter().cloned().collect();
    configure(remote, &wanted).await?;
    let restarts = listed_members(remote).await? != set;
    if restarts {
        let what = "write the API server's manifest with etcd's members";
        phase(remote, what, &["control-plane", "apiserver"]).await?;
        let now = listed_members(remote).await?;
        if now != set {
            return Err(failed(
                what,
                format!("it lists {}, not {}", shown(&now), shown(&set)),
            ));
        }
    }
    wait_for(remote, &set, limit, waits).await?;
    Ok(restarts)
}

/// Has the control plane of this master run with the arguments in kubeadm's configuration there, and waits until the API server
/// does; whether it had to be restarted. Masters that join get the same.
pub async fn use_configuration(
    remote: &impl Remote,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<bool, Error> {
    let what = "write the control plane's manifests as kubeadm's configuration says";
    let manifest = async || succeed(remote, what, &["cat", "--", MANIFEST], PATIENCE).await;
    let (before, ran) = (manifest().await?.stdout, processes(remote).await?);
    phase(remote, what, &["control-plane", "all"]).await?;
    let restarts = manifest().await?.stdout != before;
    if restarts {
        let missing = wait(limit, waits, async || match processes(remote).await {
            Ok(None) => Some("it does not run".to_owned()),
            Ok(runs) if runs == ran => {
                Some("it still runs with the arguments of before".to_owned())
            }
            Ok(_) => lacks(remote).await,
            Err(error) => Some(chain(&error)),
        });
        if let Some(missing) = missing.await {
            return Err(failed(
                "restart the API server with other arguments",
                missing,
            ));
        }
    }
    let what = "write the ConfigMap kubeadm-config";
    phase(remote, what, &["upload-config", "kubeadm"]).await?;
    Ok(restarts)
}

/// Has the ConfigMap `kubeadm-config`, from which masters join, name the etcd members at these addresses; whether it had to
/// be written. The API has to serve.
pub async fn publish_members(remote: &impl Remote, members: &[Ipv4Addr]) -> Result<bool, Error> {
    let wanted: Vec<_> = members.iter().copied().map(endpoint).collect();
    let set: BTreeSet<_> = wanted.iter().cloned().collect();
    let what = "write the ConfigMap kubeadm-config with etcd's members";
    if published(remote, what).await? == set {
        return Ok(false);
    }
    configure(remote, &wanted).await?;
    phase(remote, what, &["upload-config", "kubeadm"]).await?;
    let now = published(remote, what).await?;
    match now == set {
        true => Ok(true),
        false => Err(failed(
            what,
            format!("it names {}, not {}", shown(&now), shown(&set)),
        )),
    }
}

/// A phase of `kubeadm init` with the configuration that Kubespray has left.
async fn phase(remote: &impl Remote, what: &str, name: &[&str]) -> Result<(), Error> {
    let argv = [&[KUBEADM, "init", "phase"], name, &["--config", CONFIG]].concat();
    succeed(remote, what, &argv, PATIENCE).await.map(drop)
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

/// The endpoints in the ConfigMap.
async fn published(remote: &impl Remote, what: &str) -> Result<BTreeSet<String>, Error> {
    let arguments = [
        "get",
        "configmap",
        "kubeadm-config",
        "--namespace=kube-system",
        "--output=json",
    ];
    let output = kubectl(remote, what, &arguments).await?;
    let map: ConfigMap = json(what, &output.stdout)?;
    let endpoints = kubeadm_config::endpoints(&map.data.cluster_configuration);
    Ok(endpoints
        .map_err(|why| failed(what, why))?
        .into_iter()
        .collect())
}

/// Writes these endpoints into kubeadm's configuration on this master.
async fn configure(remote: &impl Remote, wanted: &[String]) -> Result<(), Error> {
    let what = format!("write etcd's members into {CONFIG}");
    let output = succeed(remote, &what, &["cat", "--", CONFIG], PATIENCE).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let new = kubeadm_config::with_endpoints(&text, wanted).map_err(|why| failed(&what, why))?;
    if new == text {
        return Ok(());
    }
    write(remote, &what, CONFIG, new.as_bytes(), 0o640).await
}

/// Waits until the API server runs with these members and serves.
async fn wait_for(
    remote: &impl Remote,
    wanted: &BTreeSet<String>,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, waits, async || match running(remote).await {
        Ok(None) => Some("it does not run".to_owned()),
        Ok(Some(uses)) if uses != *wanted => Some(format!("it still runs with {}", shown(&uses))),
        Ok(Some(_)) => lacks(remote).await,
        Err(error) => Some(chain(&error)),
    });
    match missing.await {
        None => Ok(()),
        Some(missing) => Err(Error::ApiServer {
            members: shown(wanted),
            limit,
            missing,
        }),
    }
}

/// The endpoints that the running process was started with: for some seconds after its manifest has changed, the old one
/// runs on and answers.
async fn running(remote: &impl Remote) -> Result<Option<BTreeSet<String>>, Error> {
    let runs = processes(remote).await?;
    Ok(runs.and_then(|text| text.split_whitespace().find_map(listed)))
}

/// The processes of the API server, with their numbers and arguments; none where none runs.
async fn processes(remote: &impl Remote) -> Result<Option<String>, Error> {
    let what = "see what the API server runs with";
    let argv = ["pgrep", "--list-full", "--full", "^kube-apiserver "];
    let output = once(remote, what, &argv, PATIENCE).await?;
    match output.status {
        0 => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        // No process is like it.
        1 => Ok(None),
        _ => Err(failed(what, said(&output))),
    }
}

fn failed(what: &str, lines: String) -> Error {
    Error::Program {
        what: what.to_owned(),
        lines,
    }
}

fn shown(endpoints: &BTreeSet<String>) -> String {
    match endpoints.is_empty() {
        true => "none".to_owned(),
        false => endpoints
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(","),
    }
}
