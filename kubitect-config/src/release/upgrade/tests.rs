//! The promises of [`path`], checked over the whole table.

use proptest::prelude::*;

use super::*;

fn hop(kubernetes: &str, kubespray: &str) -> Hop {
    Hop {
        kubernetes: kubernetes.parse().unwrap(),
        kubespray: kubespray.parse().unwrap(),
    }
}

/// The path as text: `v1.24.6/v2.20.0 v1.25.6/v2.21.0`, or the error.
fn shown(from: (&str, &str), to: (&str, &str)) -> String {
    match path(&hop(from.0, from.1), &hop(to.0, to.1)) {
        Ok(hops) => hops
            .iter()
            .map(|hop| format!("{}/{}", hop.kubernetes, hop.kubespray))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => error.to_string(),
    }
}

/// Every Kubernetes version that every release of the table sets up.
fn pairs() -> Vec<Hop> {
    let mut pairs = Vec::new();
    for release in all() {
        for (minor, [low, high]) in release.minors() {
            pairs.extend((low..=high).map(|patch| Hop {
                kubernetes: Version::new(minor, patch),
                kubespray: release.tag.clone(),
            }));
        }
    }
    pairs
}

#[test]
fn one_minor_at_a_time_and_the_newest_patches_on_the_way() {
    for (from, to, wanted) in [
        // Nothing to do.
        (("v1.23.7", "v2.19.0"), ("v1.23.7", "v2.19.0"), ""),
        // A patch of Kubernetes; of Kubespray; of both.
        (
            ("v1.23.5", "v2.19.0"),
            ("v1.23.7", "v2.19.0"),
            "v1.23.7/v2.19.0",
        ),
        (
            ("v1.23.7", "v2.19.0"),
            ("v1.23.7", "v2.19.1"),
            "v1.23.7/v2.19.1",
        ),
        (
            ("v1.26.5", "v2.22.0"),
            ("v1.26.13", "v2.22.2"),
            "v1.26.13/v2.22.2",
        ),
        // One minor of Kubernetes with the same Kubespray, and two.
        (
            ("v1.23.7", "v2.19.0"),
            ("v1.24.1", "v2.19.0"),
            "v1.24.1/v2.19.0",
        ),
        (
            ("v1.21.13", "v2.19.0"),
            ("v1.23.0", "v2.19.0"),
            "v1.22.10/v2.19.0 v1.23.0/v2.19.0",
        ),
        // The upgrade of the multi-master example.
        (
            ("v1.23.7", "v2.19.0"),
            ("v1.25.6", "v2.21.0"),
            "v1.24.6/v2.20.0 v1.25.6/v2.21.0",
        ),
        // Kubespray alone, over a release in between.
        (
            ("v1.25.6", "v2.21.0"),
            ("v1.25.6", "v2.23.0"),
            "v1.25.6/v2.22.2 v1.25.6/v2.23.0",
        ),
        // No hop has a newer patch than the wanted version.
        (
            ("v1.24.0", "v2.21.0"),
            ("v1.25.3", "v2.23.0"),
            "v1.25.3/v2.22.2 v1.25.3/v2.23.0",
        ),
        // Without Kubespray's newest patch where that is not wanted.
        (
            ("v1.23.0", "v2.21.0"),
            ("v1.26.5", "v2.22.0"),
            "v1.24.14/v2.22.0 v1.25.10/v2.22.0 v1.26.5/v2.22.0",
        ),
        // From the oldest to the newest.
        (
            ("v1.21.0", "v2.19.0"),
            ("v1.35.4", "v2.31.0"),
            "v1.22.15/v2.20.0 v1.23.16/v2.21.0 v1.24.17/v2.22.2 v1.25.16/v2.23.3 v1.26.15/v2.24.3 v1.27.16/v2.25.1 \
             v1.28.15/v2.26.1 v1.29.15/v2.27.1 v1.30.14/v2.28.1 v1.31.14/v2.29.1 v1.32.11/v2.30.0 v1.33.11/v2.31.0 \
             v1.34.7/v2.31.0 v1.35.4/v2.31.0",
        ),
        // A release newer than the table is assumed to set up what is wanted, but no minor is skipped.
        (
            ("v1.34.3", "v2.30.0"),
            ("v1.36.0", "v2.32.0"),
            "v1.35.4/v2.31.0 v1.36.0/v2.32.0",
        ),
        // The cluster's own versions need not be in the table.
        (
            ("v1.20.7", "v2.18.2"),
            ("v1.22.0", "v2.19.0"),
            "v1.21.13/v2.19.0 v1.22.0/v2.19.0",
        ),
    ] {
        assert_eq!(shown(from, to), wanted, "{from:?} to {to:?}");
    }
}

#[test]
fn what_has_no_path_says_why() {
    for (from, to, wanted) in [
        (
            ("v1.25.6", "v2.21.0"),
            ("v1.24.6", "v2.21.0"),
            "Kubernetes cannot go back from v1.25.6 to v1.24.6: ",
        ),
        (
            ("v1.25.6", "v2.21.0"),
            ("v1.25.5", "v2.22.2"),
            "Kubernetes cannot go back from v1.25.6 to v1.25.5: ",
        ),
        (
            ("v1.24.6", "v2.21.0"),
            ("v1.24.6", "v2.20.0"),
            "Kubespray cannot go back from v2.21.0 to v2.20.0: ",
        ),
        (
            ("v1.24.6", "v2.20.0"),
            ("v1.26.0", "v2.21.0"),
            "Kubespray v2.21.0 cannot set up Kubernetes v1.26.0",
        ),
        (
            ("v1.24.6", "v2.20.0"),
            ("v1.24.6", "v2.20.9"),
            "Kubespray v2.20.9 is not known",
        ),
        (
            ("v1.35.4", "v2.31.0"),
            ("v1.36.0", "v2.33.0"),
            "no row of known Kubespray releases leads from Kubernetes v1.35.4 with Kubespray v2.31.0 to",
        ),
        (
            ("v1.35.4", "v2.31.0"),
            ("v2.0.0", "v2.32.0"),
            "no row of known Kubespray releases",
        ),
        (
            ("v1.18.0", "v2.14.0"),
            ("v1.21.0", "v2.19.0"),
            "no row of known Kubespray releases",
        ),
    ] {
        let shown = shown(from, to);
        assert!(shown.starts_with(wanted), "{from:?} to {to:?}: {shown}");
    }
}

/// Checks all promises of a path, and that it has no more hops than the minors in between need.
fn check_path(from: &Hop, to: &Hop, hops: &[Hop]) {
    let named = || format!("{from} to {to}: {hops:?}");
    let mut last = from;
    for hop in hops {
        let release = find(&hop.kubespray).unwrap();
        assert!(release.supports(&hop.kubernetes), "{}", named());
        assert_ne!(hop, last, "{}", named());
        for (was, is) in [
            (&last.kubernetes, &hop.kubernetes),
            (&last.kubespray, &hop.kubespray),
        ] {
            assert!(was <= is, "{}", named());
            assert_eq!(was.minor().0, is.minor().0, "{}", named());
            assert!(is.minor().1 - was.minor().1 <= 1, "{}", named());
        }
        last = hop;
    }
    assert_eq!(last, to, "{}", named());
    let minors = |version: fn(&Hop) -> &Version| version(to).minor().1 - version(from).minor().1;
    let least = minors(|hop| &hop.kubernetes).max(minors(|hop| &hop.kubespray));
    let least = if from == to { 0 } else { least.max(1) };
    assert_eq!(hops.len() as u64, least, "{}", named());
}

/// Checks the path between two pairs of the table; if there is none, that a version would be downgraded. Gives whether there is a
/// path.
fn check_pair(from: &Hop, to: &Hop) -> bool {
    match path(from, to) {
        Ok(hops) => {
            check_path(from, to, &hops);
            return true;
        }
        Err(PathError::KubernetesBack { .. }) => {
            assert!(to.kubernetes < from.kubernetes, "{from} to {to}");
        }
        Err(PathError::KubesprayBack { .. }) => {
            assert!(to.kubespray < from.kubespray, "{from} to {to}");
        }
        Err(error) => panic!("{error}"),
    }
    false
}

/// From and to the lowest and the highest patch of every minor of every release; the properties below take any patch.
#[test]
fn every_release_and_minor_that_goes_up_has_a_path() {
    let mut ends = Vec::new();
    for release in all() {
        for (minor, patches) in release.minors() {
            ends.extend(patches.map(|patch| Hop {
                kubernetes: Version::new(minor, patch),
                kubespray: release.tag.clone(),
            }));
        }
    }
    let mut up = 0;
    for from in &ends {
        for to in &ends {
            let goes_up = from.kubernetes <= to.kubernetes && from.kubespray <= to.kubespray;
            assert_eq!(check_pair(from, to), goes_up, "{from} to {to}");
            up += usize::from(goes_up);
        }
    }
    println!("{} ends, {up} paths up", ends.len());
    assert!(ends.len() > 150 && up > 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_pair_of_the_table_that_goes_up_has_a_path(from in 0usize..900, to in 0usize..900) {
        let pairs = pairs();
        let (from, to) = (&pairs[from], &pairs[to]);
        let goes_up = from.kubernetes <= to.kubernetes && from.kubespray <= to.kubespray;
        prop_assert_eq!(check_pair(from, to), goes_up);
    }

    /// After each hop, the path from there has the hops that remained.
    #[test]
    fn the_rest_of_a_path_is_a_path(from in 0usize..900, to in 0usize..900) {
        let pairs = pairs();
        if let Ok(hops) = path(&pairs[from], &pairs[to]) {
            for (done, hop) in hops.iter().enumerate() {
                prop_assert_eq!(path(hop, &pairs[to]), Ok(hops[done + 1..].to_vec()));
            }
        }
    }
}

/// The first patches of five minor releases are older than the last of the minor before: a patch without older programs is named.
#[test]
fn no_hop_puts_older_programs_in() {
    let no = Cilium::Absent;
    for (from, to, instead) in [
        (("v1.26.8", "v2.22.2"), ("v1.27.5", "v2.23.2"), "v2.23.3"),
        (("v1.27.10", "v2.23.3"), ("v1.28.6", "v2.24.0"), "v2.24.1"),
        (("v1.27.5", "v2.23.2"), ("v1.28.6", "v2.24.0"), ""),
        (("v1.28.10", "v2.24.3"), ("v1.28.10", "v2.25.0"), "v2.25.1"),
        // By way of the newest patch in between.
        (("v1.27.5", "v2.23.0"), ("v1.29.5", "v2.25.0"), "v2.25.1"),
        (("v1.29.5", "v2.25.1"), ("v1.30.4", "v2.26.0"), "v2.26.1"),
        (("v1.30.4", "v2.26.1"), ("v1.31.4", "v2.27.0"), ""),
        (("v1.31.9", "v2.27.1"), ("v1.32.5", "v2.28.0"), "v2.28.1"),
        (("v1.31.4", "v2.27.0"), ("v1.32.5", "v2.28.0"), ""),
    ] {
        let (from, to) = (hop(from.0, from.1), hop(to.0, to.1));
        match path_with(no, &from, &to) {
            Err(PathError::OlderPrograms {
                instead: suggested, ..
            }) => {
                assert_eq!(suggested.to_string(), instead, "{from} to {to}");
                assert!(find(&suggested).unwrap().supports(&to.kubernetes), "{to}");
            }
            Err(error) => panic!("{from} to {to}: {error}"),
            Ok(_) => assert_eq!(instead, "", "{from} to {to}"),
        }
    }
}

/// Kubespray's ways of installing cilium before v2.28.0 and from then on do not take over from one another.
#[test]
fn cilium_does_not_come_through_from_v2_27_to_v2_28() {
    let old = hop("v1.31.9", "v2.27.1");
    let new = hop("v1.32.8", "v2.28.1");
    for (from, to) in [
        (&old, &new),
        (&old, &hop("v1.33.7", "v2.29.1")),
        (&hop("v1.30.6", "v2.26.1"), &new),
    ] {
        assert!(path_with(Cilium::Absent, from, to).is_ok());
        let refused = path_with(Cilium::OfRelease, from, to).unwrap_err();
        assert!(matches!(refused, PathError::Cilium { .. }), "{refused}");
    }
    let before = hop("v1.30.6", "v2.26.1");
    assert!(path_with(Cilium::OfRelease, &before, &old).is_ok());
    let first = hop("v1.32.5", "v2.28.0");
    assert!(path_with(Cilium::OfRelease, &first, &new).is_ok());
    assert!(path_with(Cilium::OfRelease, &new, &hop("v1.33.7", "v2.29.1")).is_ok());
}

/// v2.24 installs cilium 1.13, v2.25 1.15: a minor release is left out, unless the file says which one comes in between.
#[test]
fn cilium_is_not_led_over_a_minor_release() {
    let old = hop("v1.28.14", "v2.24.3");
    for new in [hop("v1.29.10", "v2.25.1"), hop("v1.31.9", "v2.27.1")] {
        assert!(path_with(Cilium::Absent, &old, &new).is_ok());
        assert!(path_with(Cilium::OfFile, &old, &new).is_ok());
        let refused = path_with(Cilium::OfRelease, &old, &new).unwrap_err();
        assert!(
            matches!(refused, PathError::CiliumSkips { .. }),
            "{refused}"
        );
    }
    let of = |plugin: &str, variables: &str| {
        let limits = crate::yaml::Limits::OWN;
        Cilium::of(plugin, &crate::yaml::read_as(variables, limits).unwrap())
    };
    assert_eq!(of("calico", "{cilium_version: v1.14.0}"), Cilium::Absent);
    assert_eq!(of("cilium", "{}"), Cilium::OfRelease);
    assert_eq!(of("cilium", "{cilium_version: v1.14.0}"), Cilium::OfFile);
    let beside = "{cilium_deploy_additionally: 'yes'}";
    assert_eq!(of("calico", beside), Cilium::OfRelease);
    assert_eq!(
        of("calico", "{cilium_deploy_additionally: false}"),
        Cilium::Absent
    );
}
