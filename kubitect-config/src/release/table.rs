//! [`Releases`], all versions that Kubitect can set up, and [`UpgradePaths`], those that a cluster can be upgraded to: as text
//! for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

use super::{Cilium, Hop, all, default_kubernetes, path_with};
use crate::value::{Label, Version};

/// A minor release of Kubernetes: its first and last patch, and the newest Kubespray that sets it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minor {
    /// The first patch.
    pub from: Version,
    /// The last one.
    pub to: Version,
    /// The release of Kubespray.
    pub kubespray: Version,
}

/// All releases of Kubernetes, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Releases {
    /// The version if a file has none.
    pub default: Version,
    /// All of them.
    pub kubernetes: Vec<Minor>,
}

/// The versions that a cluster can be upgraded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpgradePaths {
    /// The cluster.
    pub cluster: Label,
    /// The versions that it has.
    pub now: Hop,
    /// One for each minor release that has a newer patch.
    pub ways: Vec<UpgradePath>,
}

/// The path to a newer version, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpgradePath {
    /// The versions at its end.
    pub to: Hop,
    /// Its hops; none: there is no path.
    pub hops: Option<Vec<Hop>>,
    /// Why there is none.
    pub why: Option<String>,
}

impl Releases {
    /// All releases of this Kubitect's table.
    pub fn all() -> Self {
        let mut minors: Vec<Minor> = Vec::new();
        // The newest Kubespray that sets a minor up is named; its first patch may be one that only older releases set up.
        for release in all().iter().rev() {
            for (minor, [low, high]) in release.minors() {
                let version = |patch| Version::new(minor, patch);
                match minors.iter_mut().find(|own| own.to.minor() == minor) {
                    Some(own) => own.from = version(low).min(own.from.clone()),
                    None => minors.push(Minor {
                        from: version(low),
                        to: version(high),
                        kubespray: release.tag.clone(),
                    }),
                }
            }
        }
        minors.sort_by(|a, b| b.to.cmp(&a.to));
        Self {
            default: default_kubernetes(),
            kubernetes: minors,
        }
    }
}

impl UpgradePaths {
    /// The paths of a cluster with these versions, and with cilium or without.
    pub fn of(cluster: &Label, now: Hop, cilium: Cilium) -> Self {
        let newer = Releases::all().kubernetes.into_iter();
        let newer = newer.filter(|minor| minor.to > now.kubernetes);
        let ways = newer.map(|minor| {
            let to = Hop {
                kubernetes: minor.to,
                kubespray: minor.kubespray,
            };
            let path = path_with(cilium, &now, &to);
            UpgradePath {
                why: path.as_ref().err().map(ToString::to_string),
                hops: path.ok(),
                to,
            }
        });
        Self {
            ways: ways.collect(),
            cluster: cluster.clone(),
            now,
        }
    }
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:24} Kubespray", "Kubernetes")?;
        for Minor {
            from,
            to,
            kubespray,
        } in &self.kubernetes
        {
            let range = match from == to {
                true => from.to_string(),
                false => format!("{from} to {to}"),
            };
            let mark = if *to == self.default {
                "  (default)"
            } else {
                ""
            };
            writeln!(f, "{range:24} {kubespray}{mark}")?;
        }
        Ok(())
    }
}

impl fmt::Display for UpgradePaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.cluster, self.now)?;
        if self.ways.is_empty() {
            writeln!(f, "  there is nothing newer")?;
        }
        for UpgradePath { to, hops, why } in &self.ways {
            let to = &to.kubernetes;
            let Some(hops) = hops else {
                writeln!(f, "  {to} not: {}", why.as_deref().unwrap_or_default())?;
                continue;
            };
            let (count, s) = (hops.len(), if hops.len() == 1 { "" } else { "s" });
            writeln!(f, "  {to} in {count} hop{s}: {}", list(hops))?;
        }
        Ok(())
    }
}

fn list(hops: &[Hop]) -> String {
    let each = hops.iter();
    let each = each.map(|hop| format!("{} ({})", hop.kubernetes, hop.kubespray));
    each.collect::<Vec<_>>().join(", ")
}
