//! Distros: which of them a release sets up Kubernetes on, and what needs a newer kernel than one has.

use super::{Context, Variables};
use crate::images;
use crate::release::{self, Release};
use crate::report::{At, Report};
use crate::value::Version;
use crate::variables::needs_cgroup2;

/// Distros whose own support has ended, and when.
const ENDED: [(&str, &str); 2] = [("ubuntu20", "in May 2025"), ("debian11", "in August 2026")];

/// Distros whose systems have cgroups of version 1 unless their kernels are told otherwise.
const CGROUP_V1: [&str; 1] = ["ubuntu20"];

/// The first two numbers of the kernel that a distro's image has.
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

pub(super) fn distro(context: &Context, variables: &Variables, at: &At, report: &mut Report) {
    let Some((image, own_source)) = context.image else {
        return;
    };
    let distro = image.distro.as_str();
    if images::find(distro).is_none() {
        return;
    }
    let release = context.release;
    let tag = &release.tag;
    let at_cluster = at.key("cluster");
    let at_template = at_cluster.key("nodeTemplate");
    let at_os = at_template.key("os");
    let at = at_os.key("distro");
    let is = |list: &[String]| list.iter().any(|one| one == distro);
    let ended = |distro: &str| ENDED.iter().any(|(ended, _)| *ended == distro);
    let living: Vec<String> = release
        .distros
        .iter()
        .filter(|one| !ended(one))
        .cloned()
        .collect();
    let help = || fitting(distro, release, &context.kubernetes.version);
    if is(&release.distros_refused) && !own_source {
        report.error(
            &at,
            "distro-release",
            format!("Kubespray {tag} cannot set up {distro}: packages that it asks for do not exist there"),
            help(),
        );
    } else if !is(&release.distros) {
        report.warning(
            &at,
            "distro-release",
            format!("Kubespray {tag} is not made for {distro}, and may fail there"),
            help(),
        );
    } else if let Some((_, when)) = ENDED.iter().find(|(ended, _)| *ended == distro)
        && release.tag.minor() == release::newest().tag.minor()
    {
        report.warning(
            &at,
            "distro-ended",
            format!("{distro} gets no security updates any more: its support ended {when}"),
            format!("use one of {}", names(&living)),
        );
    }
    kernels(distro, context, variables, &at, report);
    cgroups(distro, own_source, context, &living, &at, report);
}

/// Kubelets that do not start on the distro. An image of a person's own may be set up otherwise.
fn cgroups(
    distro: &str,
    own_source: bool,
    context: &Context,
    others: &[String],
    at: &At,
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
        true => report.warning(at, CODE, message, help),
        false => report.error(at, CODE, message, help),
    }
}

/// The distros for the release, and the releases for the distro.
fn fitting(distro: &str, release: &Release, kubernetes: &Version) -> String {
    let fits = |release: &&Release| release.distros.iter().any(|one| one == distro);
    let releases: Vec<&Release> = release::all().iter().filter(fits).collect();
    let (Some(first), Some(last)) = (releases.first(), releases.last()) else {
        return format!("use one of {}", names(&release.distros));
    };
    let range = match last.tag == release::newest().tag {
        true => format!("{} and later", first.tag),
        false => format!("{} to {}", first.tag, last.tag),
    };
    let same = releases.iter().rfind(|one| one.supports(kubernetes));
    let with = match same {
        Some(one) => format!("{} sets up {kubernetes} on it", one.tag),
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

/// What asks for a kernel that the distro does not have.
fn kernels(distro: &str, context: &Context, variables: &Variables, at: &At, report: &mut Report) {
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
            at,
            "distro-kernel",
            format!(
                "{what} needs Linux {}.{}, and {distro} has {major}.{minor}",
                least.0, least.1
            ),
            "use a newer distro, or another mode",
        );
    }
}
