//! Distros: those on which the release can set up Kubernetes, and variables that need a newer kernel or cgroups than the distro
//! has.

use super::{Context, Variables};
use crate::images;
use crate::release::{self, Release};
use crate::report::{KeyPath, Report};
use crate::value::Version;
use crate::variables::needs_cgroup2;

/// Distros whose own support has ended, with the month.
const ENDED: [(&str, &str); 2] = [("ubuntu20", "in May 2025"), ("debian11", "in August 2026")];

/// Distros with cgroups of version 1, unless the kernel's command line says otherwise.
const CGROUP_V1: [&str; 1] = ["ubuntu20"];

/// The version (first two numbers) of the kernel in a distro's image.
fn kernel(distro: &str) -> Option<(u32, u32)> {
    Some(match distro {
        "ubuntu20" => (5, 4),
        "ubuntu22" => (5, 15),
        "ubuntu24" => (6, 8),
        "debian11" => (5, 10),
        "debian12" => (6, 1),
        "debian13" => (6, 12),
        "centos9" | "rocky9" => (5, 14),
        _ => return None,
    })
}

pub(super) fn distro(
    context: &Context,
    variables: &Variables,
    path: &KeyPath,
    report: &mut Report,
) {
    let Some((image, own_source)) = context.image else {
        return;
    };
    let distro = image.distro.as_str();
    if images::find(distro).is_none() {
        return;
    }
    let release = context.release;
    let tag = &release.tag;
    let cluster_path = path.key("cluster");
    let template_path = cluster_path.key("nodeTemplate");
    let os_path = template_path.key("os");
    let path = os_path.key("distro");
    let is = |list: &[String]| list.iter().any(|own| own == distro);
    let ended = |distro: &str| ENDED.iter().any(|(ended, _)| *ended == distro);
    let maintained: Vec<String> = release
        .distros
        .iter()
        .filter(|own| !ended(own))
        .cloned()
        .collect();
    let help = || fitting(distro, release, &context.kubernetes.version);
    if is(&release.distros_refused) && !own_source {
        report.error(
            &path,
            "distro-release",
            format!("Kubespray {tag} cannot set up {distro}: packages that it asks for do not exist there"),
            help(),
        );
    } else if !is(&release.distros) {
        report.warning(
            &path,
            "distro-release",
            format!("Kubespray {tag} is not made for {distro}, and may fail there"),
            help(),
        );
    } else if let Some((_, when)) = ENDED.iter().find(|(ended, _)| *ended == distro)
        && release.tag.minor() == release::newest().tag.minor()
    {
        report.warning(
            &path,
            "distro-ended",
            format!("{distro} gets no security updates any more: its support ended {when}"),
            format!("use one of {}", names(&maintained)),
        );
    }
    kernels(distro, context, variables, &path, report);
    cgroups(distro, own_source, context, &maintained, &path, report);
}

/// Reports a kubelet that does not start on the distro's cgroups. Only a warning for a person's own image, which may have others.
fn cgroups(
    distro: &str,
    own_source: bool,
    context: &Context,
    others: &[String],
    path: &KeyPath,
    report: &mut Report,
) {
    let kubernetes = &context.kubernetes.version;
    let needs = needs_cgroup2(kubernetes, &context.addons.kubespray);
    if !needs || !CGROUP_V1.contains(&distro) {
        return;
    }
    const CODE: &str = "distro-cgroup";
    let message = format!(
        "kubelets of Kubernetes {kubernetes} do not start on {distro}, whose system has cgroups of version 1"
    );
    let help = format!(
        "use one of {}, or set addons.kubespray.kubelet_fail_cgroup_v1: false, as long as Kubernetes heeds it",
        names(others)
    );
    match own_source {
        true => report.warning(path, CODE, message, help),
        false => report.error(path, CODE, message, help),
    }
}

/// The help: the distros that fit the release, and the releases that fit the distro.
fn fitting(distro: &str, release: &Release, kubernetes: &Version) -> String {
    let fits = |release: &&Release| release.distros.iter().any(|own| own == distro);
    let releases: Vec<&Release> = release::all().iter().filter(fits).collect();
    let (Some(first), Some(last)) = (releases.first(), releases.last()) else {
        return format!("use one of {}", names(&release.distros));
    };
    let range = match last.tag == release::newest().tag {
        true => format!("{} and later", first.tag),
        false => format!("{} to {}", first.tag, last.tag),
    };
    let same = releases
        .iter()
        .rfind(|release| release.supports(kubernetes));
    let with = match same {
        Some(release) => format!("{} sets up {kubernetes} on it", release.tag),
        None => format!("of these, none sets up {kubernetes}"),
    };
    format!(
        "with Kubespray {} use one of {}; {distro} goes with Kubespray {range}: {with}",
        release.tag,
        names(&release.distros)
    )
}

fn names(distros: &[String]) -> String {
    distros.join(", ")
}

/// Reports what needs a newer kernel than the distro has.
fn kernels(
    distro: &str,
    context: &Context,
    variables: &Variables,
    path: &KeyPath,
    report: &mut Report,
) {
    let Some(kernel @ (major, minor)) = kernel(distro) else {
        return;
    };
    let plugin = context.kubernetes.network_plugin.as_str();
    let is = |name: &str, value: &str| variables.text(name) == Some(value);
    let cilium = plugin == "cilium" || variables.is_on("cilium_deploy_additionally");
    let demands = [
        (
            is("kube_proxy_mode", "nftables"),
            "kube_proxy_mode: nftables",
            (5, 13),
        ),
        (
            cilium
                && variables.is_on("cilium_encryption_enabled")
                && is("cilium_encryption_type", "wireguard"),
            "cilium's encryption by WireGuard",
            (5, 6),
        ),
        (
            plugin == "flannel" && is("flannel_backend_type", "wireguard"),
            "flannel's WireGuard",
            (5, 6),
        ),
    ];
    for (_, what, least) in demands
        .iter()
        .filter(|(on, _, least)| *on && kernel < *least)
    {
        report.error(
            path,
            "distro-kernel",
            format!(
                "{what} needs Linux {}.{}, and {distro} has {major}.{minor}",
                least.0, least.1
            ),
            "use a newer distro, or another mode",
        );
    }
}
