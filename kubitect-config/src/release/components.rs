//! The versions of components (containerd, etcd, helm, …) for which a release of Kubespray has checksums. With any other version
//! its playbook fails before it sets anything up. The data is made from Kubespray's tags by `tests/kubespray-release.py`.

use std::sync::LazyLock;

use super::{Release, find};
use crate::yaml::Mapping;

/// A component whose checksum Kubespray looks up by its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The variables that set the version; the first that is set counts.
    pub variables: Vec<&'static str>,
    /// The variables that set the checksum; if one of them is set, nothing is looked up.
    pub checksums: Vec<&'static str>,
    /// The versions that have a checksum, oldest first, as the release writes them.
    pub versions: Vec<&'static str>,
}

/// One line of the data: versions of a component that the releases from `first` to `last` have.
struct Line {
    first: &'static Release,
    last: &'static Release,
    variables: &'static str,
    checksums: &'static str,
    versions: &'static str,
}

// The data is compiled in, and a test reads it: `expect` can't fail on a person's input.
static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    include_str!("../../data/kubespray-components.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|text| line(text).expect("the list of components is well formed"))
        .collect()
});

/// Reads a line: `v2.19.0..v2.21.0 helm_version helm_archive_checksum,helm_archive_checksums: v3.8.2 v3.9.0`.
fn line(text: &'static str) -> Option<Line> {
    let (head, versions) = text.split_once(": ")?;
    let (tags, names) = head.split_once(' ')?;
    let (first, last) = tags.split_once("..")?;
    let (variables, checksums) = names.split_once(' ')?;
    let release = |tag: &str| find(&tag.parse().ok()?);
    Some(Line {
        first: release(first)?,
        last: release(last)?,
        variables,
        checksums,
        versions,
    })
}

/// All components of a release.
pub fn components(release: &Release) -> Vec<Component> {
    let mut found: Vec<(&str, &str, Component)> = Vec::new();
    let of_release = LINES
        .iter()
        .filter(|line| (&line.first.tag..=&line.last.tag).contains(&&release.tag));
    for line in of_release {
        let same = |(variables, checksums, _): &&mut (&str, &str, Component)| {
            *variables == line.variables && *checksums == line.checksums
        };
        let versions = line.versions.split(' ');
        match found.iter_mut().find(same) {
            Some((_, _, component)) => component.versions.extend(versions),
            None => {
                let component = Component {
                    variables: line.variables.split(',').collect(),
                    checksums: line
                        .checksums
                        .split(',')
                        .filter(|name| *name != "-")
                        .collect(),
                    versions: versions.collect(),
                };
                found.push((line.variables, line.checksums, component));
            }
        }
    }
    let mut components: Vec<Component> = found
        .into_iter()
        .map(|(_, _, component)| component)
        .collect();
    for component in &mut components {
        component.versions.sort_by_key(|version| numbers(version));
    }
    components
}

impl Component {
    /// The variable that sets its version, and the version. None if no variable does, if the checksum is set, too, or if the
    /// value is an expression, which only Ansible can evaluate.
    pub(crate) fn pinned<'v>(&self, variables: &'v Mapping) -> Option<(&'static str, &'v str)> {
        let set = |name: &str| variables.get(name).filter(|value| !value.is_null());
        if self.checksums.iter().any(|name| set(name).is_some()) {
            return None;
        }
        let (name, value) = self
            .variables
            .iter()
            .find_map(|name| Some((*name, set(name)?)))?;
        let text = value.as_str().filter(|text| !text.contains("{{"))?;
        Some((name, text))
    }
}

/// The numbers in a version, by which versions are ordered.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::all;

    fn versions(tag: &str, variable: &str) -> Vec<&'static str> {
        let release = find(&tag.parse().unwrap()).unwrap();
        let components = components(release);
        let mut of = components
            .into_iter()
            .filter(|component| component.variables.contains(&variable));
        of.next().unwrap().versions
    }

    #[test]
    fn every_release_has_the_versions_of_its_components() {
        for release in all() {
            let components = components(release);
            for name in [
                "containerd_version",
                "etcd_version",
                "calico_version",
                "helm_version",
                "cni_version",
                "crictl_version",
                "runc_version",
                "nerdctl_version",
            ] {
                let has = |component: &Component| {
                    component.variables.contains(&name) && !component.versions.is_empty()
                };
                assert!(components.iter().any(has), "{}: {name}", release.tag);
            }
            for component in &components {
                let is_version = |version: &&str| !numbers(version).is_empty();
                assert!(component.versions.iter().all(is_version), "{component:?}");
            }
        }
    }

    #[test]
    fn versions_are_those_of_the_tags() {
        assert!(versions("v2.19.0", "containerd_version").contains(&"1.6.4"));
        assert!(!versions("v2.31.0", "containerd_version").contains(&"1.6.4"));
        // With `v` up to v2.27, and without from v2.28 on.
        assert!(versions("v2.19.0", "helm_version").contains(&"v3.8.2"));
        assert!(versions("v2.19.0", "calico_version").contains(&"v3.22.3"));
        let calico = versions("v2.31.0", "calico_version");
        assert!(calico.iter().all(|version| !version.starts_with('v')));
        assert!(calico.is_sorted_by_key(|version| numbers(version)));
        // Tables are defaults, which a file may replace, up to v2.27 or so, and variables of a role since.
        let checksums = |tag: &str| -> Vec<&'static str> {
            let release = find(&tag.parse().unwrap()).unwrap();
            let is = |component: &Component| component.variables.contains(&"helm_version");
            let found = components(release).into_iter().find(is);
            found.unwrap().checksums
        };
        let own = "helm_archive_checksum";
        assert_eq!(checksums("v2.19.0"), [own, "helm_archive_checksums"]);
        assert_eq!(checksums("v2.31.0"), [own]);
        assert!(numbers("3.9.1") < numbers("3.10.0"));
    }
}
