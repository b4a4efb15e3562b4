//! [`fill_in`]: the versions that a file omits, for a cluster that exists: it keeps its own versions as long as they fit.

use std::cmp::Reverse;

use crate::raw;
use crate::release::{Hop, default_kubernetes, find_or_newest, path, supporting};
use crate::value::Version;

/// Whether a file omits the version of Kubernetes or of Kubespray.
pub(crate) fn omits_version(raw: &raw::Kubernetes) -> bool {
    raw.version.is_none() || raw.kubespray.version.is_none()
}

/// Fills in the versions that the file omits: the living cluster's Kubernetes, and the Kubespray that [`nearest`] gives. If there
/// is none, Kubespray's version stays omitted: then validation takes the default, and the plan refuses it with its reason.
pub(crate) fn fill_in(raw: &mut raw::Kubernetes, living: &Hop) {
    let version = raw
        .version
        .get_or_insert_with(|| living.kubernetes.to_string());
    let Ok(kubernetes) = version.parse() else {
        return;
    };
    if raw.kubespray.version.is_none() {
        raw.kubespray.version = nearest(&kubernetes, living).map(|tag| tag.to_string());
    }
}

/// The Kubespray that sets up this Kubernetes on a cluster with the versions `living`: the cluster's own, if it can; else the one
/// with the fewest hops, as each hop drains all nodes; of several, the nearest minor release with its newest patch.
fn nearest(kubernetes: &Version, living: &Hop) -> Option<Version> {
    let own = find_or_newest(&living.kubespray);
    if *kubernetes == living.kubernetes || own.is_some_and(|own| own.supports(kubernetes)) {
        return Some(living.kubespray.clone());
    }
    let paths = supporting(kubernetes).filter_map(|release| {
        let to = Hop {
            kubernetes: kubernetes.clone(),
            kubespray: release.tag.clone(),
        };
        Some((path(living, &to).ok()?.len(), &release.tag))
    });
    let best = paths.min_by_key(|(hops, tag)| (*hops, tag.minor(), Reverse(tag.patch())));
    best.map(|(_, tag)| tag.clone())
}

/// A sentence for each version that the file omits, if a newer one could be set up: a cluster with `living` gets the versions
/// `wanted`, and is not upgraded unless the file names a newer version.
pub(crate) fn remarks(raw: &raw::Kubernetes, living: &Hop, wanted: &Hop) -> Vec<String> {
    let (newest, fitting) = (default_kubernetes(), supporting(&wanted.kubernetes).last());
    let kubernetes = (raw.version.is_none() && wanted.kubernetes < newest).then(|| {
        format!(
            "kubernetes.version is left out: the cluster keeps {}; {newest} is the newest: name it to upgrade",
            wanted.kubernetes
        )
    });
    let is_omitted = raw.kubespray.version.is_none();
    let newer = fitting.filter(|newer| is_omitted && wanted.kubespray < newer.tag);
    let kubespray = newer.map(|newer| {
        let keeps = match wanted.kubespray == living.kubespray {
            true => format!("keeps {}", wanted.kubespray),
            false => format!("gets {}, with the fewest upgrades", wanted.kubespray),
        };
        format!(
            "kubernetes.kubespray.version is left out: the cluster {keeps}; {} is the newest that sets up Kubernetes {}: name it to \
             upgrade",
            newer.tag, wanted.kubernetes
        )
    });
    kubernetes.into_iter().chain(kubespray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop([kubernetes, kubespray]: [&str; 2]) -> Hop {
        Hop {
            kubernetes: kubernetes.parse().unwrap(),
            kubespray: kubespray.parse().unwrap(),
        }
    }

    /// The versions of a file with these, for a cluster with those.
    fn filled_in(file: [Option<&str>; 2], living: [&str; 2]) -> [Option<String>; 2] {
        let mut raw = raw::Kubernetes {
            version: file[0].map(str::to_owned),
            ..raw::Kubernetes::default()
        };
        raw.kubespray.version = file[1].map(str::to_owned);
        fill_in(&mut raw, &hop(living));
        [raw.version, raw.kubespray.version]
    }

    #[test]
    fn a_living_cluster_keeps_what_set_it_up_while_it_fits() {
        let living = ["v1.33.5", "v2.29.1"];
        for (file, filled) in [
            ([None, None], living),
            ([Some("1.33.5"), None], ["1.33.5", "v2.29.1"]),
            // Another patch, which the same release sets up.
            ([Some("v1.33.7"), None], ["v1.33.7", "v2.29.1"]),
            // A minor that it does not set up: the next release does in one hop; a later one would need two.
            ([Some("v1.34.3"), None], ["v1.34.3", "v2.30.0"]),
            ([None, Some("v2.30.0")], ["v1.33.5", "v2.30.0"]),
            // A version in the file is taken as it is.
            ([Some("v1.33.5"), Some("v2.31.0")], ["v1.33.5", "v2.31.0"]),
            // A text that is no version stays: validation reports it.
            ([Some("no"), None], ["no", ""]),
        ] {
            let expected = filled.map(|text| (!text.is_empty()).then(|| text.to_owned()));
            assert_eq!(filled_in(file, living), expected, "{file:?}");
        }
        // A release that is newer than the table is kept, too.
        assert_eq!(
            filled_in([None, None], ["v1.35.4", "v2.99.0"])[1].as_deref(),
            Some("v2.99.0")
        );
        assert_eq!(filled_in([Some("v1.20.0"), None], living)[1], None);
    }

    #[test]
    fn a_remark_says_that_a_newer_version_could_be_set_up() {
        let mut raw = raw::Kubernetes::default();
        let living = hop(["v1.33.5", "v2.29.1"]);
        let [kubernetes, kubespray] = &*remarks(&raw, &living, &living) else {
            panic!("both are left out");
        };
        assert!(
            kubernetes.contains("keeps v1.33.5; v1.35.4 is the newest:"),
            "{kubernetes}"
        );
        assert!(
            kubespray.contains("keeps v2.29.1; v2.31.0 is the newest that"),
            "{kubespray}"
        );
        let newest = hop(["v1.35.4", "v2.31.0"]);
        assert!(remarks(&raw, &newest, &newest).is_empty());
        raw.version = Some("v1.34.3".to_owned());
        let next = hop(["v1.34.3", "v2.30.0"]);
        let text = remarks(&raw, &living, &next).concat();
        assert!(
            text.contains("gets v2.30.0, with the fewest upgrades; v2.31.0"),
            "{text}"
        );
        raw.kubespray.version = Some("v2.30.0".to_owned());
        assert!(remarks(&raw, &living, &next).is_empty());
    }
}
