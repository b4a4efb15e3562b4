//! [`path`]: the hops from what is set up to what is wanted, each of them a run that Kubespray supports.
//!
//! Kubernetes supports upgrades of one minor at a time, and Kubespray upgrades by one minor release of its own at a time
//! ("do not skip minor releases", says its documentation); neither goes back. Within that, the fewest hops are taken,
//! and on the way the newest patches: they hold the most fixes.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Release, all, find};
use crate::value::Version;
use crate::variables::truth;
use crate::yaml::{Mapping, Value};

#[cfg(test)]
mod tests;

/// A Kubernetes version and the Kubespray release that sets it up: what a cluster has, or is brought to. In order of age.
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

/// Why nothing leads from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Kubernetes would go back.
    #[error("Kubernetes cannot go back from {from} to {to}: it supports no downgrades")]
    KubernetesBack {
        /// What is set up.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// Kubespray would go back.
    #[error(
        "Kubespray cannot go back from {from} to {to}: an older release may put older versions of etcd, the \
         container runtime or the network plugin in the place of newer ones"
    )]
    KubesprayBack {
        /// What is set up.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// A release that the table does not have and that is not newer than all it has.
    #[error("Kubespray {tag} is not known")]
    Unknown {
        /// The release.
        tag: Version,
    },
    /// A pair that does not fit.
    #[error("Kubespray {kubespray} cannot set up Kubernetes {kubernetes}")]
    Unsupported {
        /// Kubernetes' version.
        kubernetes: Version,
        /// Kubespray's tag.
        kubespray: Version,
    },
    /// The network plugin would not come through.
    #[error(
        "cilium does not come through from Kubespray {from} to {to}: up to v2.27 it is set up from templates and keeps \
         identities in etcd, from v2.28.0 on by its own installer and as resources of Kubernetes, and neither takes over \
         what the other made"
    )]
    Cilium {
        /// What is set up.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// The network plugin would leave out a minor release of its own.
    #[error(
        "cilium goes from 1.13 to 1.15 between Kubespray v2.24 and v2.25, on the way from {from} to {to}, and can be upgraded by one \
         minor at a time"
    )]
    CiliumSkips {
        /// What is set up.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// Programs would go back.
    #[error(
        "Kubespray {to} was made before {from}, and would put older programs in: {}; {instead} has no older ones, and sets up \
         the same Kubernetes", .programs
    )]
    OlderPrograms {
        /// What is set up by then.
        from: Version,
        /// What is wanted.
        to: Version,
        /// Which programs, with the versions that run in brackets.
        programs: &'static str,
        /// The first patch of the wanted minor that has no older ones.
        instead: Box<Version>,
    },
    /// Every release is supported by itself, but no row of them leads there.
    #[error(
        "no row of known Kubespray releases leads from {from} to {to} with one minor of Kubernetes and of Kubespray at \
         a time"
    )]
    NoWay {
        /// What is set up.
        from: Box<Hop>,
        /// What is wanted.
        to: Box<Hop>,
    },
}

/// The hops that lead from what is set up to what is wanted, the last of which is just that; none if it is the same.
///
/// Each hop goes up by at most one minor of Kubernetes and one of Kubespray, to a Kubernetes that its Kubespray sets up.
/// There are as few hops as can be, and those on the way take the newest patches that do not overshoot the end. A
/// Kubespray release that is newer than all known ones is taken at its word, as validation does: that it sets up what is
/// wanted, but nothing on the way to it.
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
    let stops = stops(from, to);
    let mut seen = HashSet::from([from]);
    let mut open = VecDeque::from([vec![from]]);
    while let Some(way) = open.pop_front() {
        let here = way.last().copied().unwrap_or(from);
        if here == to {
            return Ok(way.into_iter().skip(1).cloned().collect());
        }
        for next in stops.iter().filter(|next| is_hop(here, next)) {
            if seen.insert(next) {
                let mut longer = way.clone();
                longer.push(next);
                open.push_back(longer);
            }
        }
    }
    Err(PathError::NoWay {
        from: Box::new(from.clone()),
        to: Box::new(to.clone()),
    })
}

/// Whether a cluster has cilium, which does not come through every upgrade: as its network plugin, or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Cilium {
    /// It has none.
    Absent,
    /// In the version of the Kubespray release.
    OfRelease,
    /// In a version that the file names.
    OfFile,
}

impl Cilium {
    /// What a cluster with this network plugin and these variables has.
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

/// The minor releases whose first patches were made before the last patch of the minor before: minor and patch of that, the first
/// patch without older programs, and which those are. Read from the versions that each tag sets up of itself.
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

/// An error if this hop puts older programs in the place of newer ones.
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

/// As [`path`], for a cluster with or without cilium: where its pods would lose their network on the way, there is none. Nor is there
/// one on which programs go back.
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

/// Where one may stop on the way, the best first: the newest Kubespray, then the newest Kubernetes. The end is among
/// them.
fn stops(from: &Hop, to: &Hop) -> Vec<Hop> {
    let mut stops = vec![to.clone()];
    let mut newer: Option<&Release> = None;
    let allowed = |release: &&Release| from.kubespray <= release.tag && release.tag <= to.kubespray;
    for release in all().iter().rev().filter(allowed) {
        // Of each minor, the newest patch only; the table is in order.
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
                stops.push(Hop {
                    kubernetes: newest,
                    kubespray: release.tag.clone(),
                });
            }
        }
    }
    stops.sort_by(|a, b| (&b.kubespray, &b.kubernetes).cmp(&(&a.kubespray, &a.kubernetes)));
    stops.dedup();
    stops
}

/// Whether one run may lead from here to there.
fn is_hop(here: &Hop, there: &Hop) -> bool {
    let up = |here: &Version, there: &Version| {
        let ((major, minor), (next_major, next_minor)) = (here.minor(), there.minor());
        here <= there && major == next_major && next_minor - minor <= 1
    };
    here != there
        && up(&here.kubernetes, &there.kubernetes)
        && up(&here.kubespray, &there.kubespray)
}
