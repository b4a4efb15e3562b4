//! Versions of components that a file sets: the release must have a checksum for each. Without one its playbook fails before it
//! sets anything up, also for components that are turned off, as it looks up all checksums at once.

use super::{Context, Variables, rules};
use crate::release::Release;
use crate::release::components::{Component, components as of_release};
use crate::report::{Report, quote};
use crate::yaml::Mapping;

const CODE: &str = "component-version";
/// The most versions that a help names.
const SHOWN: usize = 6;

pub(super) fn components(context: &Context, variables: &Variables, report: &mut Report) {
    // The versions of a release that is newer than the table are not known.
    if context.kubernetes.kubespray.version != context.release.tag {
        return;
    }
    let mut reported: Vec<&str> = Vec::new();
    for component in of_release(context.release) {
        let Some((name, text)) = component.pinned(variables.all) else {
            continue;
        };
        let has = component.versions.iter().any(|own| same(own, text));
        // A version that the release refuses by an assertion is reported by `rules`.
        if has || reported.contains(&name) || !rules::fits(name, text, context.release) {
            continue;
        }
        reported.push(name);
        let path = variables.path.key(name);
        let message = format!(
            "Kubespray {} has no checksum for version {} of this component, and stops at it",
            context.release.tag,
            quote(text)
        );
        let help = help(&component, text);
        // Only a warning for a person's own repository, which may have more checksums.
        match context.kubernetes.kubespray.any_commit {
            true => report.warning(&path, CODE, message, help),
            false => report.error(&path, CODE, message, help),
        }
    }
}

/// The help: the newest versions of the same minor release, else the newest of all.
fn help(component: &Component, text: &str) -> String {
    let minor = |version: &str| {
        let mut parts = version.trim_start_matches('v').splitn(3, '.');
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    let of_minor = |version: &&&'static str| minor(version) == minor(text);
    let newest = |versions: Vec<&'static str>| {
        let first = versions.len().saturating_sub(SHOWN);
        versions[first..].join(", ")
    };
    let near: Vec<_> = component
        .versions
        .iter()
        .filter(of_minor)
        .copied()
        .collect();
    let versions = match near.is_empty() {
        true => newest(component.versions.clone()),
        false => newest(near),
    };
    let own = match component.checksums.first() {
        Some(own) => format!("; or set {own}, too"),
        None => String::new(),
    };
    format!(
        "leave it out, and the release takes its own; or write one of those that it has, as {versions}{own}"
    )
}

fn same(version: &str, text: &str) -> bool {
    version.trim_start_matches('v') == text.trim_start_matches('v')
}

/// The release's spelling of this version, if the file has it with `v` and the release without, or the reverse: the release looks
/// up the exact text, and would find nothing.
pub(in crate::validate) fn spelled(
    name: &str,
    text: &str,
    all: &Mapping,
    release: &Release,
) -> Option<&'static str> {
    let components = of_release(release);
    let is_own = |component: &&Component| {
        component
            .pinned(all)
            .is_some_and(|(pinned, _)| pinned == name)
    };
    let mut own = components.iter().filter(is_own);
    let versions = &own.next()?.versions;
    if versions.contains(&text) {
        return None;
    }
    versions.iter().find(|version| same(version, text)).copied()
}
