//! Sections `kubernetes` and `addons`: versions that fit together, and settings that the Kubespray release takes.

use super::pair::{fitting, newest, number};
use super::{formats, label, variables};
use crate::cluster::{Addons, Kubernetes, Kubespray, Rook};
use crate::release::{self, Release, suggestion};
use crate::report::{KeyPath, Report, nearest, quote};
use crate::site::Site;
use crate::value::Version;
use crate::{address, defaults, raw};

pub(super) fn kubernetes(
    raw: &raw::Kubernetes,
    site: &Site,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Kubernetes> {
    let version = version(raw, path, report);
    let kubespray_path = path.key("kubespray");
    let kubespray = match &raw.kubespray.version {
        Some(text) => number(text, &kubespray_path.key("version"), report, || {
            suggestion::kubespray(text, version.as_ref())
        })
        .and_then(|wanted| fitting(wanted, version.as_ref(), path, report)),
        None if report.is_left_out(&kubespray_path.key("version")) => None,
        None => version
            .as_ref()
            .and_then(|version| newest(version, path, report)),
    };
    let manager_path = path.key("manager");
    if raw.manager.as_deref() == Some("k3s") {
        report.error(
            &manager_path,
            "manager-k3s",
            "Kubernetes is set up by Kubespray only, not by k3s",
            "leave `manager` out for a cluster of Kubespray's, or write a container runtime: containerd, crio, docker",
        );
        report.leave_out(&manager_path);
    }
    let release = kubespray.as_ref().and_then(release::find_or_newest);
    let mut choice =
        |key: &str, value: Option<&str>, default: &str, allowed: fn(&Release) -> &[String]| {
            let value = value.unwrap_or(default);
            if let Some(release) = release {
                choice(value, allowed, release, &path.key(key), report);
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
    // In files of other programs, `manager: kubespray` says what sets Kubernetes up. Here that is always Kubespray: the key says
    // only the container runtime, so `kubespray` is the same as no key.
    let manager = raw
        .manager
        .as_deref()
        .filter(|manager| *manager != "kubespray");
    let container_manager = choice("manager", manager, defaults::CONTAINER_MANAGER, |release| {
        &release.container_managers
    });
    if let Some(url) = &raw.kubespray.url {
        report.checked(
            &kubespray_path.key("url"),
            "repository",
            url,
            formats::repository_without_secret,
        );
    }
    let url = raw.kubespray.url.as_ref().or(site.kubespray.url.as_ref());
    let site_folder = || {
        let own = site.kubespray.url.as_deref();
        raw.kubespray.url.is_none() && own.is_some_and(formats::is_folder)
    };
    insecure(url, site, &kubespray_path, report);
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

/// Warns of unencrypted sources of Kubespray and Python packages: anybody on the network path could change what then runs as root.
fn insecure(url: Option<&String>, site: &Site, path: &KeyPath, report: &mut Report) {
    if let Some(url) = url.filter(|url| formats::is_insecure(url)) {
        report.warning(
            &path.key("url"),
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
        if let Some(url) = url.as_ref().filter(|url| formats::is_insecure(url)) {
            report.warning(
                path,
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

/// The Kubernetes version; the newest one, with a warning, if the file has none.
fn version(raw: &raw::Kubernetes, path: &KeyPath, report: &mut Report) -> Option<Version> {
    let path = path.key("version");
    match &raw.version {
        Some(text) => number(text, &path, report, || suggestion::kubernetes(text)),
        None if report.is_left_out(&path) => None,
        None => {
            let version = release::default_kubernetes();
            report.warning(
                &path,
                "version-missing",
                format!(
                    "no Kubernetes version is given; a new cluster gets {version}, and one that lives keeps its own"
                ),
                format!(
                    "write `version: {version}`, so that another Kubitect does not make another one"
                ),
            );
            Some(version)
        }
    }
}

/// Reports a value that the release does not allow.
fn choice(
    value: &str,
    allowed: fn(&Release) -> &[String],
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) {
    let has = |release: &&Release| allowed(release).iter().any(|own| own == value);
    if has(&release) {
        return;
    }
    let last = release::all().iter().rfind(has);
    let last = last.filter(|last| last.tag < release.tag);
    let allowed = allowed(release);
    let guess = nearest(value, allowed.iter().map(String::as_str))
        .map(|guess| format!("did you mean `{guess}`? "))
        .unwrap_or_default();
    report.error(
        path,
        "not-in-release",
        match last {
            Some(last) => format!(
                "Kubespray {} no longer knows {}; the last that does is {}",
                release.tag,
                quote(value),
                last.tag
            ),
            None => format!("Kubespray {} does not know {}", release.tag, quote(value)),
        },
        format!("{guess}Possible: {}", allowed.join(", ")),
    );
}

pub(super) fn addons(
    raw: &raw::Addons,
    release: Option<&Release>,
    path: &KeyPath,
    report: &mut Report,
) -> Addons {
    let kubespray = variables::variables(&raw.kubespray, release, &path.key("kubespray"), report);
    let path = path.key("rook");
    let raw::Rook {
        enabled,
        version,
        node_selector,
    } = &raw.rook;
    if *enabled == Some(true) {
        report.error(
            &path.key("enabled"),
            "rook-unsupported",
            "Kubitect cannot install Rook yet",
            "leave it out, and install Rook into the finished cluster",
        );
    }
    let version = version
        .as_deref()
        .and_then(|text| report.parse(&path.key("version"), "version", text));
    let selector_path = path.key("nodeSelector");
    label::check_labels(node_selector, &selector_path, report);
    Addons {
        kubespray,
        rook: enabled.unwrap_or(false).then(|| Rook {
            version,
            node_selector: node_selector.clone(),
        }),
    }
}
