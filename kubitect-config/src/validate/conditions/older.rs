//! Conditions of single releases.

use super::{Context, Variables};
use crate::report::{Report, quote};
use crate::value::Version;

pub(super) fn older(context: &Context, variables: &Variables, report: &mut Report) {
    let release = context.release;
    let kubernetes = context.kubernetes;
    let old = !release.is_from(20) && kubernetes.version < Version::new((1, 22), 0);
    if old && variables.is_on("kata_containers_enabled") {
        let message = format!(
            "its Kata Containers need Kubernetes v1.22.0, and this is {}",
            kubernetes.version
        );
        let help = "set kubernetes.version to v1.22.0 or later";
        variables.error("kata_containers_enabled", message, help, report);
    }
    let azure = !release.is_from(27) && variables.text("cloud_provider") == Some("azure");
    let encapsulates = |name: &str| variables.text(name).is_some_and(|mode| mode != "Never");
    if azure && kubernetes.network_plugin == "calico" && encapsulates("calico_ipip_mode") {
        let help = "leave calico_ipip_mode out: calico then takes VXLAN";
        variables.error("calico_ipip_mode", "Azure takes no IP-in-IP", help, report);
    }
    let name = "kube_apiserver_enable_admission_plugins";
    let first = variables
        .get(name)
        .and_then(|list| list.as_sequence()?.first()?.as_str());
    if release.is_from(20) && !release.is_from(28) && first.is_some_and(|name| name.contains(',')) {
        let message = "Kubespray takes a list, and refuses names with commas between them";
        variables.error(
            name,
            message,
            "write each name as an item of its own",
            report,
        );
    }
    insecure_registries(context, variables, report);
    multus(context, variables, report);
    patches(context, variables, report);
}

/// v2.21 fails with this mapping: it iterates over its keys as if they were entries.
fn insecure_registries(context: &Context, variables: &Variables, report: &mut Report) {
    let name = "containerd_insecure_registries";
    let release = context.release;
    let concerned = release.is_from(21) && !release.is_from(22);
    if concerned
        && context.kubernetes.container_manager == "containerd"
        && variables.get(name).is_some()
    {
        let message = format!("Kubespray {} stops at it (its issue 9705)", release.tag);
        let help = "use Kubespray v2.22.0 or later, or leave it out as long as v2.21 is on the way";
        variables.error(name, message, help, report);
    }
}

/// v2.26 fails with multus: it needs a variable that nothing sets.
fn multus(context: &Context, variables: &Variables, report: &mut Report) {
    let name = "kube_network_plugin_multus";
    let release = context.release;
    if release.is_from(26) && !release.is_from(27) && variables.is_on(name) {
        let message = format!(
            "Kubespray {} stops at multus in every run (its issue 11794)",
            release.tag
        );
        let help = "use Kubespray v2.27.0 or later; for an upgrade on which v2.26 lies, set it to false as long as that takes: what is \
                    set up of multus stays";
        variables.error(name, message, help, report);
    }
}

/// `kubeadm_patches` is a mapping with a folder up to v2.26, and a list of patches since: a release fails with the other form.
fn patches(context: &Context, variables: &Variables, report: &mut Report) {
    let name = "kubeadm_patches";
    let release = context.release;
    let Some(value) = variables.get(name).filter(|_| release.is_from(21)) else {
        return;
    };
    let (has_form, how) = match release.is_from(27) {
        true => (
            value.is_sequence(),
            "a list of patches: `kubeadm_patches: [{target: kube-apiserver, patch: {…}}]`",
        ),
        false => (
            value.is_mapping(),
            "a mapping: `kubeadm_patches: {enabled: true, source_dir: FOLDER, dest_dir: /etc/kubernetes/patches}`",
        ),
    };
    if !has_form && !variables.is_expression(name) {
        let message = format!(
            "Kubespray {} takes {} in another form",
            release.tag,
            quote(name)
        );
        variables.error(
            name,
            message,
            format!("write {how}; v2.27 has changed it"),
            report,
        );
    }
}
