//! What a node's operating system provides for Kubernetes: cgroups, and CRI-O's runtime.

use kubitect_config::{Remote, text};

use super::remote::{LIMIT, run_retrying};
use crate::Error;

/// Whether the connected machine uses cgroup v2. Kubelets from Kubernetes v1.35 on do not start on cgroup v1 by default.
pub async fn has_cgroup2(remote: &impl Remote) -> Result<bool, Error> {
    let what = "ask which version of cgroups the system has";
    let argv = ["stat", "--file-system", "--format=%T", "/sys/fs/cgroup"];
    let output = run_retrying(remote, what, &argv, LIMIT).await?;
    let kind = String::from_utf8_lossy(&output.stdout);
    match kind.trim() {
        "cgroup2fs" => Ok(true),
        // cgroup v1: a tmpfs with one file system for each controller.
        "tmpfs" => Ok(false),
        other => Err(Error::Program {
            what: what.to_owned(),
            lines: format!("/sys/fs/cgroup is of type `{}`", text::line(other)),
        }),
    }
}

/// CRI-O's default runtime on the connected machine: `runc` or `crun`.
pub async fn crio_runtime(remote: &impl Remote) -> Result<String, Error> {
    let what = "ask with what CRI-O runs containers";
    let argv = ["cat", "--", "/etc/crio/crio.conf"];
    let output = run_retrying(remote, what, &argv, LIMIT).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "default_runtime").then(|| value.trim().trim_matches('"').to_owned())
    };
    // The name becomes a variable of Ansible, which would evaluate braces as a template.
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let found = text.lines().find_map(value).filter(is_word);
    found.ok_or_else(|| Error::Program {
        what: what.to_owned(),
        lines: "/etc/crio/crio.conf does not say its default_runtime".to_owned(),
    })
}
