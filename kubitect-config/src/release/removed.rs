//! [`REMOVED`]: which API versions each release of Kubernetes no longer serves, and which replace them.
//!
//! The sources are Kubernetes' own [guide](https://kubernetes.io/docs/reference/using-api/deprecation-guide/) and, for what the
//! guide leaves out, what each type declares (`APILifecycleRemoved` in the files `zz_generated.prerelease-lifecycle.go` of
//! k8s.io/api v0.35.4). The table has the releases that an upgrade can lead to. Alpha versions are left out: they are off by
//! default. Objects are not lost with an API version: Kubernetes serves them in the remaining version. But programs and files
//! that ask for the removed version fail.

use crate::value::Version;

/// Kubernetes' guide, which says for each removed version what to do.
pub const GUIDE: &str = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/";

/// A removed API version of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The first minor release that does not serve it: 25 for v1.25.
    pub since: u64,
    /// Its group and version, as `policy/v1beta1`.
    pub version: &'static str,
    /// The resource, as `poddisruptionbudgets`.
    pub resource: &'static str,
    /// The group and version that replace it; empty: none does.
    pub instead: &'static str,
}

const fn removed(
    since: u64,
    version: &'static str,
    resource: &'static str,
    instead: &'static str,
) -> Removed {
    Removed {
        since,
        version,
        resource,
        instead,
    }
}

/// All removed API versions, in the order of releases.
pub const REMOVED: [Removed; 41] = [
    removed(
        22,
        "admissionregistration.k8s.io/v1beta1",
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io/v1",
    ),
    removed(
        22,
        "admissionregistration.k8s.io/v1beta1",
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io/v1",
    ),
    removed(
        22,
        "apiextensions.k8s.io/v1beta1",
        "customresourcedefinitions",
        "apiextensions.k8s.io/v1",
    ),
    removed(
        22,
        "apiregistration.k8s.io/v1beta1",
        "apiservices",
        "apiregistration.k8s.io/v1",
    ),
    removed(
        22,
        "authentication.k8s.io/v1beta1",
        "tokenreviews",
        "authentication.k8s.io/v1",
    ),
    removed(
        22,
        "authorization.k8s.io/v1beta1",
        "localsubjectaccessreviews",
        "authorization.k8s.io/v1",
    ),
    removed(
        22,
        "authorization.k8s.io/v1beta1",
        "selfsubjectaccessreviews",
        "authorization.k8s.io/v1",
    ),
    removed(
        22,
        "authorization.k8s.io/v1beta1",
        "selfsubjectrulesreviews",
        "authorization.k8s.io/v1",
    ),
    removed(
        22,
        "authorization.k8s.io/v1beta1",
        "subjectaccessreviews",
        "authorization.k8s.io/v1",
    ),
    removed(
        22,
        "certificates.k8s.io/v1beta1",
        "certificatesigningrequests",
        "certificates.k8s.io/v1",
    ),
    removed(
        22,
        "coordination.k8s.io/v1beta1",
        "leases",
        "coordination.k8s.io/v1",
    ),
    removed(
        22,
        "extensions/v1beta1",
        "ingresses",
        "networking.k8s.io/v1",
    ),
    removed(
        22,
        "networking.k8s.io/v1beta1",
        "ingresses",
        "networking.k8s.io/v1",
    ),
    removed(
        22,
        "networking.k8s.io/v1beta1",
        "ingressclasses",
        "networking.k8s.io/v1",
    ),
    removed(
        22,
        "rbac.authorization.k8s.io/v1beta1",
        "clusterroles",
        "rbac.authorization.k8s.io/v1",
    ),
    removed(
        22,
        "rbac.authorization.k8s.io/v1beta1",
        "clusterrolebindings",
        "rbac.authorization.k8s.io/v1",
    ),
    removed(
        22,
        "rbac.authorization.k8s.io/v1beta1",
        "roles",
        "rbac.authorization.k8s.io/v1",
    ),
    removed(
        22,
        "rbac.authorization.k8s.io/v1beta1",
        "rolebindings",
        "rbac.authorization.k8s.io/v1",
    ),
    removed(
        22,
        "scheduling.k8s.io/v1beta1",
        "priorityclasses",
        "scheduling.k8s.io/v1",
    ),
    removed(
        22,
        "storage.k8s.io/v1beta1",
        "csidrivers",
        "storage.k8s.io/v1",
    ),
    removed(
        22,
        "storage.k8s.io/v1beta1",
        "csinodes",
        "storage.k8s.io/v1",
    ),
    removed(
        22,
        "storage.k8s.io/v1beta1",
        "storageclasses",
        "storage.k8s.io/v1",
    ),
    removed(
        22,
        "storage.k8s.io/v1beta1",
        "volumeattachments",
        "storage.k8s.io/v1",
    ),
    removed(
        25,
        "autoscaling/v2beta1",
        "horizontalpodautoscalers",
        "autoscaling/v2",
    ),
    removed(25, "batch/v1beta1", "cronjobs", "batch/v1"),
    removed(
        25,
        "discovery.k8s.io/v1beta1",
        "endpointslices",
        "discovery.k8s.io/v1",
    ),
    removed(25, "events.k8s.io/v1beta1", "events", "events.k8s.io/v1"),
    removed(
        25,
        "node.k8s.io/v1beta1",
        "runtimeclasses",
        "node.k8s.io/v1",
    ),
    removed(25, "policy/v1beta1", "poddisruptionbudgets", "policy/v1"),
    removed(25, "policy/v1beta1", "podsecuritypolicies", ""),
    removed(
        26,
        "autoscaling/v2beta2",
        "horizontalpodautoscalers",
        "autoscaling/v2",
    ),
    removed(
        26,
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "flowschemas",
        "flowcontrol.apiserver.k8s.io/v1beta3",
    ),
    removed(
        26,
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io/v1beta3",
    ),
    removed(
        27,
        "storage.k8s.io/v1beta1",
        "csistoragecapacities",
        "storage.k8s.io/v1",
    ),
    removed(
        29,
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "flowschemas",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    removed(
        29,
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    removed(
        32,
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "flowschemas",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    removed(
        32,
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    removed(
        33,
        "authentication.k8s.io/v1beta1",
        "selfsubjectreviews",
        "authentication.k8s.io/v1",
    ),
    removed(
        34,
        "admissionregistration.k8s.io/v1beta1",
        "validatingadmissionpolicies",
        "admissionregistration.k8s.io/v1",
    ),
    removed(
        34,
        "admissionregistration.k8s.io/v1beta1",
        "validatingadmissionpolicybindings",
        "admissionregistration.k8s.io/v1",
    ),
];

impl Removed {
    /// Its group, as `policy`.
    pub fn group(&self) -> &'static str {
        self.version.split('/').next().unwrap_or_default()
    }
}

/// The API versions that `from` serves and `to` does not, in the order of releases.
pub fn removed_between(from: &Version, to: &Version) -> Vec<&'static Removed> {
    let minors = from.minor().1 + 1..=to.minor().1;
    let all = REMOVED.iter();
    all.filter(|removed| minors.contains(&removed.since))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_away_is_that_of_the_releases_after_the_first() {
        let between = |from: &str, to: &str| {
            let all = removed_between(&from.parse().unwrap(), &to.parse().unwrap());
            let mut since: Vec<_> = all.iter().map(|removed| removed.since).collect();
            since.dedup();
            since
        };
        assert_eq!(between("v1.24.6", "v1.26.3"), [25, 26]);
        assert_eq!(between("v1.25.6", "v1.25.9"), [0; 0]);
        assert_eq!(between("v1.26.3", "v1.33.1"), [27, 29, 32, 33]);
    }

    /// As many as the sources have of each release up to v1.35.
    #[test]
    fn each_release_takes_away_what_the_sources_say() {
        let of = |since| {
            REMOVED
                .iter()
                .filter(|removed| removed.since == since)
                .count()
        };
        let counts: Vec<_> = (22..=35).map(of).collect();
        assert_eq!(counts, [23, 0, 0, 7, 3, 1, 0, 2, 0, 0, 2, 1, 2, 0]);
    }

    #[test]
    fn the_table_is_in_order_and_names_nothing_twice() {
        assert!(REMOVED.is_sorted_by_key(|removed| removed.since));
        for (index, removed) in REMOVED.iter().enumerate() {
            let (group, version) = removed.version.split_once('/').unwrap();
            assert!(!group.is_empty() && version.starts_with('v'), "{removed:?}");
            let same = |other: &Removed| {
                other.version == removed.version && other.resource == removed.resource
            };
            assert!(!REMOVED[index + 1..].iter().any(same), "{removed:?}");
            assert_ne!(removed.version, removed.instead);
        }
    }
}
