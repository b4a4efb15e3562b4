//! The table of Kubespray's releases: which Kubernetes, Python and variables each of them takes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::value::Version;

pub mod components;
pub mod names;
pub mod removed;
pub mod suggestion;
mod table;
mod upgrade;

pub use table::{Minor, Releases, UpgradePath, UpgradePaths};
pub use upgrade::{Cilium, Hop, PathError, path, path_with};

/// One release of Kubespray.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its tag, as `v2.19.0`.
    pub tag: Version,
    /// Whether the release wants `kube_version` with a leading `v`.
    pub v: bool,
    /// The Kubernetes versions that it can set up: minor (`1.23`) to lowest and highest patch.
    pub kubernetes: BTreeMap<String, [u64; 2]>,
    /// CPython minors (`3.11`) on which its requirements install as they are.
    pub python: Vec<String>,
    /// CPython minors on which they install once `unpin` is left out.
    pub python_unpinned: Vec<String>,
    /// Requirements that do not build on newer Pythons and that no playbook uses.
    pub unpin: Vec<String>,
    /// Allowed values of `kube_network_plugin`.
    pub network_plugins: Vec<String>,
    /// Allowed values of `dns_mode`.
    pub dns_modes: Vec<String>,
    /// Allowed values of `container_manager`.
    pub container_managers: Vec<String>,
    /// The playbook that gathers facts of all hosts.
    pub facts_playbook: String,
    /// The playbook that checks an inventory without any connection, where there is one.
    pub inventory_check: Option<String>,
    /// Whether `remove-node.yml` refuses to run without the variable `node` (older releases then remove the whole cluster).
    pub node_mandatory: bool,
    /// The least memory of a control plane and of another node, in MiB, that its assertions accept.
    pub memory_mb: [u64; 2],
    /// The tag of the tasks that prepare a fresh machine.
    pub bootstrap_tag: String,
    /// Whether its playbooks fail where kubeadm's preflight checks do: a control plane needs two processors.
    pub preflight: bool,
    /// The distros that it supports, of those that Kubitect has names for.
    pub distros: Vec<String>,
    /// The distros on which its first tasks fail.
    pub distros_refused: Vec<String>,
}

impl Release {
    /// Whether it can set up this Kubernetes.
    pub fn supports(&self, kubernetes: &Version) -> bool {
        self.minors().any(|(minor, [low, high])| {
            minor == kubernetes.minor() && (low..=high).contains(&kubernetes.patch())
        })
    }

    /// Whether it is of this minor release or a later one: `is_from(22)` is true for v2.22.0 and newer.
    pub fn is_from(&self, minor: u64) -> bool {
        self.tag.minor() >= (2, minor)
    }

    /// The newest Kubernetes that it can set up.
    pub fn newest_kubernetes(&self) -> Option<Version> {
        self.minors()
            .map(|(minor, [_, high])| Version::new(minor, high))
            .max()
    }

    /// The Kubernetes versions that it can set up: major and minor, lowest and highest patch.
    pub fn minors(&self) -> impl Iterator<Item = ((u64, u64), [u64; 2])> + '_ {
        self.kubernetes.iter().filter_map(|(minor, patches)| {
            let (major, minor) = minor.split_once('.')?;
            Some(((major.parse().ok()?, minor.parse().ok()?), *patches))
        })
    }
}

// The table is compiled in, and a test reads it: `expect` can't fail on a person's input.
static RELEASES: LazyLock<Vec<Release>> = LazyLock::new(|| {
    crate::yaml::read_as(
        include_str!("../data/kubespray-releases.yaml"),
        crate::yaml::Limits::OWN,
    )
    .expect("the table of releases is well formed")
});

/// All releases of the table, oldest first.
pub fn all() -> &'static [Release] {
    &RELEASES
}

/// The newest release of the table.
pub fn newest() -> &'static Release {
    all().last().expect("the table of releases is not empty")
}

/// The Kubernetes version if a file has none: the newest that the newest release of the table sets up.
pub fn default_kubernetes() -> Version {
    newest()
        .newest_kubernetes()
        .expect("every release sets up some Kubernetes")
}

/// The release with this tag; none if the table does not have it.
pub fn find(tag: &Version) -> Option<&'static Release> {
    all().iter().find(|release| release.tag == *tag)
}

/// The release whose facts count for a tag: its own; for a tag that is newer than the table, the newest release of the table.
pub fn find_or_newest(tag: &Version) -> Option<&'static Release> {
    find(tag).or_else(|| all().last().filter(|newest| newest.tag < *tag))
}

/// The commit of a release's tag in the public repository, in hexadecimal digits; none if the table does not have the tag.
pub fn commit(tag: &Version) -> Option<&'static str> {
    let tag = tag.to_string();
    include_str!("../data/kubespray-commits.txt")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(own, commit)| (own == tag).then_some(commit))
}

/// The releases that can set up this Kubernetes, oldest first.
pub fn supporting(kubernetes: &Version) -> impl Iterator<Item = &'static Release> + '_ {
    all()
        .iter()
        .filter(move |release| release.supports(kubernetes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        assert_eq!(all().len(), 27);
        assert!(all().is_sorted_by(|a, b| a.tag < b.tag));
    }

    #[test]
    fn every_release_has_its_commit() {
        for release in all() {
            let commit = commit(&release.tag).unwrap_or_default();
            let hex = commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(commit.len() == 40 && hex, "{}: {commit}", release.tag);
        }
        // An annotated tag, unlike the others: the commit, not the tag object.
        assert_eq!(
            commit(&"v2.23.0".parse().unwrap()),
            Some("c33e4d7bb76cadb52707b2714bb199885563f2a9")
        );
        assert_eq!(commit(&"v2.99.0".parse().unwrap()), None);
    }

    #[test]
    fn every_minor_of_the_table_is_one() {
        for release in all() {
            let minors: Vec<_> = release.minors().collect();
            assert_eq!(minors.len(), release.kubernetes.len(), "{}", release.tag);
            assert!(minors.iter().all(|(_, [low, high])| low <= high));
        }
    }

    #[test]
    fn every_release_says_what_becomes_of_the_distros() {
        for release in all() {
            let is_preset = |distro: &String| crate::images::find(distro).is_some();
            assert!(!release.distros.is_empty(), "{}", release.tag);
            assert!(release.distros.iter().all(is_preset), "{}", release.tag);
            assert!(
                release.distros_refused.iter().all(is_preset),
                "{}",
                release.tag
            );
            let both = |distro: &String| release.distros_refused.contains(distro);
            assert!(!release.distros.iter().any(both), "{}", release.tag);
        }
    }

    #[test]
    fn the_default_kubernetes_is_the_newest_of_the_newest_release() {
        let newest_minor = newest().minors().max().unwrap();
        let version = default_kubernetes();
        assert_eq!(version.minor(), newest_minor.0);
        assert_eq!(version.patch(), newest_minor.1[1]);
        assert_eq!(version.to_string(), "v1.35.4");
    }

    #[test]
    fn a_newer_release_is_treated_as_the_newest_known_and_no_other_is() {
        let tag_of = |tag: &str| find_or_newest(&tag.parse().unwrap()).map(|r| r.tag.to_string());
        let newest = all().last().unwrap().tag.to_string();
        assert_eq!(tag_of("v2.19.0").as_deref(), Some("v2.19.0"));
        assert_eq!(tag_of("v2.999.0"), Some(newest));
        assert_eq!(tag_of("v2.19.9"), None);
        assert_eq!(tag_of("v2.1.0"), None);
    }

    #[test]
    fn the_example_pair_fits() {
        let release = find(&"v2.19.0".parse().unwrap()).unwrap();
        assert!(release.supports(&"v1.23.7".parse().unwrap()));
        assert!(!release.supports(&"v1.23.8".parse().unwrap()));
        assert!(!release.supports(&"v1.31.0".parse().unwrap()));
    }
}
