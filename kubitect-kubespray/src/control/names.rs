//! The names in an API server's certificate, held against others as Kubespray's playbooks do it.

use std::net::IpAddr;

use kubitect_config::Remote;

use super::remote::{PATIENCE, once, said};
use crate::Error;

/// What an API server shows.
const CERTIFICATE: &str = "/etc/kubernetes/ssl/apiserver.crt";

/// Those of these names at which a playbook would stop that asks openssl for each: the certificate on this master lacks them,
/// and its openssl (3.2 and later) says so by its exit status, too. None where there is no certificate yet.
pub async fn stopping_names(remote: &impl Remote, names: &[String]) -> Result<Vec<String>, Error> {
    let mut stopping = Vec::new();
    if names.is_empty() {
        return Ok(stopping);
    }
    let what = format!("look for {CERTIFICATE}");
    let there = once(remote, &what, &["test", "-e", CERTIFICATE], PATIENCE).await?;
    match there.status {
        0 => {}
        1 => return Ok(stopping),
        _ => {
            let lines = said(&there);
            return Err(Error::Program { what, lines });
        }
    }
    for name in names {
        let what = format!("look for {name} in {CERTIFICATE}");
        let check = match name.parse::<IpAddr>() {
            Ok(_) => "-checkip",
            Err(_) => "-checkhost",
        };
        let argv = ["openssl", "x509", "-noout", "-in", CERTIFICATE, check, name];
        let output = once(remote, &what, &argv, PATIENCE).await?;
        if output.status == 0 {
            continue;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.contains("does NOT match certificate") {
            let lines = said(&output);
            return Err(Error::Program { what, lines });
        }
        stopping.push(name.clone());
    }
    Ok(stopping)
}
