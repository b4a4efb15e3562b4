//! The pair of Kubernetes and Kubespray versions: one that fits together, or what to write instead.

use crate::address;
use crate::release::{self, Release};
use crate::report::{KeyPath, Report, quote};
use crate::value::Version;

/// The version; a text that is not a version is reported, with the version to write instead.
pub(super) fn number(
    text: &str,
    path: &KeyPath,
    report: &mut Report,
    suggestion: impl FnOnce() -> Version,
) -> Option<Version> {
    let error = match text.parse::<Version>() {
        Ok(version) => return Some(version),
        Err(error) => error.message,
    };
    let rule = error.split(", as").next().unwrap_or_default().to_owned();
    let message = format!("{} is not valid", quote(&address::shown(text)));
    report.error(
        path,
        "version",
        message,
        format!("it {rule}: write `{}`", suggestion()),
    );
    None
}

/// The wanted Kubespray release, if it supports the Kubernetes version.
pub(super) fn fitting(
    wanted: Version,
    kubernetes: Option<&Version>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Version> {
    let kubespray_path = path.key("kubespray");
    let version_path = kubespray_path.key("version");
    let newest = release::all().last()?;
    if wanted > newest.tag {
        report.warning(
            &version_path,
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
        if let Some(kubernetes) = kubernetes {
            of_newer(&wanted, kubernetes, newest, path, report);
        }
        return Some(wanted);
    }
    let oldest = &release::all().first()?.tag;
    if wanted < *oldest {
        if let Some(nearest) = kubernetes.and_then(nearest_that_fits) {
            report.warning(
                &version_path,
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
            &version_path,
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
            &version_path,
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
            &version_path,
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

/// Checks the Kubernetes version against a Kubespray that is newer than the table. The oldest Kubernetes that a release sets up
/// only rises from release to release: so one that is too old for the table's newest release is an error. A newer one is only a
/// warning.
fn of_newer(
    wanted: &Version,
    kubernetes: &Version,
    newest: &Release,
    path: &KeyPath,
    report: &mut Report,
) {
    let minors = || newest.minors().map(|(minor, _)| minor);
    let kubespray_path = path.key("kubespray");
    if let Some(least) = minors().min().filter(|least| kubernetes.minor() < *least) {
        report.error(
            &kubespray_path.key("version"),
            "kubespray-pair",
            format!(
                "Kubespray {wanted} cannot set up Kubernetes {kubernetes}: {} begins with v{}.{} already",
                newest.tag, least.0, least.1
            ),
            format!("{}{} is the newest that is known", fitting_releases(kubernetes), newest.tag),
        );
    } else if minors().max().is_some_and(|most| kubernetes.minor() > most) {
        report.warning(
            &path.key("version"),
            "kubespray-newer",
            format!("whether Kubespray {wanted} sets up Kubernetes {kubernetes} is not known here"),
            "update Kubitect, or compare with the release's own list",
        );
    }
}

/// The newest release that supports the Kubernetes version.
pub(super) fn newest(kubernetes: &Version, path: &KeyPath, report: &mut Report) -> Option<Version> {
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
            &path.key("version"),
            "kubernetes-unsupported",
            format!("no known Kubespray release can set up Kubernetes {kubernetes}"),
            help,
        );
    }
    newest.map(|release| release.tag.clone())
}

/// The newest patch of the oldest minor release that sets up this Kubernetes: the nearest to the wanted one, which is older.
fn nearest_that_fits(kubernetes: &Version) -> Option<&'static Version> {
    let minor = release::supporting(kubernetes).next()?.tag.minor();
    let of_minor = release::supporting(kubernetes).filter(|release| release.tag.minor() == minor);
    of_minor.last().map(|release| &release.tag)
}

/// The help for a release that is too old, if no release of the table sets up its Kubernetes.
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

/// The releases that support this Kubernetes, as the beginning of a help.
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
