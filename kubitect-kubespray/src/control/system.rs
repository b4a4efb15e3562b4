//! What a machine's system gives to a kubelet.

use kubitect_config::{Remote, text};

use super::remote::{PATIENCE, succeed};
use crate::Error;

/// Whether the system of the machine at the other end has cgroups of version 2, without which kubelets from Kubernetes v1.35 on
/// do not start unless they are told to.
pub async fn has_cgroup2(remote: &impl Remote) -> Result<bool, Error> {
    let what = "ask which version of cgroups the system has";
    let argv = ["stat", "--file-system", "--format=%T", "/sys/fs/cgroup"];
    let output = succeed(remote, what, &argv, PATIENCE).await?;
    let kind = String::from_utf8_lossy(&output.stdout);
    match kind.trim() {
        "cgroup2fs" => Ok(true),
        // Version 1 mounts a folder of file systems there, one for each controller.
        "tmpfs" => Ok(false),
        other => Err(Error::Program {
            what: what.to_owned(),
            lines: format!("/sys/fs/cgroup is of type `{}`", text::line(other)),
        }),
    }
}
