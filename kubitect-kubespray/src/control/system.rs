//! What a machine's system gives to a kubelet, and with what its containers are run.

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

/// With which program CRI-O on the machine at the other end runs containers of which nothing else is said: `runc` or `crun`.
pub async fn crio_runtime(remote: &impl Remote) -> Result<String, Error> {
    let what = "ask with what CRI-O runs containers";
    let argv = ["cat", "--", "/etc/crio/crio.conf"];
    let output = succeed(remote, what, &argv, PATIENCE).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "default_runtime").then(|| value.trim().trim_matches('"').to_owned())
    };
    // It becomes a variable of Ansible's, which has a meaning for braces.
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let found = text.lines().find_map(value).filter(is_word);
    found.ok_or_else(|| Error::Program {
        what: what.to_owned(),
        lines: "/etc/crio/crio.conf does not say its default_runtime".to_owned(),
    })
}
