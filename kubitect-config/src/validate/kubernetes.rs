//! Sections `kubernetes` and `addons`: what fits the Kubespray release.

use super::{label, variables, words};
use crate::cluster::{Addons, Kubernetes, Kubespray, Rook};
use crate::release::{self, Release};
use crate::report::{At, Report, nearest, quote};
use crate::site::Site;
use crate::value::Version;
use crate::{address, defaults, raw};

pub(super) fn kubernetes(
    raw: &raw::Kubernetes,
    site: &Site,
    at: &At,
    report: &mut Report,
) -> Option<Kubernetes> {
    let version = version(raw, at, report);
    let at_kubespray = at.key("kubespray");
    let kubespray = match &raw.kubespray.version {
        Some(text) => report
            .parse(&at_kubespray.key("version"), "version", text)
            .and_then(|wanted| fitting(wanted, version.as_ref(), at, report)),
        None if report.is_left_out(&at_kubespray.key("version")) => None,
        None => version
            .as_ref()
            .and_then(|version| newest(version, at, report)),
    };
    let at_manager = at.key("manager");
    if raw.manager.as_deref() == Some("k3s") {
        report.error(
            &at_manager,
            "manager-k3s",
            "Kubernetes is set up by Kubespray only, not by k3s",
            "leave `manager` out for a cluster of Kubespray's, or write a container runtime: containerd, crio, docker",
        );
        report.leave_out(&at_manager);
    }
    let release = kubespray.as_ref().and_then(release::find_or_newest);
    let mut choice =
        |key: &str, value: Option<&str>, default: &str, allowed: fn(&Release) -> &[String]| {
            let value = value.unwrap_or(default);
            if let Some(release) = release {
                choice(value, allowed(release), release, &at.key(key), report);
            }
            value.to_owned()
        };
    let network_plugin = choice(
        "networkPlugin",
        raw.network_plugin.as_deref(),
        defaults::NETWORK_PLUGIN,
        |release| &release.network_plugins,
    );
    let dns_mode = choice(
        "dnsMode",
        raw.dns_mode.as_deref(),
        defaults::DNS_MODE,
        |release| &release.dns_modes,
    );
    // `kubespray` is what files of other programs say for "set up by Kubespray", which is the only way here.
    let manager = raw
        .manager
        .as_deref()
        .filter(|manager| *manager != "kubespray");
    let container_manager = choice("manager", manager, defaults::CONTAINER_MANAGER, |release| {
        &release.container_managers
    });
    if let Some(url) = &raw.kubespray.url {
        report.checked(
            &at_kubespray.key("url"),
            "repository",
            url,
            words::repository_without_secret,
        );
    }
    let url = raw.kubespray.url.as_ref().or(site.kubespray.url.as_ref());
    let site_folder = || {
        let own = site.kubespray.url.as_deref();
        raw.kubespray.url.is_none() && own.is_some_and(words::is_folder)
    };
    insecure(url, site, &at_kubespray, report);
    let other = &raw.other;
    Some(Kubernetes {
        version: version?,
        network_plugin,
        dns_mode,
        container_manager,
        kubespray: Kubespray {
            version: kubespray?,
            url: url
                .map_or(defaults::KUBESPRAY_URL, String::as_str)
                .to_owned(),
            any_commit: site.kubespray.any_commit.unwrap_or_else(site_folder),
            python: site.kubespray.python.clone(),
            forks: site.kubespray.forks.unwrap_or(defaults::FORKS),
            pip: site.pip.clone(),
        },
        auto_renew_certificates: other.auto_renew_certificates.unwrap_or(false),
        merge_kubeconfig: other
            .merge_kubeconfig
            .or(other.copy_kubeconfig)
            .unwrap_or(false),
    })
}

/// A warning for each way on which somebody in between could bring what runs as root.
fn insecure(url: Option<&String>, site: &Site, at: &At, report: &mut Report) {
    if let Some(url) = url.filter(|url| words::is_open(url)) {
        report.warning(
            &at.key("url"),
            "kubespray-open",
            format!(
                "Kubespray comes from {}, over a connection that anybody on the way can change",
                quote(&address::shown(url))
            ),
            "use an address that begins with https:// or ssh://",
        );
    }
    let pip = [
        ("pip.indexUrl", &site.pip.index_url),
        ("pip.findLinks", &site.pip.find_links),
    ];
    for (name, url) in pip {
        if let Some(url) = url.as_ref().filter(|url| words::is_open(url)) {
            report.warning(
                at,
                "pip-open",
                format!(
                    "Python packages come from {} ({name} of the site file), over a connection that anybody on the way can \
                     change",
                    quote(&address::shown(url))
                ),
                "use an address that begins with https://, or a folder",
            );
        }
    }
}

fn version(raw: &raw::Kubernetes, at: &At, report: &mut Report) -> Option<Version> {
    let at = at.key("version");
    match &raw.version {
        Some(text) => report.parse(&at, "version", text),
        None if report.is_left_out(&at) => None,
        None => {
            let version = release::default_kubernetes();
            report.warning(
                &at,
                "version-missing",
                format!("no Kubernetes version is given; {version} is taken"),
                format!(
                    "write `version: {version}`, so that another Kubitect does not take another one"
                ),
            );
            Some(version)
        }
    }
}

/// The wanted Kubespray release, if it supports the Kubernetes version.
fn fitting(
    wanted: Version,
    kubernetes: Option<&Version>,
    at: &At,
    report: &mut Report,
) -> Option<Version> {
    let at_kubespray = at.key("kubespray");
    let at_version = at_kubespray.key("version");
    let newest = release::all().last()?;
    if wanted > newest.tag {
        report.warning(
            &at_version,
            "kubespray-newer",
            format!(
                "Kubespray {wanted} is newer than {}, the newest that is known here",
                newest.tag
            ),
            format!(
                "it is treated as {}; update Kubitect if it fails",
                newest.tag
            ),
        );
        return Some(wanted);
    }
    let oldest = &release::all().first()?.tag;
    if wanted < *oldest {
        if let Some(nearest) = kubernetes.and_then(nearest_that_fits) {
            report.warning(
                &at_version,
                "kubespray-old",
                format!(
                    "Kubespray {wanted} is older than {oldest}, the oldest that Kubitect can drive; {nearest} is taken, which \
                     sets up the same Kubernetes"
                ),
                format!("write `version: {nearest}`"),
            );
            return Some(nearest.clone());
        }
        report.error(
            &at_version,
            "kubespray-old",
            format!(
                "Kubespray {wanted} is older than {oldest}, the oldest that Kubitect can drive"
            ),
            nearest_release(),
        );
        return None;
    }
    let Some(release) = release::find(&wanted) else {
        let fit = kubernetes.map(fitting_releases).unwrap_or_default();
        report.error(
            &at_version,
            "kubespray-unknown",
            format!("Kubespray {wanted} is not known"),
            format!("{fit}known are {}", tags(release::all().iter())),
        );
        return None;
    };
    let Some(kubernetes) = kubernetes else {
        return Some(wanted);
    };
    if !release.supports(kubernetes) {
        let supported: Vec<String> = release
            .kubernetes
            .iter()
            .map(|(minor, [low, high])| format!("v{minor}.{low} to v{minor}.{high}"))
            .collect();
        report.error(
            &at_version,
            "kubespray-pair",
            format!("Kubespray {wanted} cannot set up Kubernetes {kubernetes}"),
            format!(
                "{}Kubespray {wanted} supports {}",
                fitting_releases(kubernetes),
                supported.join(", ")
            ),
        );
    }
    Some(wanted)
}

/// The newest release that supports the Kubernetes version.
fn newest(kubernetes: &Version, at: &At, report: &mut Report) -> Option<Version> {
    let newest = release::supporting(kubernetes).last();
    if newest.is_none() {
        let minors: std::collections::BTreeSet<(u64, u64)> = release::all()
            .iter()
            .flat_map(|release| release.kubernetes.keys())
            .filter_map(|minor| format!("{minor}.0").parse::<Version>().ok())
            .map(|version| version.minor())
            .collect();
        let range = minors
            .first()
            .zip(minors.last())
            .map_or_else(String::new, |(low, high)| {
                format!(
                    "; supported are v{}.{} to v{}.{}",
                    low.0, low.1, high.0, high.1
                )
            });
        let highest = release::all()
            .iter()
            .filter_map(|release| {
                let (major, minor) = kubernetes.minor();
                release.kubernetes.get(&format!("{major}.{minor}"))
            })
            .map(|[_, high]| *high)
            .max();
        let help = match highest {
            Some(high) => format!(
                "use v{}.{}.{high} or lower of this minor{range}",
                kubernetes.minor().0,
                kubernetes.minor().1
            ),
            None => format!("use another version{range}"),
        };
        report.error(
            &at.key("version"),
            "kubernetes-unsupported",
            format!("no known Kubespray release can set up Kubernetes {kubernetes}"),
            help,
        );
    }
    newest.map(|release| release.tag.clone())
}

/// Of the oldest releases that set up this Kubernetes, the newest patch.
fn nearest_that_fits(kubernetes: &Version) -> Option<&'static Version> {
    let minor = release::supporting(kubernetes).next()?.tag.minor();
    let of_minor = release::supporting(kubernetes).filter(|release| release.tag.minor() == minor);
    of_minor.last().map(|release| &release.tag)
}

/// What to write instead of a release that is too old, where none sets up its Kubernetes.
fn nearest_release() -> String {
    let Some(oldest) = release::all().first() else {
        return String::new();
    };
    let of_minor = |release: &&Release| release.tag.minor() == oldest.tag.minor();
    let newest_patch = release::all().iter().rfind(of_minor).unwrap_or(oldest);
    let minors: Vec<String> = newest_patch
        .kubernetes
        .iter()
        .map(|(minor, [_, high])| format!("v{minor}.{high}"))
        .collect();
    format!(
        "write `version: {}` and take one of the Kubernetes that it sets up: {} or lower patches of these",
        newest_patch.tag,
        minors.join(", ")
    )
}

/// "use Kubespray …; ", or nothing where none fits.
fn fitting_releases(kubernetes: &Version) -> String {
    let fit = tags(release::supporting(kubernetes));
    if fit.is_empty() {
        format!("no known Kubespray release supports {kubernetes}; ")
    } else {
        format!("for {kubernetes} use Kubespray {fit}; ")
    }
}

fn tags(releases: impl Iterator<Item = &'static Release>) -> String {
    releases
        .map(|release| release.tag.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn choice(value: &str, allowed: &[String], release: &Release, at: &At, report: &mut Report) {
    if allowed.iter().any(|one| one == value) {
        return;
    }
    let guess = nearest(value, allowed.iter().map(String::as_str))
        .map(|guess| format!("did you mean `{guess}`? "))
        .unwrap_or_default();
    report.error(
        at,
        "not-in-release",
        format!("Kubespray {} does not know {}", release.tag, quote(value)),
        format!("{guess}Possible: {}", allowed.join(", ")),
    );
}

pub(super) fn addons(
    raw: &raw::Addons,
    release: Option<&Release>,
    at: &At,
    report: &mut Report,
) -> Addons {
    let kubespray = variables::variables(&raw.kubespray, release, &at.key("kubespray"), report);
    let at = at.key("rook");
    let raw::Rook {
        enabled,
        version,
        node_selector,
    } = &raw.rook;
    if *enabled == Some(true) {
        report.error(
            &at.key("enabled"),
            "rook-unsupported",
            "Kubitect cannot install Rook yet",
            "leave it out, and install Rook into the finished cluster",
        );
    }
    let version = version
        .as_deref()
        .and_then(|text| report.parse(&at.key("version"), "version", text));
    let at_selector = at.key("nodeSelector");
    label::check_labels(node_selector, &at_selector, report);
    Addons {
        kubespray,
        rook: enabled.unwrap_or(false).then(|| Rook {
            version,
            node_selector: node_selector.clone(),
        }),
    }
}
