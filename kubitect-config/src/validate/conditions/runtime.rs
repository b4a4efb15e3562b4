//! Conditions of the container runtime.

use super::{CODE, Context, Variables};
use crate::report::{KeyPath, Report};

/// Checks the variables against the container runtime, `kubernetes.manager`.
pub(super) fn runtime(
    context: &Context,
    variables: &Variables,
    path: &KeyPath,
    report: &mut Report,
) {
    let manager = context.kubernetes.container_manager.as_str();
    let version = &context.kubernetes.version;
    if variables.is_on("kata_containers_enabled") && manager == "docker" {
        let message = "Kata Containers do not run under Docker";
        let help = "set kubernetes.manager to containerd or crio";
        variables.error("kata_containers_enabled", message, help, report);
    }
    if variables.is_on("gvisor_enabled") && manager != "containerd" {
        let message = format!("gVisor runs under containerd, and kubernetes.manager is {manager}");
        variables.error(
            "gvisor_enabled",
            message,
            "leave kubernetes.manager out",
            report,
        );
    }
    // From v2.20.0 on Kubespray always installs it.
    let needs_shim =
        manager == "docker" && version.minor() >= (1, 24) && !context.release.is_from(20);
    if needs_shim && !variables.is_on("cri_dockerd_enabled") {
        variables.error_or(
            "cri_dockerd_enabled",
            &path.key("manager"),
            format!("Kubernetes {version} speaks to Docker through cri-dockerd only"),
            "set `cri_dockerd_enabled: true` in addons.kubespray, or take containerd",
            report,
        );
    }
    crio(context, path, report);
}

/// With CRI-O, v2.27 and v2.28 need Kubernetes v1.31 or later: they copy files that CRI-O's archive has only from v1.31 on, and
/// CRI-O has Kubernetes' version.
fn crio(context: &Context, path: &KeyPath, report: &mut Report) {
    let version = &context.kubernetes.version;
    let release = context.release;
    let stops = release.is_from(27) && !release.is_from(29) && version.minor() < (1, 31);
    if context.kubernetes.container_manager == "crio" && stops {
        report.error(
            &path.key("version"),
            CODE,
            format!("Kubespray {} sets up CRI-O for Kubernetes v1.31 and later only", release.tag),
            "a new cluster takes Kubernetes v1.31 or later; one that has an older one gets v1.30 with Kubespray v2.26.1 first, and v1.31 from there",
        );
    }
}
