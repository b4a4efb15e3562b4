//! [`Releases`], all that there are, and [`Ways`], where a cluster can go from what it has: as people read them and as programs do.

use std::fmt;

use serde::Serialize;

use super::{Cilium, Hop, all, default_kubernetes, path_with};
use crate::value::{Label, Version};

/// A minor release of Kubernetes: its patches, and the newest Kubespray that sets it up.
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
    /// The one that is taken where a file names none.
    pub default: Version,
    /// All of them.
    pub kubernetes: Vec<Minor>,
}

/// Where a cluster can go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ways {
    /// The cluster.
    pub cluster: Label,
    /// What it has.
    pub now: Hop,
    /// One for each minor release that has a newer patch.
    pub ways: Vec<Way>,
}

/// A way to a newer release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Where it leads.
    pub to: Hop,
    /// The hops on it; none: there is no way.
    pub hops: Option<Vec<Hop>>,
    /// Why there is none.
    pub why: Option<String>,
}

impl Releases {
    /// Those that this Kubitect knows.
    pub fn known() -> Self {
        let mut minors: Vec<Minor> = Vec::new();
        // Of several releases of Kubespray, the newest one counts; older ones may reach further down.
        for release in all().iter().rev() {
            for (minor, [low, high]) in release.minors() {
                let version = |patch| Version::new(minor, patch);
                match minors.iter_mut().find(|known| known.to.minor() == minor) {
                    Some(known) => known.from = version(low).min(known.from.clone()),
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

impl Ways {
    /// Those of a cluster that has this, and cilium or not.
    pub fn of(cluster: &Label, now: Hop, cilium: Cilium) -> Self {
        let newer = Releases::known().kubernetes.into_iter();
        let newer = newer.filter(|minor| minor.to > now.kubernetes);
        let ways = newer.map(|minor| {
            let to = Hop {
                kubernetes: minor.to,
                kubespray: minor.kubespray,
            };
            let path = path_with(cilium, &now, &to);
            Way {
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

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.cluster, self.now)?;
        if self.ways.is_empty() {
            writeln!(f, "  there is nothing newer")?;
        }
        for Way { to, hops, why } in &self.ways {
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
