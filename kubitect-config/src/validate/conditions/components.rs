//! Versions of components that a file pins: those that the release has no checksum for stop it before anything is set up, also
//! of components that are turned off, as it looks all of them up at once.

use super::{Context, Variables, rules};
use crate::release::Release;
use crate::release::components::{Component, components as of_release};
use crate::report::{Report, quote};
use crate::yaml::Mapping;

const CODE: &str = "component-version";
/// How many versions a message names.
const SHOWN: usize = 6;

pub(super) fn components(context: &Context, variables: &Variables, report: &mut Report) {
    // Of a newer release nobody knows the versions here.
    if context.kubernetes.kubespray.version != context.release.tag {
        return;
    }
    let mut reported: Vec<&str> = Vec::new();
    for component in of_release(context.release) {
        let Some((name, text)) = component.pinned(variables.all) else {
            continue;
        };
        let has = component.versions.iter().any(|one| same(one, text));
        // What the release refuses by a bound of its own is said already.
        if has || reported.contains(&name) || !rules::fits(name, text, context.release) {
            continue;
        }
        reported.push(name);
        let at = variables.at.key(name);
        let message = format!(
            "Kubespray {} has no checksum for version {} of this component, and stops at it",
            context.release.tag,
            quote(text)
        );
        let help = help(&component, text);
        // Another repository may have more of them.
        match context.kubernetes.kubespray.any_commit {
            true => report.warning(&at, CODE, message, help),
            false => report.error(&at, CODE, message, help),
        }
    }
}

/// How to mend it: the nearest versions.
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
    let some = match near.is_empty() {
        true => newest(component.versions.clone()),
        false => newest(near),
    };
    let own = match component.checksums.first() {
        Some(own) => format!("; or set {own}, too"),
        None => String::new(),
    };
    format!(
        "leave it out, and the release takes its own; or write one of those that it has, as {some}{own}"
    )
}

fn same(version: &str, text: &str) -> bool {
    version.trim_start_matches('v') == text.trim_start_matches('v')
}

/// How the release writes this version, where the file writes it with `v` and the release without, or the other way round: it
/// does not find it so.
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
    let mut of = components.iter().filter(is_own);
    let versions = &of.next()?.versions;
    if versions.contains(&text) {
        return None;
    }
    versions.iter().find(|version| same(version, text)).copied()
}
