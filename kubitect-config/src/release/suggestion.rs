//! The version to suggest instead of a text that is not a version.

use super::{Release, all, default_kubernetes, find, newest, supporting};
use crate::value::Version;

/// The Kubernetes version to suggest: the one with the text's numbers, if a release sets it up; else the newest patch of its
/// minor; else the default.
pub fn kubernetes(text: &str) -> Version {
    let Some((minor, patch)) = numbers(text) else {
        return default_kubernetes();
    };
    let same = patch.map(|patch| Version::new(minor, patch));
    let newest = || {
        let minors = all().iter().flat_map(Release::minors);
        let patches = minors.filter(|(own, _)| *own == minor);
        patches
            .map(|(_, [_, high])| Version::new(minor, high))
            .max()
    };
    same.filter(|version| supporting(version).next().is_some())
        .or_else(newest)
        .unwrap_or_else(default_kubernetes)
}

/// The Kubespray release to suggest: the one with the text's numbers, if there is one; else the newest patch of its minor; else the
/// newest that sets up the wanted Kubernetes.
pub fn kubespray(text: &str, wanted: Option<&Version>) -> Version {
    let fitting = || match wanted.and_then(|version| supporting(version).last()) {
        Some(release) => release.tag.clone(),
        None => newest().tag.clone(),
    };
    let Some((minor, patch)) = numbers(text) else {
        return fitting();
    };
    let same = patch.map(|patch| Version::new(minor, patch));
    let of_minor = || all().iter().rfind(|release| release.tag.minor() == minor);
    same.filter(|tag| find(tag).is_some())
        .or_else(|| of_minor().map(|release| release.tag.clone()))
        .unwrap_or_else(fitting)
}

/// The first version-like numbers in a text: major and minor, and the patch if there is one.
fn numbers(text: &str) -> Option<((u64, u64), Option<u64>)> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[begin..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let mut parts = rest[..end.unwrap_or(rest.len())].split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((
        (major, minor),
        parts.next().and_then(|patch| patch.parse().ok()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_a_version_of_the_table() {
        for (text, wanted) in [
            ("1.35", "v1.35.4"),
            ("v1.35", "v1.35.4"),
            ("V1.35.4", "v1.35.4"),
            ("v1.33.1+k3s1", "v1.33.1"),
            ("v1.33.99-rc.1", "v1.33.11"),
            ("latest", "v1.35.4"),
            ("1", "v1.35.4"),
            ("0.1", "v1.35.4"),
            ("99999999999999999999.1.1", "v1.35.4"),
        ] {
            assert_eq!(kubernetes(text).to_string(), wanted, "{text}");
        }
        let of: Version = "v1.32.5".parse().unwrap();
        for (text, wanted) in [
            ("release-2.31", "v2.31.0"),
            ("2.28", "v2.28.1"),
            ("V2.28.0", "v2.28.0"),
            ("master", "v2.30.0"),
            ("v2", "v2.30.0"),
        ] {
            assert_eq!(kubespray(text, Some(&of)).to_string(), wanted, "{text}");
        }
        assert_eq!(kubespray("latest", None), newest().tag);
    }
}
