//! Which names an API server's certificate lacks, checked with openssl as Kubespray's playbooks check them.

use std::net::IpAddr;

use kubitect_config::Remote;

use super::remote::{LIMIT, last_output, run_once};
use crate::Error;

/// The API server's certificate.
const CERTIFICATE: &str = "/etc/kubernetes/ssl/apiserver.crt";

/// Those of `names` at which Kubespray's check of the certificate on this master fails. The check runs openssl for each name and
/// fails if openssl exits with an error; only openssl 3.2 and later does so for a name that the certificate lacks. Empty where
/// the master has no certificate yet.
pub async fn failing_names(remote: &impl Remote, names: &[String]) -> Result<Vec<String>, Error> {
    let mut failing = Vec::new();
    if names.is_empty() {
        return Ok(failing);
    }
    let what = format!("look for {CERTIFICATE}");
    let found = run_once(remote, &what, &["test", "-e", CERTIFICATE], LIMIT).await?;
    match found.status {
        0 => {}
        1 => return Ok(failing),
        _ => {
            let lines = last_output(&found);
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
        let output = run_once(remote, &what, &argv, LIMIT).await?;
        if output.status == 0 {
            continue;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.contains("does NOT match certificate") {
            let lines = last_output(&output);
            return Err(Error::Program { what, lines });
        }
        failing.push(name.clone());
    }
    Ok(failing)
}
