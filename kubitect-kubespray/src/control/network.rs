//! The settings with which a network plugin was set up, and which can't change afterwards.

use kubitect_config::remote::Remote;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::nodes::KUBECTL;
use super::remote::{LIMIT, parse_json, run_retrying};
use crate::Error;

#[derive(Deserialize)]
struct Pool {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    block_size: u64,
}

#[derive(Deserialize)]
struct ConfigMap {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    ipam: Option<String>,
}

/// The block size of calico's pool, as a prefix length; `None` if there is no such pool.
pub async fn calico_blocksize(remote: &impl Remote, pool: &str) -> Result<Option<u64>, Error> {
    let what = format!("ask for the size of the blocks in calico's pool {pool}");
    let path = format!("/apis/crd.projectcalico.org/v1/ippools/{pool}");
    let pool: Option<Pool> = object(remote, &what, &path).await?;
    Ok(pool.map(|pool| pool.spec.block_size))
}

/// The IPAM mode with which cilium was set up: `kubernetes`, `cluster-pool` or another one; `None` if there is no cilium.
pub async fn cilium_ipam(remote: &impl Remote) -> Result<Option<String>, Error> {
    let what = "ask how cilium gives pods their addresses";
    let path = "/api/v1/namespaces/kube-system/configmaps/cilium-config";
    let map: Option<ConfigMap> = object(remote, what, path).await?;
    let Some(mode) = map.and_then(|map| map.data.ipam) else {
        return Ok(None);
    };
    // The mode becomes a variable of Ansible, which would evaluate braces as a template.
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match (1..=40).contains(&mode.len()) && mode.chars().all(is_word) {
        true => Ok(Some(mode)),
        false => Err(Error::Program {
            what: what.to_owned(),
            lines: "what its ConfigMap says is no word of cilium's".to_owned(),
        }),
    }
}

/// An object of the API; `None` if it does not exist. Asked by its raw path, because only then does kubectl answer `NotFound`
/// also for a kind that the API server does not have.
async fn object<T: DeserializeOwned>(
    remote: &impl Remote,
    what: &str,
    path: &str,
) -> Result<Option<T>, Error> {
    let raw = format!("--raw={path}");
    let argv = [&KUBECTL[..], &["get", &raw]].concat();
    match run_retrying(remote, what, &argv, LIMIT).await {
        Ok(output) => parse_json(what, &output.stdout).map(Some),
        Err(Error::Program { lines, .. }) if lines.contains("NotFound") => Ok(None),
        Err(error) => Err(error),
    }
}
