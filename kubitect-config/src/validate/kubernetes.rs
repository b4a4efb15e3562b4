//! Sections `kubernetes` and `addons`: what fits the Kubespray release.

use super::pair::{fitting, newest, number};
use super::{label, variables, words};
use crate::cluster::{Addons, Kubernetes, Kubespray, Rook};
use crate::release::{self, Release, meant};
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
        Some(text) => number(text, &at_kubespray.key("version"), report, || {
            meant::kubespray(text, version.as_ref())
        })
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
                choice(value, allowed, release, &at.key(key), report);
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
        Some(text) => number(text, &at, report, || meant::kubernetes(text)),
        None if report.is_left_out(&at) => None,
        None => {
            let version = release::default_kubernetes();
            report.warning(
                &at,
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

fn choice(
    value: &str,
    allowed: fn(&Release) -> &[String],
    release: &Release,
    at: &At,
    report: &mut Report,
) {
    let has = |release: &&Release| allowed(release).iter().any(|one| one == value);
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
        at,
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
