//! [`keep`]: the versions that a file leaves out, where its cluster lives. It keeps what set it up while that fits.

use std::cmp::Reverse;

use crate::raw;
use crate::release::{Hop, default_kubernetes, find_or_newest, path, supporting};
use crate::value::Version;

/// Whether a file leaves a version out.
pub(crate) fn is_open(raw: &raw::Kubernetes) -> bool {
    raw.version.is_none() || raw.kubespray.version.is_none()
}

/// Writes into a file's section what it leaves out and its cluster has. Where nothing that the cluster has fits, it stays out.
pub(crate) fn keep(raw: &mut raw::Kubernetes, living: &Hop) {
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

/// The Kubespray that sets up this Kubernetes on a cluster that has `living`: its own, else the one with the fewest upgrades on
/// the way, and of those the nearest minor release, with its newest patch.
fn nearest(kubernetes: &Version, living: &Hop) -> Option<Version> {
    let own = find_or_newest(&living.kubespray);
    if *kubernetes == living.kubernetes || own.is_some_and(|own| own.supports(kubernetes)) {
        return Some(living.kubespray.clone());
    }
    let ways = supporting(kubernetes).filter_map(|release| {
        let to = Hop {
            kubernetes: kubernetes.clone(),
            kubespray: release.tag.clone(),
        };
        Some((path(living, &to).ok()?.len(), &release.tag))
    });
    let best = ways.min_by_key(|(hops, tag)| (*hops, tag.minor(), Reverse(tag.patch())));
    best.map(|(_, tag)| tag.clone())
}

/// What a person should know of the versions that a file leaves out, a sentence each: what its cluster is to have, which has
/// `living`, where something newer could be had.
pub(crate) fn remarks(raw: &raw::Kubernetes, living: &Hop, has: &Hop) -> Vec<String> {
    let (newest, fitting) = (default_kubernetes(), supporting(&has.kubernetes).last());
    let kubernetes = (raw.version.is_none() && has.kubernetes < newest).then(|| {
        format!(
            "kubernetes.version is left out: the cluster keeps {}; {newest} is the newest: name it to upgrade",
            has.kubernetes
        )
    });
    let left_out = raw.kubespray.version.is_none();
    let newer = fitting.filter(|newer| left_out && has.kubespray < newer.tag);
    let kubespray = newer.map(|newer| {
        let keeps = match has.kubespray == living.kubespray {
            true => format!("keeps {}", has.kubespray),
            false => format!("gets {}, with the fewest upgrades", has.kubespray),
        };
        format!(
            "kubernetes.kubespray.version is left out: the cluster {keeps}; {} is the newest that sets up Kubernetes {}: name it to \
             upgrade",
            newer.tag, has.kubernetes
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

    /// What a file that says this is taken for, on a cluster that has this.
    fn of(says: [Option<&str>; 2], living: [&str; 2]) -> [Option<String>; 2] {
        let mut raw = raw::Kubernetes {
            version: says[0].map(str::to_owned),
            ..raw::Kubernetes::default()
        };
        raw.kubespray.version = says[1].map(str::to_owned);
        keep(&mut raw, &hop(living));
        [raw.version, raw.kubespray.version]
    }

    #[test]
    fn a_living_cluster_keeps_what_set_it_up_while_it_fits() {
        let living = ["v1.33.5", "v2.29.1"];
        for (says, taken) in [
            ([None, None], living),
            ([Some("1.33.5"), None], ["1.33.5", "v2.29.1"]),
            // Another patch, which the same release sets up.
            ([Some("v1.33.7"), None], ["v1.33.7", "v2.29.1"]),
            // What it does not set up: the next release does, in one hop, as two further ones would in two.
            ([Some("v1.34.3"), None], ["v1.34.3", "v2.30.0"]),
            ([None, Some("v2.30.0")], ["v1.33.5", "v2.30.0"]),
            // Named is named.
            ([Some("v1.33.5"), Some("v2.31.0")], ["v1.33.5", "v2.31.0"]),
            // There is no way back: the file's own default is refused with its reason.
            ([Some("no"), None], ["no", ""]),
        ] {
            let expected = taken.map(|text| (!text.is_empty()).then(|| text.to_owned()));
            assert_eq!(of(says, living), expected, "{says:?}");
        }
        // A release that is newer than all known ones is kept, too.
        assert_eq!(
            of([None, None], ["v1.35.4", "v2.99.0"])[1].as_deref(),
            Some("v2.99.0")
        );
        assert_eq!(of([Some("v1.20.0"), None], living)[1], None);
    }

    #[test]
    fn what_is_kept_is_said_where_it_is_not_the_newest() {
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
        let said = remarks(&raw, &living, &next).concat();
        assert!(
            said.contains("gets v2.30.0, with the fewest upgrades; v2.31.0"),
            "{said}"
        );
        raw.kubespray.version = Some("v2.30.0".to_owned());
        assert!(remarks(&raw, &living, &next).is_empty());
    }
}
