//! [`path`]: the hops from the versions of a cluster to the wanted ones, each of them an upgrade that Kubespray supports.
//!
//! Kubernetes supports upgrades of one minor at a time, and Kubespray upgrades by one of its own minor releases at a time ("do
//! not skip minor releases", says its documentation). Neither supports downgrades. Of the paths that obey this, the one with the
//! fewest hops is taken, as each hop drains all nodes; its intermediate hops use the newest patches, as these have the most
//! fixes.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Release, all, find};
use crate::value::Version;
use crate::variables::truth;
use crate::yaml::{Mapping, Value};

#[cfg(test)]
mod tests;

/// A Kubernetes version and the Kubespray release that sets it up: the versions that a cluster has, or is upgraded to. Ordered by
/// age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hop {
    /// Kubernetes' version.
    pub kubernetes: Version,
    /// Kubespray's tag.
    pub kubespray: Version,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kubernetes,
            kubespray,
        } = self;
        write!(f, "Kubernetes {kubernetes} with Kubespray {kubespray}")
    }
}

/// Why there is no path from one pair of versions to another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Kubernetes would be downgraded.
    #[error("Kubernetes cannot go back from {from} to {to}: it supports no downgrades")]
    KubernetesBack {
        /// The version that the cluster has.
        from: Version,
        /// The wanted version.
        to: Version,
    },
    /// Kubespray would be downgraded.
    #[error(
        "Kubespray cannot go back from {from} to {to}: an older release may put older versions of etcd, the \
         container runtime or the network plugin in the place of newer ones"
    )]
    KubesprayBack {
        /// The version that the cluster has.
        from: Version,
        /// The wanted version.
        to: Version,
    },
    /// The table does not have the release, and it is not newer than the table.
    #[error("Kubespray {tag} is not known")]
    Unknown {
        /// The release.
        tag: Version,
    },
    /// The Kubespray release cannot set up the Kubernetes version.
    #[error("Kubespray {kubespray} cannot set up Kubernetes {kubernetes}")]
    Unsupported {
        /// Kubernetes' version.
        kubernetes: Version,
        /// Kubespray's tag.
        kubespray: Version,
    },
    /// The upgrade would break the network plugin cilium: the two releases install it in ways that do not take over from one
    /// another.
    #[error(
        "cilium does not come through from Kubespray {from} to {to}: up to v2.27 it is set up from templates and keeps \
         identities in etcd, from v2.28.0 on by its own installer and as resources of Kubernetes, and neither takes over \
         what the other made"
    )]
    Cilium {
        /// The version that the cluster has.
        from: Version,
        /// The wanted version.
        to: Version,
    },
    /// The upgrade would skip a minor release of the network plugin cilium, which supports one minor at a time.
    #[error(
        "cilium goes from 1.13 to 1.15 between Kubespray v2.24 and v2.25, on the way from {from} to {to}, and can be upgraded by one \
         minor at a time"
    )]
    CiliumSkips {
        /// The version that the cluster has.
        from: Version,
        /// The wanted version.
        to: Version,
    },
    /// Programs on the nodes would be downgraded.
    #[error(
        "Kubespray {to} was made before {from}, and would put older programs in: {}; {instead} has no older ones, and sets up \
         the same Kubernetes", .programs
    )]
    OlderPrograms {
        /// The Kubespray release before this hop.
        from: Version,
        /// The Kubespray release of this hop.
        to: Version,
        /// The programs with their older versions; in brackets the newer ones, which the nodes have.
        programs: &'static str,
        /// The first patch of the same minor that has no older programs.
        instead: Box<Version>,
    },
    /// Both pairs are supported, but no sequence of supported hops leads from one to the other.
    #[error(
        "no row of known Kubespray releases leads from {from} to {to} with one minor of Kubernetes and of Kubespray at \
         a time"
    )]
    NoPath {
        /// The versions that the cluster has.
        from: Box<Hop>,
        /// The wanted versions.
        to: Box<Hop>,
    },
}

/// The hops from the versions of a cluster to the wanted ones; the last hop is `to`. Empty if both are the same.
///
/// Each hop goes up by at most one minor of Kubernetes and one of Kubespray, to a Kubernetes that its Kubespray sets up.
/// There are as few hops as possible, and the intermediate ones have the newest patches that are not newer than `to`. A Kubespray
/// release that is newer than the table is assumed to set up the wanted Kubernetes, as validation assumes it, but no other version.
///
/// ```
/// use kubitect_config::release::{Hop, path};
///
/// let hop = |kubernetes: &str, kubespray: &str| Hop {
///     kubernetes: kubernetes.parse().unwrap(),
///     kubespray: kubespray.parse().unwrap(),
/// };
/// assert_eq!(
///     path(&hop("v1.23.7", "v2.19.0"), &hop("v1.25.6", "v2.21.0")),
///     Ok(vec![hop("v1.24.6", "v2.20.0"), hop("v1.25.6", "v2.21.0")])
/// );
/// ```
pub fn path(from: &Hop, to: &Hop) -> Result<Vec<Hop>, PathError> {
    check(from, to)?;
    let candidates = candidates(from, to);
    // A breadth-first search: it finds a path with the fewest hops, and of several the one with the best candidates.
    let mut visited = HashSet::from([from]);
    let mut queue = VecDeque::from([vec![from]]);
    while let Some(path) = queue.pop_front() {
        let last = path.last().copied().unwrap_or(from);
        if last == to {
            return Ok(path.into_iter().skip(1).cloned().collect());
        }
        for next in candidates.iter().filter(|next| is_hop(last, next)) {
            if visited.insert(next) {
                let mut longer = path.clone();
                longer.push(next);
                queue.push_back(longer);
            }
        }
    }
    Err(PathError::NoPath {
        from: Box::new(from.clone()),
        to: Box::new(to.clone()),
    })
}

/// Whether a cluster has cilium, as its network plugin or beside another one, and who says its version. Some upgrades break cilium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Cilium {
    /// It has no cilium.
    Absent,
    /// The Kubespray release says the version.
    OfRelease,
    /// The file says the version.
    OfFile,
}

impl Cilium {
    /// The answer for a cluster with this network plugin and these variables.
    pub fn of(plugin: &str, variables: &Mapping) -> Self {
        let beside = match variables.get("cilium_deploy_additionally") {
            Some(Value::Bool(is)) => *is,
            Some(Value::String(text)) => truth(text) == Some(true),
            _ => false,
        };
        if plugin != "cilium" && !beside {
            return Self::Absent;
        }
        match variables.contains_key("cilium_version") {
            true => Self::OfFile,
            false => Self::OfRelease,
        }
    }
}

/// Upgrades from the last patch of a minor release to the first patches of the next one that would downgrade programs, as these
/// patches were released earlier. In order: the minor and the patch that are upgraded, the first patch of the next minor that
/// downgrades nothing, and the programs. The versions are the defaults of each tag.
const OLDER: [((u64, u64), u64, &str); 5] = [
    ((22, 2), 3, "containerd 1.7.5 (1.7.13), runc 1.1.9 (1.1.12)"),
    (
        (23, 3),
        1,
        "containerd 1.7.11 (1.7.13), runc 1.1.10 (1.1.12)",
    ),
    (
        (24, 3),
        1,
        "etcd 3.5.12 (3.5.16), containerd 1.7.16 (1.7.22), runc 1.1.12 (1.1.14)",
    ),
    (
        (25, 1),
        1,
        "etcd 3.5.12 (3.5.16), containerd 1.7.21 (1.7.22), runc 1.1.13 (1.1.14)",
    ),
    ((27, 1), 1, "etcd 3.5.16 (3.5.21), calico 3.29.3 (3.29.4)"),
];

/// An error if the upgrade between these Kubespray releases downgrades programs.
fn check_programs(from: &Version, to: &Version) -> Result<(), PathError> {
    let tag = |minor, patch| Version::new((2, minor), patch);
    let older = OLDER.iter().find(|((minor, patch), first, _)| {
        let next = tag(minor + 1, 0)..tag(minor + 1, *first);
        *from == tag(*minor, *patch) && next.contains(to)
    });
    match older {
        None => Ok(()),
        Some(((minor, _), first, programs)) => Err(PathError::OlderPrograms {
            from: from.clone(),
            to: to.clone(),
            programs,
            instead: Box::new(tag(minor + 1, *first)),
        }),
    }
}

/// As [`path`], but with an error if a hop downgrades programs, or if the upgrade breaks the cluster's cilium: then its pods
/// would lose their network.
pub fn path_with(cilium: Cilium, from: &Hop, to: &Hop) -> Result<Vec<Hop>, PathError> {
    let hops = path(from, to)?;
    let tags = || hops.iter().map(|hop| &hop.kubespray);
    for (from, to) in [&from.kubespray].into_iter().chain(tags()).zip(tags()) {
        check_programs(from, to)?;
    }
    let crosses = |minor| {
        let border = Version::new((2, minor), 0);
        from.kubespray < border && border <= to.kubespray
    };
    let (was, is) = (from.kubespray.clone(), to.kubespray.clone());
    match cilium {
        Cilium::OfRelease | Cilium::OfFile if crosses(28) => {
            Err(PathError::Cilium { from: was, to: is })
        }
        Cilium::OfRelease if crosses(25) => Err(PathError::CiliumSkips { from: was, to: is }),
        _ => Ok(hops),
    }
}

/// An error if there can't be a path, whatever the hops: a downgrade, an unknown release, or a pair that does not fit.
fn check(from: &Hop, to: &Hop) -> Result<(), PathError> {
    if to.kubernetes < from.kubernetes {
        return Err(PathError::KubernetesBack {
            from: from.kubernetes.clone(),
            to: to.kubernetes.clone(),
        });
    }
    if to.kubespray < from.kubespray {
        return Err(PathError::KubesprayBack {
            from: from.kubespray.clone(),
            to: to.kubespray.clone(),
        });
    }
    if from == to || all().last().is_some_and(|newest| newest.tag < to.kubespray) {
        return Ok(());
    }
    let release = find(&to.kubespray).ok_or_else(|| PathError::Unknown {
        tag: to.kubespray.clone(),
    })?;
    if !release.supports(&to.kubernetes) {
        return Err(PathError::Unsupported {
            kubernetes: to.kubernetes.clone(),
            kubespray: to.kubespray.clone(),
        });
    }
    Ok(())
}

/// The hops that a path may have, `to` among them; the best first: those with the newest Kubespray, then with the newest
/// Kubernetes.
fn candidates(from: &Hop, to: &Hop) -> Vec<Hop> {
    let mut candidates = vec![to.clone()];
    let mut newer: Option<&Release> = None;
    let allowed = |release: &&Release| from.kubespray <= release.tag && release.tag <= to.kubespray;
    for release in all().iter().rev().filter(allowed) {
        // Of each minor of Kubespray, the newest patch only; the table is in order.
        if newer.is_some_and(|newer| newer.tag.minor() == release.tag.minor()) {
            continue;
        }
        newer = Some(release);
        for (minor, [low, high]) in release.minors() {
            let high = match to.kubernetes.minor() == minor {
                true => to.kubernetes.patch().min(high),
                false => high,
            };
            let newest = Version::new(minor, high);
            if low <= high && from.kubernetes <= newest && newest <= to.kubernetes {
                candidates.push(Hop {
                    kubernetes: newest,
                    kubespray: release.tag.clone(),
                });
            }
        }
    }
    candidates.sort_by(|a, b| (&b.kubespray, &b.kubernetes).cmp(&(&a.kubespray, &a.kubernetes)));
    candidates.dedup();
    candidates
}

/// Whether one upgrade may lead from one pair to the other: neither version is downgraded or skips a minor.
fn is_hop(from: &Hop, to: &Hop) -> bool {
    let is_step = |from: &Version, to: &Version| {
        let ((major, minor), (next_major, next_minor)) = (from.minor(), to.minor());
        from <= to && major == next_major && next_minor - minor <= 1
    };
    from != to
        && is_step(&from.kubernetes, &to.kubernetes)
        && is_step(&from.kubespray, &to.kubespray)
}
