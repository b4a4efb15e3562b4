//! What some older releases ask besides.

use super::{Context, Variables};
use crate::report::Report;
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
    if release.is_from(20) && !release.is_from(28) && first.is_some_and(|one| one.contains(',')) {
        let message = "Kubespray takes a list, and refuses names with commas between them";
        variables.error(
            name,
            message,
            "write each name as an item of its own",
            report,
        );
    }
}
