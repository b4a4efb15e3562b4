//! Repair of a master on which a playbook was killed, where no later run of the playbook would do it: the API server's
//! certificate that it had removed, and the services etcd and kubelet that it had stopped.

use kubitect_config::Remote;

use super::kubeadm::{KUBEADM, KUBEADM_CONFIGS, KUBELET_CONFIG, exists};
use super::remote::{LIMIT, run_retrying};
use crate::Error;

/// The API server's certificate and its key. To issue a certificate with more names, Kubespray removes them one by one; from
/// v2.22 on its next run fails if one is missing (its issue 10937).
const CERTIFICATE: [&str; 2] = [
    "/etc/kubernetes/ssl/apiserver.crt",
    "/etc/kubernetes/ssl/apiserver.key",
];
/// The key of the authority that signs it. It does not exist where certificates are issued elsewhere.
const AUTHORITY: &str = "/etc/kubernetes/ssl/ca.key";
/// The services that an API server needs, in the order in which they are started.
const UNITS: [&str; 2] = ["etcd", "kubelet"];

/// Issues the API server's certificate on the connected master if it or its key is missing. Returns whether it was.
///
/// Does nothing before kubeadm has written the kubelet's configuration: up to then the certificate may not exist yet, and
/// Kubespray does not remove it so early.
pub async fn reissue_certificate(remote: &impl Remote) -> Result<bool, Error> {
    let [certificate, key] = CERTIFICATE;
    if !exists(remote, KUBELET_CONFIG).await? {
        return Ok(false);
    }
    if exists(remote, certificate).await? && exists(remote, key).await? {
        return Ok(false);
    }
    if !exists(remote, AUTHORITY).await? {
        return Ok(false);
    }
    let what = "issue the API server's certificate again";
    // kubeadm fails if only one of the two exists.
    let argv = ["rm", "-f", "--", certificate, key];
    run_retrying(remote, what, &argv, LIMIT).await?;
    let argv = [
        KUBEADM,
        "init",
        "phase",
        "certs",
        "apiserver",
        "--config",
        KUBEADM_CONFIGS[0],
    ];
    run_retrying(remote, what, &argv, LIMIT).await?;
    Ok(true)
}

/// Starts etcd and the kubelet on the connected machine if they are enabled and stopped. Returns those that were started.
pub async fn start_stopped_services(remote: &impl Remote) -> Result<Vec<&'static str>, Error> {
    let mut started = Vec::new();
    for unit in UNITS {
        let what = format!("start {unit}");
        let argv = [
            "systemctl",
            "show",
            "--property=ActiveState,UnitFileState",
            unit,
        ];
        let output = run_retrying(remote, &what, &argv, LIMIT).await?;
        if !should_run(&String::from_utf8_lossy(&output.stdout)) {
            continue;
        }
        // Without waiting: the unit of etcd counts as started only once etcd serves.
        let argv = ["systemctl", "start", "--no-block", unit];
        run_retrying(remote, &what, &argv, LIMIT).await?;
        started.push(unit);
    }
    Ok(started)
}

/// Whether a unit with these properties is enabled, but stopped or failed.
fn should_run(properties: &str) -> bool {
    let is = |line: &str| properties.lines().any(|property| property.trim() == line);
    let stopped = ["inactive", "failed"].map(|state| format!("ActiveState={state}"));
    is("UnitFileState=enabled") && stopped.iter().any(|line| is(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_should_run_and_does_not_is_started() {
        for (state, file, starts) in [
            ("inactive", "enabled", true),
            ("failed", "enabled", true),
            ("activating", "enabled", false),
            ("active", "enabled", false),
            ("inactive", "disabled", false),
            ("inactive", "", false),
        ] {
            let text = format!("ActiveState={state}\nUnitFileState={file}\n");
            assert_eq!(should_run(&text), starts, "{text}");
        }
    }
}
