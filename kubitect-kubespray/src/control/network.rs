//! What a network plugin was set up with, and keeps.

use kubitect_config::remote::Remote;
use serde::Deserialize;

use super::nodes::KUBECTL;
use super::remote::{PATIENCE, json, succeed};
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

/// The size of the blocks of addresses in calico's pool, as the length of their prefix; none where there is no such pool.
pub async fn calico_blocksize(remote: &impl Remote, pool: &str) -> Result<Option<u64>, Error> {
    let what = format!("ask for the size of the blocks in calico's pool {pool}");
    // Without calico there is no such kind of object, which only this way of asking says as it says that of an object.
    let path = format!("--raw=/apis/crd.projectcalico.org/v1/ippools/{pool}");
    let argv = [&KUBECTL[..], &["get", &path]].concat();
    match succeed(remote, &what, &argv, PATIENCE).await {
        Ok(output) => Ok(Some(json::<Pool>(&what, &output.stdout)?.spec.block_size)),
        Err(Error::Program { lines, .. }) if lines.contains("NotFound") => Ok(None),
        Err(error) => Err(error),
    }
}
