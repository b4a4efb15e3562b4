//! What a killed playbook has taken away or stopped on a master, and no later run puts back: the API server's
//! certificate, and the services of etcd and the kubelet.

use kubitect_config::Remote;

use super::kubeadm::{CONFIG, KUBEADM, SETTINGS, exists};
use super::remote::{PATIENCE, succeed};
use crate::Error;

/// The API server's certificate and its key. Kubespray removes them one by one to make them anew with more names, and from v2.22
/// on fails where one is missing (its issue 10937).
const CERTIFICATE: [&str; 2] = [
    "/etc/kubernetes/ssl/apiserver.crt",
    "/etc/kubernetes/ssl/apiserver.key",
];
/// The key of the authority that signs it; none where certificates are made elsewhere.
const AUTHORITY: &str = "/etc/kubernetes/ssl/ca.key";
/// The services without which no API server runs, in the order in which they are started.
const UNITS: [&str; 2] = ["etcd", "kubelet"];

/// Makes the API server's certificate on the master at the other end, if it or its key is gone; whether it was. Where kubeadm has not
/// come as far as to the kubelet, none is missing: it makes the certificate before, and Kubespray removes it only after that.
pub async fn put_certificate_back(remote: &impl Remote) -> Result<bool, Error> {
    let [certificate, key] = CERTIFICATE;
    if !exists(remote, CONFIG).await? {
        return Ok(false);
    }
    if exists(remote, certificate).await? && exists(remote, key).await? {
        return Ok(false);
    }
    if !exists(remote, AUTHORITY).await? {
        return Ok(false);
    }
    let what = "make the API server's certificate anew";
    // kubeadm fails where one of the two is left.
    let argv = ["rm", "-f", "--", certificate, key];
    succeed(remote, what, &argv, PATIENCE).await?;
    let argv = [
        KUBEADM,
        "init",
        "phase",
        "certs",
        "apiserver",
        "--config",
        SETTINGS[0],
    ];
    succeed(remote, what, &argv, PATIENCE).await?;
    Ok(true)
}

/// Starts etcd and the kubelet on the machine at the other end where they are enabled and stand still; which were started.
pub async fn start_stopped(remote: &impl Remote) -> Result<Vec<&'static str>, Error> {
    let mut started = Vec::new();
    for unit in UNITS {
        let what = format!("start {unit}");
        let argv = [
            "systemctl",
            "show",
            "--property=ActiveState,UnitFileState",
            unit,
        ];
        let output = succeed(remote, &what, &argv, PATIENCE).await?;
        if !stands_still(&String::from_utf8_lossy(&output.stdout)) {
            continue;
        }
        // etcd counts as started only once it serves.
        let argv = ["systemctl", "start", "--no-block", unit];
        succeed(remote, &what, &argv, PATIENCE).await?;
        started.push(unit);
    }
    Ok(started)
}

/// Whether a unit with these properties should run and does not.
fn stands_still(properties: &str) -> bool {
    let is = |line: &str| properties.lines().any(|own| own.trim() == line);
    let stopped = ["inactive", "failed"].map(|state| format!("ActiveState={state}"));
    is("UnitFileState=enabled") && stopped.iter().any(|line| is(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_should_run_and_does_not_is_started() {
        for (state, file, stands) in [
            ("inactive", "enabled", true),
            ("failed", "enabled", true),
            ("activating", "enabled", false),
            ("active", "enabled", false),
            ("inactive", "disabled", false),
            ("inactive", "", false),
        ] {
            let text = format!("ActiveState={state}\nUnitFileState={file}\n");
            assert_eq!(stands_still(&text), stands, "{text}");
        }
    }
}
